// Elementwise operations: y[i] = f(a[i], b[i], ...) under NumPy's broadcasting. A gradient rule says dL/d(input i) in y's shape;
// gradient.cpp sums it back to the input's.
#include <cmath>

#include "graph/build.h"

namespace lamina::graph {

Shape broadcast(const Shape& a, const Shape& b, const std::string& where) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape out = longer;
  const size_t lead = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    Dim& x = out[lead + i];
    const Dim& y = shorter[i];
    if (x == y || y == Dim(1)) continue;
    check(x == Dim(1), where, " ", a, " and ", b, " do not broadcast: axis ", lead + i, " is ", x, " on one side and ", y,
          " on the other; make them equal, or 1");
    x = y;
  }
  return out;
}

namespace {

Shape broadcast_all(const Op& op, const Tensors& inputs) {
  Shape shape = inputs[0]->shape();
  for (size_t i = 1; i < inputs.size(); ++i) shape = broadcast(shape, inputs[i]->shape(), "[" + op.name + "]");
  return shape;
}

DType promote_all(const Tensors& inputs) {
  DType type = inputs[0]->dtype();
  for (const Tensor& x : inputs) type = promote(type, x->dtype());
  return type;
}

Type infer_arithmetic(const Op& op, const Tensors& inputs, const Attrs&) {
  return {promote_all(inputs), broadcast_all(op, inputs)};
}

// Of numbers: where NumPy would refuse or surprise, a bool counts as 0 and 1.
Type infer_number(const Op& op, const Tensors& inputs, const Attrs&) {
  return {promote(promote_all(inputs), DType::int64), broadcast_all(op, inputs)};
}

Type infer_float(const Op& op, const Tensors& inputs, const Attrs&) {
  return {promote(promote_all(inputs), DType::float32), broadcast_all(op, inputs)};
}

Type infer_compare(const Op& op, const Tensors& inputs, const Attrs&) { return {DType::boolean, broadcast_all(op, inputs)}; }

Type infer_where(const Op& op, const Tensors& inputs, const Attrs&) {
  return {promote(inputs[1]->dtype(), inputs[2]->dtype()), broadcast_all(op, inputs)};
}

Type infer_cast(const Op&, const Tensors& inputs, const Attrs& attrs) { return {attrs.get<DType>("dtype"), inputs[0]->shape()}; }

// Labels of shape (..., 1) become (..., classes).
Type infer_one_hot(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const int64_t classes = attrs.get<int64_t>("classes");
  check(classes >= 1 && classes <= (int64_t{1} << 24), "[one_hot] expected 1 to 2^24 classes, got ", classes);
  Shape shape = inputs[0]->shape();
  check(!shape.empty() && shape.back() == Dim(1), describe(op, inputs), ": expected a last axis of 1");
  shape.back() = Dim(classes);
  return {attrs.get<DType>("dtype"), shape};
}

// ---- Gradients: (y, dy, i) -> dL/d(input i) ----

const Tensor& in(const Tensor& y, int i) { return y->inputs[static_cast<size_t>(i)]; }

// Where the second operand is the same for many elements: summed first, so that there is less to negate.
Tensor minus_sum(const Tensor& dy, const Tensor& y) { return neg(sum_to(dy, in(y, 1)->shape())); }

Tensor neg_grad(const Tensor&, const Tensor& dy, int) { return neg(dy); }
Tensor add_grad(const Tensor&, const Tensor& dy, int) { return dy; }
Tensor sub_grad(const Tensor& y, const Tensor& dy, int i) { return i == 0 ? dy : minus_sum(dy, y); }
Tensor mul_grad(const Tensor& y, const Tensor& dy, int i) { return mul(dy, in(y, 1 - i)); }
Tensor div_grad(const Tensor& y, const Tensor& dy, int i) {
  const Tensor part = div(dy, in(y, 1));
  return i == 0 ? part : minus_sum(mul(part, y), y);
}
Tensor pow_grad(const Tensor& y, const Tensor& dy, int i) {
  const Tensor &x = in(y, 0), &p = in(y, 1);
  if (i == 0) {  // p x^(p - 1), and 0 where p is 0, whatever x
    const Tensor one = scalar_like(p, 1), zero = scalar_like(p, 0);
    const Tensor exponent = p->is("fill") && !is_fill(p, 0) ? p : where(binary("eq", p, zero), one, p);
    return mul(dy, mul(p, binary("pow", x, sub(exponent, one))));
  }
  // x^p ln x, and 0 where x = 0: the limit for p > 0
  const Tensor zero = scalar_like(x, 0);
  return mul(dy, where(binary("eq", x, zero), zero, mul(y, unary("log", x))));
}
// The larger one gets the gradient; equal ones share it.
Tensor extremum_grad(const Tensor& y, const Tensor& dy, int i, const char* wins) {
  const Tensor &a = in(y, i), &b = in(y, 1 - i);
  const Tensor zero = scalar_like(dy, 0);
  return add(where(binary(wins, a, b), dy, zero), where(binary("eq", a, b), scale(dy, 0.5), zero));
}
Tensor maximum_grad(const Tensor& y, const Tensor& dy, int i) { return extremum_grad(y, dy, i, "gt"); }
Tensor minimum_grad(const Tensor& y, const Tensor& dy, int i) { return extremum_grad(y, dy, i, "lt"); }
Tensor where_grad(const Tensor& y, const Tensor& dy, int i) {
  if (i == 0) return nullptr;
  const Tensor zero = scalar_like(dy, 0);
  return i == 1 ? where(in(y, 0), dy, zero) : where(in(y, 0), zero, dy);
}
// min(max(x, lo), hi). Inside [lo, hi], both ends included, x gets the gradient; outside, the bound that holds: hi where they cross.
Tensor clip_grad(const Tensor& y, const Tensor& dy, int i) {
  const Tensor &x = in(y, 0), &lo = in(y, 1), &hi = in(y, 2), zero = scalar_like(dy, 0);
  if (i == 0) return where(binary("mul", binary("ge", x, lo), binary("le", x, hi)), dy, zero);
  const Tensor holds = i == 1 ? binary("mul", binary("lt", x, lo), binary("le", lo, hi))
                              : binary("maximum", binary("gt", x, hi), binary("gt", lo, hi));
  return where(holds, dy, zero);
}
Tensor abs_grad(const Tensor& y, const Tensor& dy, int) { return mul(dy, unary("sign", in(y, 0))); }
Tensor zero_grad(const Tensor& y, const Tensor& dy, int) { return fill(y->shape(), 0, dy->dtype()); }
Tensor exp_grad(const Tensor& y, const Tensor& dy, int) { return mul(dy, y); }
Tensor expm1_grad(const Tensor& y, const Tensor& dy, int) { return mul(dy, add(y, scalar_like(y, 1))); }
Tensor log_grad(const Tensor& y, const Tensor& dy, int) { return div(dy, in(y, 0)); }
Tensor log1p_grad(const Tensor& y, const Tensor& dy, int) { return div(dy, add(in(y, 0), scalar_like(y, 1))); }
Tensor sqrt_grad(const Tensor& y, const Tensor& dy, int) { return div(scale(dy, 0.5), y); }
Tensor sin_grad(const Tensor& y, const Tensor& dy, int) { return mul(dy, unary("cos", in(y, 0))); }
Tensor cos_grad(const Tensor& y, const Tensor& dy, int) { return neg(mul(dy, unary("sin", in(y, 0)))); }
Tensor arctan_grad(const Tensor& y, const Tensor& dy, int) {
  const Tensor& x = in(y, 0);
  return div(dy, add(mul(x, x), scalar_like(x, 1)));
}
// 2 / sqrt(pi) e^(-x^2)
Tensor erf_grad(const Tensor& y, const Tensor& dy, int) {
  const Tensor& x = in(y, 0);
  return mul(dy, scale(unary("exp", neg(mul(x, x))), 2.0 / std::sqrt(std::acos(-1.0))));
}
Tensor cast_grad(const Tensor& y, const Tensor& dy, int) {
  const DType from = in(y, 0)->dtype();
  return is_float(from) && is_float(y->dtype()) ? cast(dy, from) : nullptr;
}

}  // namespace

