// Where values come from (inputs, variables, constants, random numbers), where they go (effects on variables), and the marks that a
// program resolves before it is planned.
#include "base/rule_layout.h"
#include "graph/build.h"

namespace lamina::graph {

namespace {

Type infer_input(const Op&, const Tensors&, const Attrs& attrs) { return {attrs.get<DType>("dtype"), attrs.get<Shape>("shape")}; }

Type infer_variable(const Op&, const Tensors&, const Attrs& attrs) {
  const auto& variable = attrs.get<std::shared_ptr<Variable>>("variable");
  check<TypeError>(variable != nullptr, "[variable] expected a variable, got none");
  return {variable->dtype, known(variable->sizes)};
}

Type infer_constant(const Op&, const Tensors&, const Attrs& attrs) {
  const auto& array = attrs.get<std::shared_ptr<const Array>>("value");
  return {array->dtype, known(array->sizes)};
}

Type infer_size(const Op&, const Tensors&, const Attrs& attrs) { return {attrs.get<DType>("dtype"), {}}; }

Type infer_iota(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Shape& shape = attrs.get<Shape>("shape");
  check(shape.size() == 1, describe(op, inputs), ": expected one axis, got ", shape);
  return {attrs.get<DType>("dtype"), shape};
}

Type infer_random(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  check(inputs[0]->dtype() == DType::int64 && inputs[0]->shape() == Shape{Dim(2)}, describe(op, inputs),
        ": expected the state (seed, step), two int64");
  check<TypeError>(is_float(attrs.get<DType>("dtype")), describe(op, inputs), ": expected float32 or float64");
  attrs.get<int64_t>("stream");
  return {attrs.get<DType>("dtype"), attrs.get<Shape>("shape")};
}

// ---- Marks: in_training(a, b) is a in a training program and b in any other ----

Type infer_in_training(const Op& op, const Tensors& inputs, const Attrs&) {
  check(inputs[0]->type == inputs[1]->type, describe(op, inputs), ": both must have one shape and dtype");
  return inputs[0]->type;
}
Tensor in_training_grad(const Tensor& y, const Tensor& dy, int i) {
  const Tensor zero = fill(y->shape(), 0, dy->dtype());
  return i == 0 ? make("in_training", {broadcast_to(dy, y->shape()), zero})
                : make("in_training", {zero, broadcast_to(dy, y->shape())});
}

Type infer_same(const Op&, const Tensors& inputs, const Attrs&) { return inputs[0]->type; }
Tensor pass_grad(const Tensor&, const Tensor& dy, int i) { return i == 0 ? dy : nullptr; }

// ---- Effects: the first input is the variable that changes; of rule_constants the last one, the clock ----

Type infer_assign(const Op& op, const Tensors& inputs, const Attrs&) {
  const size_t target = op.name == "update_state" ? 1 : 0;
  const Tensor &variable = inputs[target], &value = inputs[target + 1];
  check<TypeError>(variable->is("variable"), describe(op, inputs), ": expected a parameter to change, got the result of ",
                   variable->op->name);
  check(variable->shape() == value->shape(), describe(op, inputs), ": the new value must have the parameter's shape ",
        variable->shape());
  return inputs[0]->type;
}

Type infer_rule_update(const Op& op, const Tensors& inputs, const Attrs&) {
  check(inputs.size() >= kFirstSlot, describe(op, inputs),
        ": expected the parameter, its gradient, the rule's constants and slots");
  const Type& type = inputs[kParameter]->type;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (i == kConstants) continue;
    check(inputs[i]->type == type, describe(op, inputs), ": gradient and slots must have the parameter's shape and dtype");
    check<TypeError>(i == kGradient || inputs[i]->is("variable"), describe(op, inputs), ": parameter and slots must be parameters");
  }
  return type;
}

Type infer_rule_constants(const Op& op, const Tensors& inputs, const Attrs&) {
  check(inputs[0]->type == Type{DType::float64, {}} && inputs[1]->type == Type{DType::float64, {Dim(kRuleClock)}},
        describe(op, inputs), ": expected the learning rate () and the clock (", kRuleClock, ",) in float64");
  return {DType::float64, {Dim(kRuleConstants)}};
}

}  // namespace

void register_sources() {
  register_op({"input", Kind::source, 0, infer_input, kNoGradient});
  register_op({"variable", Kind::source, 0, infer_variable, kNoGradient});
  register_op({"constant", Kind::source, 0, infer_constant, kNoGradient});
  register_op({"fill", Kind::source, 0, infer_input, kNoGradient});
  register_op({"size", Kind::source, 0, infer_size, kNoGradient});
  register_op({"iota", Kind::source, 0, infer_iota, kNoGradient});
  register_op({"random_uniform", Kind::random, 1, infer_random, kNoGradient});
  register_op({"in_training", Kind::mode, 2, infer_in_training, in_training_grad});
  register_op({"update_state", Kind::mode, 3, infer_assign, pass_grad});
  register_op({"stop_gradient", Kind::mode, 1, infer_same, kNoGradient});
  register_op({"assign", Kind::effect, 2, infer_assign, kNoGradient});
  register_op({"rule_update", Kind::effect, -1, infer_rule_update, kNoGradient});
  register_op({"rule_constants", Kind::effect, 2, infer_rule_constants, kNoGradient});
}

}  // namespace lamina::graph
