#include "graph/gradient.h"

#include <unordered_map>
#include <unordered_set>

#include "graph/build.h"

namespace lamina::graph {

namespace {

// dL/dy: as given, or 1 for a scalar.
Tensor checked_seed(const Tensor& y, const Tensor& seed) {
  check(is_float(y->dtype()), "[grad] expected a float to differentiate, got ", name_of(y->dtype()));
  check(seed || y->shape().empty(), "[grad] expected a scalar, got shape ", y->shape(), "; take its sum or mean first");
  if (!seed) return scalar_like(y, 1);
  check(seed->shape() == y->shape(), "[grad] expected a seed of shape ", to_string(y->shape()),
        ", as what is differentiated has, got ", to_string(seed->shape()), "; use broadcast_to");
  return seed;
}

// The xs, and the nodes of `order` that depend on one.
std::unordered_set<const Node*> depending_on(const Tensors& xs, const std::vector<const Node*>& order) {
  std::unordered_set<const Node*> found;
  for (const Tensor& x : xs) found.insert(x.get());
  for (const Node* node : order)
    for (const Tensor& input : node->inputs)
      if (found.count(input.get())) found.insert(node);
  return found;
}

// a + b, where both are zeros around something, that of a just before that of b along one axis: zeros around both side by side. Null
// elsewhere. So the gradients of all steps that a loop takes out of x are written once, and not each of them as large as x.
Tensor side_by_side(const Tensor& a, const Tensor& b) {
  if (!a->is("pad") || !b->is("pad") || a->type != b->type) return nullptr;
  const Shape &low = a->attrs.get<Shape>("low"), &next = b->attrs.get<Shape>("low"), &high = b->attrs.get<Shape>("high");
  const Shape &shape = a->inputs[0]->shape(), &other = b->inputs[0]->shape();
  const std::vector<int64_t> none(low.size(), 0);
  for (const Tensor& x : {a, b})
    if (x->attrs.get<std::vector<int64_t>>("interior") != none) return nullptr;
  size_t axis = low.size();
  for (size_t i = 0; i < low.size(); ++i) {
    if (low[i] == next[i] && shape[i] == other[i]) continue;
    if (axis < low.size() || add(low[i], shape[i]) != next[i]) return nullptr;
    axis = i;
  }
  if (axis == low.size()) return nullptr;
  const auto at = static_cast<int64_t>(axis);
  Tensors parts;
  for (const Tensor& x : {a->inputs[0], b->inputs[0]}) {
    const Tensors found = x->is("concatenate") && x->attrs.get<int64_t>("axis") == at ? x->inputs : Tensors{x};
    parts.insert(parts.end(), found.begin(), found.end());
  }
  const Tensor both = make("concatenate", parts, {{"axis", at}});
  return both->shape() == a->shape() ? both : make("pad", {both}, {{"low", low}, {"high", high}, {"interior", none}});
}

Tensor sum(const Tensor& a, const Tensor& b) {
  if (const Tensor both = side_by_side(b, a)) return both;
  if (const Tensor both = side_by_side(a, b)) return both;
  return add(a, b);
}

}  // namespace

Tensors gradients(const Tensor& y, const Tensors& xs, Tensor seed) {
  std::unordered_map<const Node*, Tensor> flowing;  // dL/d(node), summed so far
  flowing[y.get()] = checked_seed(y, seed);
  const auto order = topological({y});
  const auto on_path = depending_on(xs, order);  // and to y: no other nodes take part
  for (size_t k = order.size(); k-- > 0;) {
    const Node* node = order[k];
    const auto found = flowing.find(node);
    if (found == flowing.end() || !on_path.count(node) || node->op->gradient == nullptr) continue;
    const Tensor dy = found->second;
    const ScopeGuard scope(node->scope);
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const Tensor& input = node->inputs[i];
      if (!on_path.count(input.get()) || !is_float(input->dtype())) continue;
      Tensor dx = node->op->gradient(node->shared_from_this(), dy, static_cast<int>(i));
      if (!dx) continue;
      dx = cast(sum_to(dx, input->shape()), input->dtype());
      Tensor& total = flowing[input.get()];
      total = total ? sum(total, dx) : dx;
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
