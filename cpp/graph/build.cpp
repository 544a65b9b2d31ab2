#include "graph/build.h"

#include <algorithm>

namespace lamina::graph {

Tensor fill(Shape shape, double value, DType dtype) {
  static const Op& op = find_op("fill");
  Tensor made = make(op, {}, {{"shape", std::move(shape)}, {"value", value}, {"dtype", dtype}});
  const_cast<Node&>(*made).literal = true;
  return made;
}

Tensor scalar_like(const Tensor& x, double value) { return fill({}, value, x->dtype()); }

bool is_fill(const Tensor& x, double value) { return x->is("fill") && x->attrs.get<double>("value") == value; }

Tensor unary(const char* op, const Tensor& x) { return make(op, {x}); }
Tensor binary(const char* op, const Tensor& a, const Tensor& b) { return make(op, {a, b}); }

namespace {
// True where `a op b`, b a literal, has exactly a's type, so that a can stand for it.
bool stands_for(const Tensor& a, const Tensor& b) {
  return b->literal && a->dtype() == promote(promote(a->dtype(), b->dtype()), DType::int64) &&
         broadcast(a->shape(), b->shape(), "") == a->shape();
}
}  // namespace

Tensor neg(const Tensor& x) {
  if (x->literal) return fill(x->shape(), -x->attrs.get<double>("value"), x->dtype());
  return unary("neg", x);
}

Tensor add(const Tensor& a, const Tensor& b) {
  if (is_fill(a, 0) && stands_for(b, a)) return b;
  if (is_fill(b, 0) && stands_for(a, b)) return a;
  return binary("add", a, b);
}

Tensor sub(const Tensor& a, const Tensor& b) {
  if (is_fill(b, 0) && stands_for(a, b)) return a;
  return binary("sub", a, b);
}

Tensor mul(const Tensor& a, const Tensor& b) {
  if (is_fill(a, 1) && stands_for(b, a)) return b;
  if (is_fill(b, 1) && stands_for(a, b)) return a;
  return binary("mul", a, b);
}

Tensor div(const Tensor& a, const Tensor& b) {
  if (is_fill(b, 1) && is_float(a->dtype()) && stands_for(a, b)) return a;
  return binary("div", a, b);
}

Tensor scale(const Tensor& x, double factor) { return mul(x, scalar_like(x, factor)); }
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) { return make("where", {condition, a, b}); }
Tensor cast(const Tensor& x, DType dtype) { return x->dtype() == dtype ? x : make("cast", {x}, {{"dtype", dtype}}); }

Tensor reduce(const char* op, const Tensor& x, std::vector<int64_t> axes, bool keepdims) {
  return make(op, {x}, {{"axes", std::move(axes)}, {"keepdims", keepdims}});
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x->shape() == shape) return x;
  const size_t lead = x->shape().size() - shape.size();
  std::vector<int64_t> axes;
  for (size_t i = 0; i < x->shape().size(); ++i)
    if (i < lead || (shape[i - lead] == Dim(1) && x->shape()[i] != Dim(1))) axes.push_back(static_cast<int64_t>(i));
  Tensor sum = axes.empty() ? x : reduce("sum", x, axes, false);
  return reshape(sum, shape);
}

Tensor matmul(const Tensor& a, const Tensor& b) { return make("matmul", {a, b}); }

std::vector<int64_t> swapped_last(size_t rank) {
  std::vector<int64_t> axes(rank);
  for (size_t i = 0; i < rank; ++i) axes[i] = static_cast<int64_t>(i);
  std::swap(axes[rank - 1], axes[rank - 2]);
  return axes;
}

Tensor swap_last(const Tensor& x) { return transpose(x, swapped_last(x->shape().size())); }

Tensor reshape(const Tensor& x, Shape shape) {
  if (x->shape() == shape) return x;
  return make("reshape", {x}, {{"shape", std::move(shape)}});
}

Tensor transpose(const Tensor& x, std::vector<int64_t> axes) {
  if (std::is_sorted(axes.begin(), axes.end())) return x;
  return make("transpose", {x}, {{"axes", std::move(axes)}});
}

Tensor broadcast_to(const Tensor& x, Shape shape) {
  if (x->shape() == shape) return x;
  if (x->literal) return fill(std::move(shape), x->attrs.get<double>("value"), x->dtype());
  return make("broadcast_to", {x}, {{"shape", std::move(shape)}});
}

}  // namespace lamina::graph
