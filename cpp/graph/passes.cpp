#include "graph/passes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "graph/build.h"

namespace lamina::graph {

std::vector<uint64_t> origin_of(const Node* node, const Origins& origins) {
  const auto found = origins.find(node);
  return found == origins.end() ? std::vector<uint64_t>{node->serial} : found->second;
}

namespace {

using Rule = std::function<Tensor(const Node& node, const Tensors& inputs)>;

// The node itself where no input changed, its like on the new inputs otherwise.
Tensor rebuild(const Node& node, Tensors inputs) {
  if (inputs == node.inputs) return node.shared_from_this();
  const ScopeGuard scope(node.scope);
  return make(*node.op, std::move(inputs), node.attrs);
}

bool is_like(const Node& a, const Node& b) {
  return a.op == b.op && a.inputs == b.inputs && a.type == b.type && a.attrs == b.attrs && a.literal == b.literal;
}

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

// Replaces nodes from the sources up; a rule answers null to leave a node as it is. What stays as it is costs next to nothing.
Roots rewrite(const Roots& roots, const Rule& rule) {
  Tensors all = roots.outputs;
  all.insert(all.end(), roots.effects.begin(), roots.effects.end());
  const uint64_t born = next_serial();
  std::unordered_map<const Node*, Tensor> done;  // those that did not stay
  const auto now = [&](const Tensor& t) -> const Tensor& {
    const auto found = done.find(t.get());
    return found == done.end() ? t : found->second;
  };
  Roots result;
  result.origins.reserve(roots.origins.size());
  for (const Node* node : topological(all)) {
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

// The other branch of in_training sends back zeros that are zeros by construction: what they flow through is zero as well. A user's own
// zeros are numbers like others (0 times infinity is no number), and a value must not depend on what is computed beside it.
using Nodes = std::unordered_set<const Node*>;

Tensor propagate_zero(const Node& node, const Tensors& in, const Nodes& zeros) {
  const auto is_zero = [&](const Tensor& x) { return zeros.count(x.get()) > 0; };
  const std::string& op = node.op->name;
  const bool first = !in.empty() && is_zero(in[0]);
  const bool both = in.size() == 2 && (is_zero(in[0]) || is_zero(in[1]));
  const bool vanishes = ((op == "mul" || op == "matmul") && both) ||
                        (first && (op == "div" || op == "neg" || op == "sum" || op == "cast" || op == "pad" ||
                                   op.ends_with("_backward") || node.op->kind == Kind::view)) ||
                        (op == "where" && is_zero(in[1]) && is_zero(in[2])) || (op == "scatter_add" && is_zero(in[1]));
  return vanishes ? fill(node.shape(), 0, node.dtype()) : nullptr;
}

}  // namespace

namespace {

const Variable* variable_of(const Node& node) { return node.attrs.get<std::shared_ptr<Variable>>("variable").get(); }

// What update_state leaves in its variable, and through what it was passed by.
struct State {
  uint64_t serial;
  Tensor variable, value, passed;
};

// What a step leaves in a variable, by the calls of these serials.
struct Left {
  Tensor variable, value;
  std::vector<uint64_t> serials;
};

// The assignments of a step, one for each variable. Calls of a layer that update one variable follow each other in the order in which
// they were made: a later one starts from the value that the earlier one left, and what the earlier one passed through is unchanged.
void assign_states(const std::vector<State>& states, Roots& roots) {
  std::vector<Left> all;
  Nodes passed;
  for (const State& state : states) {
    const Variable* variable = variable_of(*state.variable);
    size_t i = 0;
    while (i < all.size() && variable_of(*all[i].variable) != variable) ++i;
    Tensor value = state.value;
    if (i == all.size()) {
      all.push_back({state.variable, nullptr, {}});
    } else {
      const uint64_t born = next_serial();
      const Roots later = rewrite({{value}, {}, roots.origins}, [&](const Node& node, const Tensors&) {
        if (node.is("variable") && variable_of(node) == variable) return all[i].value;
        return passed.count(&node) > 0 ? node.shared_from_this() : nullptr;
      });
      value = later.outputs[0];
      for (const auto& [node, serials] : later.origins)
        if (node->serial >= born) roots.origins.emplace(node, serials);
    }
    all[i].value = cast(value, state.variable->dtype());
    all[i].serials.push_back(state.serial);
    passed.insert(state.passed.get());
  }
  for (const Left& left : all) {
    roots.effects.push_back(make("assign", {left.variable, left.value}));
    roots.origins[roots.effects.back().get()] = left.serials;
  }
}

}  // namespace

Roots resolve_modes(Roots roots, bool training) {
  Nodes zeros;
  std::vector<State> states;
  std::unordered_set<const Variable*> random_states;
  const auto rule = [&](const Node& node, const Tensors& in) -> Tensor {
    if (node.is("in_training")) {
      const Tensor& taken = in[training ? 0 : 1];
      if (is_fill(taken, 0)) zeros.insert(taken.get());
      return taken;
    }
    if (node.is("stop_gradient")) return in[0];
    if (node.is("update_state")) {
      if (!training) return in[0];
      size_t at = states.size();  // in the order of the calls
      while (at > 0 && states[at - 1].serial > node.serial) --at;
      states.insert(states.begin() + static_cast<ptrdiff_t>(at), {node.serial, in[1], in[2], in[0]});
      return in[0];
    }
    if (Tensor zero = propagate_zero(node, in, zeros)) {
      zeros.insert(zero.get());
      return zero;
    }
    if (node.is("add") && (zeros.count(in[0].get()) > 0 || zeros.count(in[1].get()) > 0)) return add(in[0], in[1]);
    return nullptr;
  };
  Roots result = rewrite(roots, rule);
  if (!training) return result;
  assign_states(states, result);

  Tensors all = result.outputs;
  all.insert(all.end(), result.effects.begin(), result.effects.end());
  for (const Node* node : topological(all)) {
    if (!node->is("random_uniform")) continue;
    const Tensor& state = node->inputs[0];
    if (!random_states.insert(variable_of(*state)).second) continue;
    const Tensor step = make("iota", {}, {{"shape", Shape{Dim(2)}}, {"dtype", DType::int64}});  // (0, 1): seed stays, step + 1
    result.effects.push_back(make("assign", {state, add(state, step)}));
  }
  return result;
}

// ---- Folding ----

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

Tensor fold_node(const Node& node, const Tensors& in) {
  const std::string& op = node.op->name;
  if (op == "fill") return fill(node.shape(), node.attrs.get<double>("value"), node.dtype());  // gradients were taken before
  bool fills = !in.empty();
  for (const Tensor& x : in) fills = fills && x->is("fill");
  if (fills && node.op->kind == Kind::elementwise) {
    std::vector<double> values;
    for (const Tensor& x : in) values.push_back(rounded(x->attrs.get<double>("value"), x->dtype()));
    bool known = op == "cast";
    const double value = known ? values[0] : fold_value(op, values, known);
    if (known) return fill(node.shape(), rounded(value, node.dtype()), node.dtype());
  }
  if (fills && node.op->kind == Kind::view && !may_reach_out(node, in))
    return fill(node.shape(), in[0]->attrs.get<double>("value"), node.dtype());
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

}  // namespace

Roots fold(Roots roots) {
  return rewrite(roots, [](const Node& node, const Tensors& in) {
    const Tensor folded = fold_node(node, in);
    return folded && is_like(*folded, node) ? node.shared_from_this() : folded;  // so that its users are left as they are
  });
}

// ---- Legal forms ----

namespace {

// Whether the elements lie one after the other in memory, whatever the batch size.
bool is_dense(const Tensor& tensor) {
  const Node* x = tensor.get();
  while (x->is("slice")) {  // of whole rows that follow each other, of something dense
    const Shape &from = x->inputs[0]->shape(), &start = x->attrs.get<Shape>("start");
    const auto& step = x->attrs.get<std::vector<int64_t>>("step");
    if (!step.empty() && step[0] != 1) return false;
    for (size_t i = 1; i < from.size(); ++i)
      if (step[i] != 1 || start[i] != Dim(0) || x->shape()[i] != from[i]) return false;
    x = x->inputs[0].get();
  }
  if (x->op->kind == Kind::view) return x->is("reshape");  // which is of something dense: see dense()
  return !x->is("fill") && !x->is("size");
}

Tensor dense(const Tensor& x) { return is_dense(x) ? x : unary("contiguous", x); }

// Reduces the axes first..last of x, which are gone from the result.
Tensor reduce_run(const char* op, const Tensor& x, size_t first, size_t last) {
  const Shape& s = x->shape();
  const size_t rank = s.size();
  const auto axes = [](size_t from, size_t to) {
    std::vector<int64_t> list;
    for (size_t i = from; i <= to; ++i) list.push_back(static_cast<int64_t>(i));
    return list;
  };
  const bool all = first == 0 && last + 1 == rank;
  const bool last_axis = first == last && last + 1 == rank;
  const bool but_last = first == 0 && last + 2 == rank;
  if (all || last_axis || but_last) return reduce(op, x, axes(first, last), false);
  const bool middle = rank == 3 && first == 1 && last == 1;  // as it is
  if (!middle && std::count_if(s.begin(), s.end(), [](const Dim& d) { return !d.constant(); }) > 1) {
    // Axes whose product has no name cannot become one: the last of the run becomes a row, the others follow.
    std::vector<int64_t> order = axes(0, rank - 1);
    std::rotate(order.begin() + static_cast<ptrdiff_t>(last), order.begin() + static_cast<ptrdiff_t>(last) + 1, order.end());
    const Tensor rows = reduce(op, transpose(x, order), axes(rank - 1, rank - 1), false);
    return first == last ? rows : reduce_run(op, rows, first, last - 1);
  }
  Shape rest(s.begin(), s.begin() + static_cast<ptrdiff_t>(first));
  rest.insert(rest.end(), s.begin() + static_cast<ptrdiff_t>(last) + 1, s.end());
  const Dim run = product(s, first, last + 1);
  if (last + 1 == rank) {
    Shape shape(s.begin(), s.begin() + static_cast<ptrdiff_t>(first));
    shape.push_back(run);
    return reduce(op, reshape(dense(x), shape), {static_cast<int64_t>(first)}, false);
  }
  if (!is_float(x->dtype())) return reduce_run(op, cast(x, DType::float64), first, last);
  const Dim after = product(s, last + 1, rank);
  const Tensor whole = dense(x);
  if (first == 0) return reshape(reduce(op, reshape(whole, {run, after}), {0}, false), rest);
  return reshape(reduce(op, reshape(whole, {product(s, 0, first), run, after}), {1}, false), rest);
}

// A cast that changes more than the width, in arithmetic: to bool by comparing, to an integer by rounding toward zero.
Tensor legal_cast(const Node& node, const Tensor& x) {
  if (node.dtype() == DType::boolean) return binary("ne", x, scalar_like(x, 0));
  if (node.dtype() == DType::int64 && is_float(x->dtype()))
    return cast(mul(unary("sign", x), unary("floor", unary("abs", x))), node.dtype());
  return nullptr;
}

// Products and joins calculate in one type.
Tensor legal_types(const Node& node, Tensors in) {
  for (Tensor& x : in) x = cast(x, node.dtype());
  return rebuild(node, std::move(in));
}

Tensor legal_node(const Node& node, const Tensors& in) {
  if (node.is("matmul") || node.is("concatenate")) return legal_types(node, in);
  if (node.is("cast")) return legal_cast(node, in[0]);
  if (node.is("reshape")) return rebuild(node, {dense(in[0])});
  if (node.op->kind == Kind::outer) {
    Tensors inputs;
    for (const Tensor& x : in) inputs.push_back(dense(cast(x, node.dtype())));
    return rebuild(node, std::move(inputs));
  }
  if (node.is("take") || node.is("scatter_add")) return rebuild(node, {dense(in[0]), dense(in[1])});
  if (node.is("host")) {
    Tensors inputs;
    for (const Tensor& x : in) inputs.push_back(x->is("fill") ? unary("contiguous", x) : dense(x));
    return rebuild(node, std::move(inputs));
  }
  // What a variable takes must not itself change while variables are written: two that swap their values, a view of the variable.
  if ((node.is("assign") || node.is("rule_update")) && memory_of(in[1].get())->is("variable")) {
    Tensors inputs = in;
    inputs[1] = unary("contiguous", in[1]);
    return rebuild(node, std::move(inputs));
  }
  if (node.op->kind != Kind::reduce) return nullptr;
  const size_t rank = in[0]->shape().size();
  std::vector<bool> gone(rank, false);
  for (int64_t axis : node.attrs.get<std::vector<int64_t>>("axes")) {
    const auto i = static_cast<size_t>(normalize_axis(axis, rank, ""));
    gone[i] = in[0]->shape()[i] != Dim(1);  // the sum, and the largest, of one is that one
  }
  Tensor x = in[0];
  size_t end = rank;
  while (end > 0) {  // runs of neighbouring axes, the last first, so that those in front keep their numbers
    if (!gone[end - 1]) {
      --end;
      continue;
    }
    size_t first = end - 1;
    while (first > 0 && gone[first - 1]) --first;
    x = reduce_run(node.op->name.c_str(), x, first, end - 1);
    end = first;
  }
  return reshape(dense(cast(x, node.dtype())), node.shape());
}

}  // namespace

Roots legalize(Roots roots) { return rewrite(roots, legal_node); }

// ---- Sharing ----

namespace {

// Numbers bit by bit: 0 and -0 are equal, but 1 / 0 and 1 / -0 are not.
bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  const auto same = [](double x, double y) { return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

bool same_attrs(const Attrs& a, const Attrs& b) {
  const auto same = [](const auto& x, const auto& y) {
    if (x.first != y.first || x.second.index() != y.second.index()) return false;
    if (const auto* number = std::get_if<double>(&x.second)) return same_bits({*number}, {std::get<double>(y.second)});
    if (const auto* numbers = std::get_if<std::vector<double>>(&x.second))
      return same_bits(*numbers, std::get<std::vector<double>>(y.second));
    return x.second == y.second;
  };
  return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(), same);
}

}  // namespace

Roots share(Roots roots) {
  std::unordered_map<size_t, Tensors> known;
  const auto rule = [&](const Node& node, const Tensors& in) -> Tensor {
    if (node.op->kind == Kind::effect || node.is("input")) return nullptr;
    size_t hash = std::hash<const void*>()(node.op);
    for (const Tensor& x : in) hash = hash * 1000003 + std::hash<const void*>()(x.get());
    for (const Tensor& other : known[hash])
      if (other->op == node.op && other->inputs == in && other->type == node.type && same_attrs(other->attrs, node.attrs))
        return other;
    known[hash].push_back(rebuild(node, in));
    return known[hash].back();
  };
  return rewrite(roots, rule);
}

}  // namespace lamina::graph
