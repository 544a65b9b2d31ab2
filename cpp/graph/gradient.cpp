#include "graph/gradient.h"

#include <unordered_map>
#include <unordered_set>

#include "graph/build.h"

namespace lamina::graph {

Tensors gradients(const Tensor& y, const Tensors& xs, Tensor seed) {
  check(is_float(y->dtype()), "[grad] expected a float to differentiate, got ", name_of(y->dtype()));
  if (!seed) {
    check(y->shape().empty(), "[grad] expected a scalar, got shape ", y->shape(), "; take its sum or mean first");
    seed = scalar_like(y, 1);
  }
  check(seed->shape() == y->shape(), "[grad] expected a seed of shape ", to_string(y->shape()),
        ", as what is differentiated has, got ", to_string(seed->shape()), "; use broadcast_to");
  const auto order = topological({y});

  // Only nodes on a path from an x to y take part.
  std::unordered_set<const Node*> on_path;
  for (const Tensor& x : xs) on_path.insert(x.get());
  for (const Node* node : order)
    for (const Tensor& input : node->inputs)
      if (on_path.count(input.get())) on_path.insert(node);

  std::unordered_map<const Node*, Tensor> flowing;  // dL/d(node), summed so far
  std::unordered_map<const Node*, Tensor> handles;  // a shared handle to each node, as gradient rules want it
  handles[y.get()] = y;
  for (const Node* node : order)
    for (const Tensor& input : node->inputs) handles[input.get()] = input;
  flowing[y.get()] = seed;

  for (size_t k = order.size(); k-- > 0;) {
    const Node* node = order[k];
    const auto found = flowing.find(node);
    if (found == flowing.end() || !on_path.count(node) || node->op->gradient == nullptr) continue;
    const Tensor dy = found->second;
    const ScopeGuard scope(node->scope);
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const Tensor& input = node->inputs[i];
      if (!on_path.count(input.get()) || !is_float(input->dtype())) continue;
      Tensor dx = node->op->gradient(handles[node], dy, static_cast<int>(i));
      if (!dx) continue;
      dx = cast(sum_to(dx, input->shape()), input->dtype());
      Tensor& total = flowing[input.get()];
      total = total ? add(total, dx) : dx;
    }
  }

  Tensors result;
  for (const Tensor& x : xs) {
    const auto found = flowing.find(x.get());
    result.push_back(found == flowing.end() ? nullptr : found->second);
  }
  return result;
}

}  // namespace lamina::graph