void register_elementwise() {
  const auto define = [](const char* name, int arity, auto infer, auto gradient) {
    register_op({name, Kind::elementwise, arity, infer, gradient});
  };
  define("neg", 1, infer_number, neg_grad);
  define("abs", 1, infer_number, abs_grad);
  define("sign", 1, infer_number, zero_grad);
  define("floor", 1, infer_number, zero_grad);
  define("exp", 1, infer_float, exp_grad);
  define("expm1", 1, infer_float, expm1_grad);
  define("log", 1, infer_float, log_grad);
  define("log1p", 1, infer_float, log1p_grad);
  define("sqrt", 1, infer_float, sqrt_grad);
  define("sin", 1, infer_float, sin_grad);
  define("cos", 1, infer_float, cos_grad);
  define("arctan", 1, infer_float, arctan_grad);
  define("erf", 1, infer_float, erf_grad);
  define("add", 2, infer_number, add_grad);
  define("sub", 2, infer_number, sub_grad);
  define("mul", 2, infer_arithmetic, mul_grad);
  define("div", 2, infer_float, div_grad);
  define("pow", 2, infer_number, pow_grad);
  define("maximum", 2, infer_arithmetic, maximum_grad);
  define("minimum", 2, infer_arithmetic, minimum_grad);
  for (const char* name : {"eq", "ne", "lt", "le", "gt", "ge"}) define(name, 2, infer_compare, kNoGradient);
  define("where", 3, infer_where, where_grad);
  define("clip", 3, infer_arithmetic, clip_grad);
  define("cast", 1, infer_cast, cast_grad);
  define("one_hot", 1, infer_one_hot, kNoGradient);
}

}  // namespace lamina::graph
