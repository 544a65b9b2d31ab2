// What training and predicting differ in: the branches of in_training, states that a step assigns, marks.
#include <unordered_set>

#include "base/activations.h"
#include "graph/build.h"
#include "graph/rewrite.h"

namespace lamina::graph {

namespace {

using Nodes = std::unordered_set<const Node*>;

// The other branch of in_training sends back zeros that are zeros by construction: what they flow through is zero as well. A user's own
// zeros are numbers like others (0 times infinity is no number), and a value must not depend on what is computed beside it.
bool makes_zero(const Node& node, const Tensors& in, const Nodes& zeros) {
  const auto zero = [&](size_t i) { return zeros.count(in[i].get()) > 0; };
  const std::string& op = node.op->name;
  if (in.empty()) return false;
  if (op == "mul" || op == "matmul") return zero(0) || zero(1);
  if (op == "where") return zero(1) && zero(2);
  if (op == "scatter_add") return zero(1);
  const bool passes_on = op == "div" || op == "neg" || op == "sum" || op == "cast" || op == "pad" ||
                         op.ends_with(activations::kBackward) || node.op->kind == Kind::view;
  return passes_on && zero(0);
}

// One call of update_state: the variable, its new value, and the tensor that it passes on unchanged.
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
    const Variable* variable = variable_of(*state.variable).get();
    size_t i = 0;
    while (i < all.size() && variable_of(*all[i].variable).get() != variable) ++i;
    Tensor value = state.value;
    if (i == all.size()) {
      all.push_back({state.variable, nullptr, {}});
    } else {
      const uint64_t born = next_serial();
      const Roots later = rewrite({{value}, {}, roots.origins}, [&](const Node& node, const Tensors&) {
        if (node.is("variable") && variable_of(node).get() == variable) return all[i].value;
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

// A step of each random state that is drawn from: the seed stays, the number of the step is the next one.
void advance_random_states(Roots& roots) {
  std::unordered_set<const Variable*> advanced;
  for (const Node* node : topological(all_of(roots))) {
    if (!node->is("random_uniform")) continue;
    const Tensor& state = node->inputs[0];
    if (!advanced.insert(variable_of(*state).get()).second) continue;
    const Tensor step = make("iota", {}, {{"shape", Shape{Dim(2)}}, {"dtype", DType::int64}});  // (0, 1)
    roots.effects.push_back(make("assign", {state, add(state, step)}));
  }
}

}  // namespace

Roots resolve_modes(Roots roots, bool training) {
  Nodes zeros;
  std::vector<State> states;
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
    if (makes_zero(node, in, zeros)) {
      Tensor zero = fill(node.shape(), 0, node.dtype());
      zeros.insert(zero.get());
      return zero;
    }
    if (node.is("add") && (zeros.count(in[0].get()) > 0 || zeros.count(in[1].get()) > 0)) return add(in[0], in[1]);
    return nullptr;
  };
  Roots result = rewrite(roots, rule);
  if (!training) return result;
  assign_states(states, result);
  advance_random_states(result);
  return result;
}

}  // namespace lamina::graph
