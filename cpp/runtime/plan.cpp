#include "runtime/plan.h"

#include <algorithm>
#include <set>

#include "kernels/dispatch.h"
#include "runtime/lower.h"
#include "runtime/memory.h"
#include "runtime/steps.h"

namespace lamina::runtime {

using graph::Node;

namespace {

bool names_no_symbol(const Node* node) {
  const auto constant = [](const Shape& shape) {
    return std::all_of(shape.begin(), shape.end(), [](const Dim& dim) { return dim.constant(); });
  };
  for (const auto& [key, value] : node->attrs.items())
    if (const auto* shape = std::get_if<Shape>(&value); shape != nullptr && !constant(*shape)) return false;
  return constant(node->shape());
}

void check_given(const std::vector<const Node*>& nodes, const graph::Tensors& inputs) {
  for (const Node* node : nodes) {
    if (!node->is("input")) continue;
    const bool given = std::any_of(inputs.begin(), inputs.end(), [&](const auto& input) { return input.get() == node; });
    check(given, "[function] the outputs need a placeholder of shape ", node->shape(),
          " that is not among the inputs; add it to them");
  }
}

std::vector<StepPtr> make_steps(const std::vector<const Node*>& nodes, const graph::Tensors& outputs, FusionOptions fusion) {
  std::unordered_set<const Node*> wanted;
  for (const auto& output : outputs) wanted.insert(memory_of(output.get()));
  std::vector<StepPtr> steps = lower(nodes, wanted, fusion, kernels::table());
  if (schedule(steps)) return steps;
  fusion.updates = false;  // one shares a step with something that its parameter's readers wait for
  steps = lower(nodes, wanted, fusion, kernels::table());
  check(schedule(steps), "the updates of this program wait for each other");
  return steps;
}

std::vector<uint64_t> origins_of(const Step& step, const graph::Origins& origins) {
  std::set<uint64_t> serials;
  for (const Node* node : step.nodes) {
    const std::vector<uint64_t> origin = graph::origin_of(node, origins);
    serials.insert(origin.begin(), origin.end());
  }
  return {serials.begin(), serials.end()};
}

}  // namespace

Plan::Plan(const graph::Tensors& inputs, const graph::Roots& roots, FusionOptions fusion, Memory& memory)
    : nodes(graph::topological(graph::all_of(roots))) {
  check_given(nodes, inputs);
  find_fixed();
  steps = make_steps(nodes, roots.outputs, fusion);
  for (const StepPtr& step : steps) step->origins = origins_of(*step, roots.origins);
  put_outputs(roots.outputs, memory);
  for (const StepPtr& step : steps)
    for (const auto* list : {&step->inputs, &step->outputs, &step->changes})
      for (const Node* node : *list) memory.add(node);
  settle(memory);
  needs = needs_of(steps);
  for (size_t i = 0; i < steps.size(); ++i) {
    changed.insert(steps[i]->changes.begin(), steps[i]->changes.end());
    for (const Node* node : steps[i]->outputs)
      if (!roots.outputs.empty() && node == roots.outputs[0].get() && node->shape().empty())
        loss = {i, memory.output(0), node->dtype()};
  }
}

void Plan::find_fixed() {
  for (const Node* node : nodes)
    if (names_no_symbol(node) && std::all_of(node->inputs.begin(), node->inputs.end(),
                                             [&](const graph::Tensor& input) { return fixed.count(input.get()) > 0; }))
      fixed.insert(node);
}

// Copies what no step leaves where the caller wants it: an input, a parameter, a view, or an output given twice.
void Plan::put_outputs(const graph::Tensors& outputs, Memory& memory) {
  std::unordered_set<const Node*> made;
  for (const StepPtr& step : steps) made.insert(step->outputs.begin(), step->outputs.end());
  std::vector<StepPtr> copies;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Node* node = outputs[i].get();
    if (made.count(node) > 0 && memory.put_in_output(node, i)) continue;
    copies.push_back(make_copy_step(node, [id = memory.output(i), node](const Binder& binder) {
      return Strided::dense(id, node->dtype(), binder.symbols.eval(node->shape()));
    }));
  }
  for (StepPtr& copy : copies) steps.push_back(std::move(copy));
  check(schedule(steps), "an output waits for the update of what it shows");
}

// Takes the steps apart that need nothing but constants and sizes.
void Plan::settle(Memory& memory) {
  const auto is_known = [&](const Node* node) { return memory.is_known(node); };
  const auto is_in_arena = [&](const Node* node) { return memory.is_in_arena(node); };
  std::vector<StepPtr> rest;
  for (StepPtr& step : steps) {
    const auto &in = step->inputs, &out = step->outputs;
    const bool known = step->changes.empty() && !out.empty() && std::all_of(in.begin(), in.end(), is_known) &&
                       std::all_of(out.begin(), out.end(), is_in_arena);
    if (known)
      for (const Node* node : out) memory.settle(node);
    (known ? settled : rest).push_back(std::move(step));
  }
  steps = std::move(rest);
}

}  // namespace lamina::runtime
