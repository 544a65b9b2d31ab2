#include "runtime/schedule.h"

#include <functional>
#include <queue>
#include <unordered_map>
#include <unordered_set>

namespace lamina::runtime {

using graph::Kind;
using graph::Node;

namespace {

// Variables are told apart by what they are, other memory by its node.
const void* key(const Node* node) {
  node = memory_of(node);
  return node->is("variable") ? static_cast<const void*>(graph::variable_of(*node).get()) : static_cast<const void*>(node);
}

// An update changes its parameter tile by tile: what runs in its step may read that parameter element by element, but neither
// through a view nor as a factor, which would meet elements that have changed already.
bool meets_its_changes(const Step& step) {
  if (step.nodes.size() < 2) return false;
  std::unordered_set<const void*> changed;  // a step may update thousands
  for (const Node* node : step.changes) changed.insert(key(node));
  for (const Node* node : step.nodes)
    for (const auto& input : node->inputs)
      if ((input->op->kind == Kind::view || node->op->kind == Kind::matmul) && changed.count(key(input.get())) > 0) return true;
  return false;
}

// Always the first step that waits for none. Those that wait for each other are left out.
std::vector<size_t> order_by(const Needs& needs) {
  std::vector<std::vector<size_t>> after(needs.size());
  std::vector<size_t> waiting(needs.size(), 0);
  for (size_t i = 0; i < needs.size(); ++i)
    for (const Need& need : needs[i]) {
      after[need.maker].push_back(i);
      ++waiting[i];
    }
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < needs.size(); ++i)
    if (waiting[i] == 0) ready.push(i);
  std::vector<size_t> order;
  while (!ready.empty()) {
    order.push_back(ready.top());
    ready.pop();
    for (const size_t j : after[order.back()])
      if (--waiting[j] == 0) ready.push(j);
  }
  return order;
}

// No step changes anything before those that may fail.
void wait_for_failing(const std::vector<StepPtr>& steps, Needs& needs) {
  std::vector<size_t> failing;
  for (size_t i = 0; i < steps.size(); ++i)
    if (steps[i]->may_fail()) failing.push_back(i);
  for (size_t i = 0; i < steps.size(); ++i)
    if (!steps[i]->changes.empty())
      for (const size_t j : failing) needs[i].push_back({j, nullptr});
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
  wait_for_failing(steps, needs);
  return needs;
}

bool schedule(std::vector<StepPtr>& steps) {
  for (const StepPtr& step : steps)
    if (meets_its_changes(*step)) return false;
  const std::vector<size_t> order = order_by(needs_of(steps));
  if (order.size() < steps.size()) return false;
  std::vector<StepPtr> ordered;
  for (const size_t i : order) ordered.push_back(std::move(steps[i]));
  steps = std::move(ordered);
  return true;
}

}  // namespace lamina::runtime
