// What is known before anything runs, and views of views.
#include <algorithm>
#include <cmath>
#include <utility>

#include "graph/build.h"
#include "graph/rewrite.h"

namespace lamina::graph {

namespace {

double fold_value(const std::string& op, const std::vector<double>& v, bool& known) {
  known = true;
  if (op == "neg") return -v[0];
  if (op == "add") return v[0] + v[1];
  if (op == "sub") return v[0] - v[1];
  if (op == "mul") return v[0] * v[1];
  if (op == "div") return v[0] / v[1];
  if (op == "sqrt") return std::sqrt(v[0]);
  if (op == "exp") return std::exp(v[0]);
  if (op == "log") return std::log(v[0]);
  if (op == "pow") return std::pow(v[0], v[1]);
  if (op == "where") return v[0] != 0 ? v[1] : v[2];
  known = false;
  return 0;
}

// A double as it reads back from the type.
double rounded(double value, DType dtype) {
  switch (dtype) {
    case DType::boolean: return value != 0;
    case DType::int64: return std::trunc(value);
    case DType::float32: return static_cast<float>(value);
    default: return value;
  }
}

// Two in a row are one, often none.
Tensor fold_neg(const Tensor& x) { return x->is("neg") && x->inputs[0]->dtype() == x->dtype() ? x->inputs[0] : neg(x); }

Tensor fold_transpose(const Tensor& x, std::vector<int64_t> axes) {
  if (!x->is("transpose")) return transpose(x, std::move(axes));
  const auto& inner = x->attrs.get<std::vector<int64_t>>("axes");
  for (int64_t& axis : axes) axis = inner[static_cast<size_t>(axis)];
  return fold_transpose(x->inputs[0], std::move(axes));
}

// Two reshapes in a row are one; one number repeated has no order that a reshape could change.
Tensor fold_reshape(const Tensor& x, const Shape& shape) {
  if (x->is("reshape")) return reshape(x->inputs[0], shape);
  if (x->is("broadcast_to")) {
    const Tensor& source = x->inputs[0];
    const Shape& s = source->shape();
    const bool single = std::all_of(s.begin(), s.end(), [](const Dim& d) { return d == Dim(1); });
    if (single) return broadcast_to(reshape(source, {}), shape);
  }
  return reshape(x, shape);
}

// x^1, x^2, x^3, x^4 and 1 / x as products and a quotient: at most 1.5 ulp off, and a fraction of the cost.
Tensor fold_pow(const Node& node, const Tensor& x, const Tensor& exponent) {
  if (x->shape() != node.shape() || x->dtype() != node.dtype()) return nullptr;
  if (is_fill(exponent, 1)) return x;
  if (is_fill(exponent, -1) && is_float(x->dtype())) return div(scalar_like(x, 1), x);
  if (is_fill(exponent, 2)) return mul(x, x);
  if (is_fill(exponent, 3)) return mul(mul(x, x), x);
  if (is_fill(exponent, 4)) return mul(mul(x, x), mul(x, x));
  return nullptr;
}

// Elementwise operations repeat what is shorter by themselves, even what is still in a tile; a view needs it in memory.
Tensor fold_repeats(const Node& node, const Tensors& in) {
  if (std::none_of(in.begin(), in.end(), [](const Tensor& x) { return x->is("broadcast_to"); })) return nullptr;
  Tensors inputs = in;
  for (Tensor& x : inputs) {
    if (!x->is("broadcast_to")) continue;
    const Tensor repeated = std::exchange(x, x->inputs[0]);
    Shape whole = inputs[0]->shape();
    for (const Tensor& other : inputs) whole = broadcast(whole, other->shape(), "");
    if (whole != node.shape()) x = repeated;  // nothing else is as long
  }
  return inputs == in ? nullptr : rebuild(node, std::move(inputs));
}

// Whether a slice may name elements that an axis without a known length turns out not to have, which is found when it is bound.
bool may_reach_out(const Node& node, const Tensors& in) {
  if (!node.is("slice")) return false;
  const Shape &from = in[0]->shape(), &start = node.attrs.get<Shape>("start");
  for (size_t i = 0; i < from.size(); ++i)
    if (node.shape()[i] != from[i] && !(from[i].constant() && start[i].constant())) return true;
  return false;
}

// What is made of numbers that are known, where that is known as well.
Tensor fold_fills(const Node& node, const Tensors& in) {
  const auto is_known = [](const Tensor& x) { return x->is("fill"); };
  if (in.empty() || !std::all_of(in.begin(), in.end(), is_known)) return nullptr;
  if (node.op->kind == Kind::elementwise) {
    std::vector<double> values;
    for (const Tensor& x : in) values.push_back(rounded(x->attrs.get<double>("value"), x->dtype()));
    bool known = node.is("cast");
    const double value = known ? values[0] : fold_value(node.op->name, values, known);
    if (known) return fill(node.shape(), rounded(value, node.dtype()), node.dtype());
  }
  if (node.op->kind == Kind::view && !may_reach_out(node, in))
    return fill(node.shape(), in[0]->attrs.get<double>("value"), node.dtype());
  return nullptr;
}

Tensor fold_node(const Node& node, const Tensors& in) {
  const std::string& op = node.op->name;
  if (op == "fill") return fill(node.shape(), node.attrs.get<double>("value"), node.dtype());  // gradients were taken before
  if (Tensor known = fold_fills(node, in)) return known;
  if (in.size() == 2 && (in[0]->is("fill") || in[1]->is("fill"))) {
    if (op == "add") return add(in[0], in[1]);
    if (op == "sub") return sub(in[0], in[1]);
    if (op == "mul") return mul(in[0], in[1]);
    if (op == "div") return div(in[0], in[1]);
  }
  if (op == "pow") return fold_pow(node, in[0], in[1]);
  if (op == "neg") return fold_neg(in[0]);
  if (op == "cast") return cast(in[0], node.dtype());
  if (op == "transpose") return fold_transpose(in[0], node.attrs.get<std::vector<int64_t>>("axes"));
  if (op == "reshape") return fold_reshape(in[0], node.shape());
  if (op == "broadcast_to") return broadcast_to(in[0], node.shape());
  if (node.op->kind == Kind::elementwise && in.size() > 1) return fold_repeats(node, in);
  return nullptr;
}

bool is_like(const Node& a, const Node& b) {
  return a.op == b.op && a.inputs == b.inputs && a.type == b.type && a.attrs == b.attrs && a.literal == b.literal;
}

}  // namespace

Roots fold(Roots roots) {
  return rewrite(roots, [](const Node& node, const Tensors& in) {
    const Tensor folded = fold_node(node, in);
    return folded && is_like(*folded, node) ? node.shared_from_this() : folded;  // so that its users are left as they are
  });
}

}  // namespace lamina::graph
