#include "graph/rewrite.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace lamina::graph {

std::vector<uint64_t> origin_of(const Node* node, const Origins& origins) {
  const auto found = origins.find(node);
  return found == origins.end() ? std::vector<uint64_t>{node->serial} : found->second;
}

namespace {

// Hands a node's origins on to what was made for it: to all nodes below its replacement that are new (their serials begin at `born`);
// and to the replacement itself, where that existed before.
void pass_on(const Node& node, const Tensor& replaced, uint64_t born, const Origins& before, Origins& after) {
  const bool there = replaced->serial < born;
  if (there && node.op->kind == Kind::mode) return;  // a mark computes nothing
  const std::vector<uint64_t> origin = origin_of(&node, before);
  const auto known =
      there ? after.try_emplace(replaced.get(), origin_of(replaced.get(), before)).first : after.find(replaced.get());
  if (known != after.end()) {
    known->second.insert(known->second.end(), origin.begin(), origin.end());
    return;
  }
  std::vector<const Node*> fresh = {replaced.get()};
  while (!fresh.empty()) {
    const Node* made = fresh.back();
    fresh.pop_back();
    if (made->serial < born || !after.emplace(made, origin).second) continue;
    for (const Tensor& input : made->inputs) fresh.push_back(input.get());
  }
}

}  // namespace

Tensor rebuild(const Node& node, Tensors inputs) {
  if (inputs == node.inputs) return node.shared_from_this();
  const ScopeGuard scope(node.scope);
  return make(*node.op, std::move(inputs), node.attrs);
}

Tensors all_of(const Roots& roots) {
  Tensors all = roots.outputs;
  all.insert(all.end(), roots.effects.begin(), roots.effects.end());
  return all;
}

Roots rewrite(const Roots& roots, const Rule& rule) {
  const uint64_t born = next_serial();
  std::unordered_map<const Node*, Tensor> done;  // those that did not stay
  const auto now = [&](const Tensor& t) -> const Tensor& {
    const auto found = done.find(t.get());
    return found == done.end() ? t : found->second;
  };
  Roots result;
  result.origins.reserve(roots.origins.size());
  for (const Node* node : topological(all_of(roots))) {
    const bool moved =
        std::any_of(node->inputs.begin(), node->inputs.end(), [&](const Tensor& t) { return done.count(t.get()) > 0; });
    Tensors inputs;
    if (moved)
      for (const Tensor& input : node->inputs) inputs.push_back(now(input));
    const ScopeGuard scope(node->scope);
    Tensor replaced = rule(*node, moved ? inputs : node->inputs);
    if (!replaced && moved) replaced = rebuild(*node, std::move(inputs));
    if (replaced && replaced.get() != node) {
      pass_on(*node, replaced, born, roots.origins, result.origins);
      done.emplace(node, std::move(replaced));
    } else if (const auto known = roots.origins.find(node); known != roots.origins.end()) {
      result.origins.insert(*known);
    }
  }
  for (const Tensor& t : roots.outputs) result.outputs.push_back(now(t));
  for (const Tensor& t : roots.effects) result.effects.push_back(now(t));
  return result;
}

}  // namespace lamina::graph
