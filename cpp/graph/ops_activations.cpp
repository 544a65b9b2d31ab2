// Activations and their backward step, from the functors of base/activations.h. The same functor, given nodes instead of vectors,
// writes its slope as math: so a gradient of a gradient needs no further rule.
#include <cmath>

#include "base/activations.h"
#include "graph/build.h"
#include "graph/gradient.h"

namespace lamina::graph {

namespace {

using activations::kBackward;

// A node that can be calculated with like a number; literals are of type kType.
template <DType kType>
struct Sym {
  Tensor t;
  Sym(Tensor tensor) : t(std::move(tensor)) {}
  Sym(double value) : t(fill({}, value, kType)) {}

  struct Mask {
    Tensor t;
    friend Mask operator&(const Mask& a, const Mask& b) { return {binary("mul", a.t, b.t)}; }
    friend Mask operator|(const Mask& a, const Mask& b) { return {binary("maximum", a.t, b.t)}; }
    friend Sym where(const Mask& m, const Sym& a, const Sym& b) { return graph::where(m.t, a.t, b.t); }
  };

  friend Sym operator+(const Sym& a, const Sym& b) { return add(a.t, b.t); }
  friend Sym operator-(const Sym& a, const Sym& b) { return sub(a.t, b.t); }
  friend Sym operator*(const Sym& a, const Sym& b) { return mul(a.t, b.t); }
  friend Sym operator/(const Sym& a, const Sym& b) { return div(a.t, b.t); }
  friend Sym operator-(const Sym& a) { return neg(a.t); }
  friend Mask operator<(const Sym& a, const Sym& b) { return {binary("lt", a.t, b.t)}; }
  friend Mask operator<=(const Sym& a, const Sym& b) { return {binary("le", a.t, b.t)}; }
  friend Mask operator>(const Sym& a, const Sym& b) { return {binary("gt", a.t, b.t)}; }
  friend Mask operator>=(const Sym& a, const Sym& b) { return {binary("ge", a.t, b.t)}; }
  friend Sym max(const Sym& a, const Sym& b) { return binary("maximum", a.t, b.t); }
  friend Sym min(const Sym& a, const Sym& b) { return binary("minimum", a.t, b.t); }
  friend Sym exp(const Sym& x) { return unary("exp", x.t); }
  friend Sym exp_of_negative(const Sym& x) { return exp(x); }
  friend Sym expm1(const Sym& x) { return unary("expm1", x.t); }
  friend Sym log1p(const Sym& x) { return unary("log1p", x.t); }
  friend Sym abs(const Sym& x) { return unary("abs", x.t); }
  friend Sym tanh(const Sym& x) { return unary("tanh", x.t); }
  friend Sym sigmoid(const Sym& x) { return unary("sigmoid", x.t); }
  friend Sym falling_sigmoid(const Sym& x) { return sigmoid(-x); }
  friend Sym normal_below(const Sym& x) { return Sym(0.5) * (Sym(1.0) + Sym(unary("erf", (x * Sym(std::sqrt(0.5))).t))); }
  friend Sym gelu(const Sym& x) { return x * normal_below(x); }
};

template <class A>
Tensor slope_of(const Tensor& kept, const double* params) {
  if (kept->dtype() == DType::float64) return A::slope(Sym<DType::float64>(kept), params).t;
  return A::slope(Sym<DType::float32>(kept), params).t;
}

struct Activation {
  std::string name;
  bool keeps_output;
  std::vector<double> defaults;
  Tensor (*slope)(const Tensor& kept, const double* params);
};

std::vector<Activation>& activations_list() {
  static auto* list = new std::vector<Activation>;  // never destroyed, as the registry
  return *list;
}

const Activation& find_activation(const std::string& name) {
  for (const Activation& a : activations_list())
    if (a.name == name) return a;
  fail("unknown activation '", name, "'");
}

std::string without_suffix(const std::string& name) { return name.substr(0, name.size() - (sizeof kBackward - 1)); }

Attrs parameters_of(const Tensor& y) {
  const Attr* params = y->attrs.find("params");
  return params == nullptr ? Attrs() : Attrs{{"params", *params}};
}

Type infer_activation(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Activation& a = find_activation(op.arity == 2 ? without_suffix(op.name) : op.name);
  const auto params = attrs.get<std::vector<double>>("params", std::vector<double>());
  check(params.size() == a.defaults.size(), "[", op.name, "] expected ", a.defaults.size(), " parameters, got ", params.size());
  Type type{DType::float32, inputs[0]->shape()};
  for (const Tensor& x : inputs) {
    type.dtype = promote(type.dtype, x->dtype());
    type.shape = broadcast(type.shape, x->shape(), "[" + op.name + "]");
  }
  return type;
}

Tensor activation_grad(const Tensor& y, const Tensor& dy, int) {
  const Activation& a = find_activation(y->op->name);
  return make(a.name + kBackward, {dy, a.keeps_output ? y : y->inputs[0]}, parameters_of(y));
}

// g = dy * slope(kept): linear in dy, and through the slope's own math in what is kept.
Tensor backward_grad(const Tensor& g, const Tensor& dg, int i) {
  const Tensor &dy = g->inputs[0], &kept = g->inputs[1];
  if (i == 0) return make(*g->op, {dg, kept}, g->attrs);
  const Activation& a = find_activation(without_suffix(g->op->name));
  const auto params = g->attrs.get<std::vector<double>>("params", a.defaults);
  const Tensor slope = broadcast_to(a.slope(kept, params.data()), kept->shape());
  return gradients(slope, {kept}, mul(dg, dy))[0];
}

template <class A>
void register_one() {
  register_op({A::name, Kind::elementwise, 1, infer_activation, activation_grad});
  register_op({std::string(A::name) + kBackward, Kind::elementwise, 2, infer_activation, backward_grad});
  activations_list().push_back({A::name, A::keeps == activations::Keep::output,
                                std::vector<double>(A::defaults, A::defaults + A::param_count), slope_of<A>});
}

template <class... As>
void register_all(List<As...>) {
  (register_one<As>(), ...);
}

}  // namespace

std::vector<std::string> activation_names() {
  find_op("add");  // fills the registry
  std::vector<std::string> names;
  for (const Activation& a : activations_list()) names.push_back(a.name);
  return names;
}

std::vector<double> activation_defaults(const std::string& name) { return find_activation(name).defaults; }

void register_activations() { register_all(activations::Activations{}); }

}  // namespace lamina::graph
