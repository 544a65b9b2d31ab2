// Sums and extrema over axes, and the operations along the last axis that are made of them.
#include <algorithm>

#include "graph/build.h"

namespace lamina::graph {

namespace {

template <class Where>
std::vector<int64_t> axes_of(const Where& where, const Attrs& attrs, size_t rank) {
  std::vector<int64_t> axes = attrs.get<std::vector<int64_t>>("axes");
  for (int64_t& axis : axes) axis = normalize_axis(axis, rank, where);
  std::sort(axes.begin(), axes.end());
  check(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), where, " an axis is named twice");
  return axes;
}

Shape reduced(const Shape& shape, const std::vector<int64_t>& axes, bool keepdims) {
  Shape out;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool gone = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
    if (!gone) out.push_back(shape[i]);
    if (gone && keepdims) out.push_back(Dim(1));
  }
  return out;
}

Type infer_reduce(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Tensor& x = inputs[0];
  const auto axes = axes_of(describe(op, inputs), attrs, x->shape().size());
  const bool sum = op.name == "sum";
  if (!sum)
    for (int64_t axis : axes)
      check(x->shape()[static_cast<size_t>(axis)] != Dim(0), describe(op, inputs), ": no largest or smallest among 0 elements");
  const DType dtype = sum ? promote(x->dtype(), DType::int64) : x->dtype();
  return {dtype, reduced(x->shape(), axes, attrs.get<bool>("keepdims"))};
}

// A reduced result with its axes back, as 1, so that it broadcasts against the input.
Tensor with_axes(const Tensor& reduced_value, const Tensor& y) {
  const Tensor& x = y->inputs[0];
  return reshape(reduced_value, reduced(x->shape(), axes_of("[reduce]", y->attrs, x->shape().size()), true));
}

Tensor sum_grad(const Tensor& y, const Tensor& dy, int) { return broadcast_to(with_axes(dy, y), y->inputs[0]->shape()); }

// Equal extrema share the gradient.
Tensor extremum_grad(const Tensor& y, const Tensor& dy, int) {
  const Tensor& x = y->inputs[0];
  const Tensor hit = cast(binary("eq", x, with_axes(y, y)), dy->dtype());
  const Tensor hits = reduce("sum", hit, y->attrs.get<std::vector<int64_t>>("axes"), true);
  return mul(hit, div(with_axes(dy, y), hits));
}

// ---- Along the last axis ----

Type infer_row(const Op& op, const Tensors& inputs, const Attrs&) {
  const Tensor& x = inputs[0];
  check(!x->shape().empty(), describe(op, inputs), ": expected at least one axis");
  check(x->shape().back() != Dim(0), describe(op, inputs), ": the last axis has no elements");
  const DType dtype = promote(x->dtype(), DType::float32);
  Shape shape = x->shape();
  if (op.name == "logsumexp") shape.pop_back();
  return {dtype, shape};
}

Type infer_argument(const Op& op, const Tensors& inputs, const Attrs&) {
  Type type = infer_row(op, inputs, {});
  type.shape.pop_back();
  type.dtype = DType::int64;
  return type;
}

Tensor row_sum(const Tensor& x) { return reduce("sum", x, {-1}, true); }

Tensor keep_last(const Tensor& x) {
  Shape shape = x->shape();
  shape.push_back(Dim(1));
  return reshape(x, shape);
}

// y (dy - sum(dy y))
Tensor softmax_grad(const Tensor& y, const Tensor& dy, int) { return mul(y, sub(dy, row_sum(mul(dy, y)))); }
// dy - softmax(x) sum(dy)
Tensor log_softmax_grad(const Tensor& y, const Tensor& dy, int) {
  return sub(dy, mul(unary("softmax", y->inputs[0]), row_sum(dy)));
}
Tensor logsumexp_grad(const Tensor& y, const Tensor& dy, int) { return mul(unary("softmax", y->inputs[0]), keep_last(dy)); }

}  // namespace

void register_reductions() {
  register_op({"sum", Kind::reduce, 1, infer_reduce, sum_grad});
  register_op({"max", Kind::reduce, 1, infer_reduce, extremum_grad});
  register_op({"min", Kind::reduce, 1, infer_reduce, extremum_grad});
  register_op({"softmax", Kind::row, 1, infer_row, softmax_grad});
  register_op({"log_softmax", Kind::row, 1, infer_row, log_softmax_grad});
  register_op({"logsumexp", Kind::row, 1, infer_row, logsumexp_grad});
  register_op({"argmax", Kind::row, 1, infer_argument, kNoGradient});
  register_op({"argmin", Kind::row, 1, infer_argument, kNoGradient});
}

}  // namespace lamina::graph
