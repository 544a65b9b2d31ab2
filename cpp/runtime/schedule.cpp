#include "runtime/schedule.h"

#include <queue>
#include <unordered_map>

namespace lamina::runtime {

using graph::Kind;
using graph::Node;

namespace {

// Variables are told apart by what they are, other memory by its node.
const void* key(const Node* node) {
  node = memory_of(node);
  return node->is("variable") ? static_cast<const void*>(graph::variable_of(*node).get()) : static_cast<const void*>(node);
}

}  // namespace

Needs needs_of(const std::vector<StepPtr>& steps) {
  std::unordered_map<const void*, size_t> maker, changer;
  for (size_t i = 0; i < steps.size(); ++i) {
    for (const Node* node : steps[i]->outputs) maker[key(node)] = i;
    for (const Node* node : steps[i]->changes) {
      const auto [entry, fresh] = changer.emplace(key(node), i);
      check(fresh || entry->second == i, "a parameter of shape ", node->shape(), " is updated twice in one program");
    }
  }
  Needs needs(steps.size());
  for (size_t i = 0; i < steps.size(); ++i)
    for (const Node* node : steps[i]->inputs) {
      const auto made = maker.find(key(node)), changed = changer.find(key(node));
      if (made != maker.end() && made->second != i) needs[i].push_back({made->second, memory_of(node)});
      if (changed != changer.end() && changed->second != i) needs[changed->second].push_back({i, nullptr});
    }
  std::vector<size_t> failing;
  for (size_t i = 0; i < steps.size(); ++i)
    if (steps[i]->may_fail()) failing.push_back(i);
  for (size_t i = 0; i < steps.size(); ++i)
    if (!steps[i]->changes.empty())
      for (const size_t j : failing) needs[i].push_back({j, nullptr});
  return needs;
}

bool schedule(std::vector<StepPtr>& steps) {
  // An update changes its parameter tile by tile: what runs in its step may read that parameter element by element, but neither
  // through a view nor as a factor, which would meet elements that have changed already.
  for (const StepPtr& step : steps)
    for (const Node* changed : step->changes)
      for (const Node* node : step->nodes)
        for (const auto& input : node->inputs)
          if (step->nodes.size() > 1 && key(input.get()) == key(changed) &&
              (input->op->kind == Kind::view || node->op->kind == Kind::matmul))
            return false;
  const size_t n = steps.size();
  const Needs needs = needs_of(steps);
  std::vector<std::vector<size_t>> after(n);
  std::vector<size_t> waiting(n, 0);
  for (size_t i = 0; i < n; ++i)
    for (const Need& need : needs[i]) {
      after[need.maker].push_back(i);
      ++waiting[i];
    }
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < n; ++i)
    if (waiting[i] == 0) ready.push(i);
  std::vector<StepPtr> ordered;
  while (!ready.empty()) {
    const size_t i = ready.top();
    ready.pop();
    for (size_t j : after[i])
      if (--waiting[j] == 0) ready.push(j);
    ordered.push_back(std::move(steps[i]));
  }
  if (ordered.size() < n) return false;
  steps = std::move(ordered);
  return true;
}

}  // namespace lamina::runtime
