// Updates of small parameters, biases above all, whose gradients lie in memory: one step for all of a program. Each by itself would take
// less time than the way to it.
#include "runtime/bound_rule.h"
#include "runtime/steps.h"

namespace lamina::runtime {

using graph::Kind;
using graph::Node;

namespace {

constexpr int64_t kMostElements = 4096;  // a microsecond

class UpdatesStep final : public Step {
 public:
  UpdatesStep(const std::vector<const Node*>& updates, const kernels::Table& kernels) {
    nodes = updates;
    changes = written_by(updates);
    for (const Node* node : updates) {
      name += (name.empty() ? "" : "+") + node->op->name;
      updates_.push_back({BoundRule(node, kernels)});
      inputs.insert(inputs.end(), updates_.back().rule.tensors.begin(), updates_.back().rule.tensors.end());
    }
    units_ = static_cast<int64_t>(updates.size());
  }

  void bind(const Binder& binder) override {
    flops_ = work_ = bytes_ = 0;
    for (Update& update : updates_) {
      const Strided gradient = binder.locate(update.rule.tensors[1]);
      update.rule.bind(binder);
      update.gradient = gradient.buffer;
      update.precision = gradient.dtype == DType::float64 ? kernels::kF64 : kernels::kF32;
      update.elements = count(gradient.sizes);
      const auto elements = static_cast<double>(update.elements);
      flops_ += elements;
      work_ += kRuleWork * elements;
      bytes_ += elements * static_cast<double>(size_of(gradient.dtype) * (1 + 2 * update.rule.buffers.size()));
    }
  }

  void run(const Run& run, int64_t first, int64_t last, int) const override {
    for (int64_t i = first; i < last; ++i) {
      const Update& update = updates_[static_cast<size_t>(i)];
      kernels::RuleArgs args = update.rule.args(run, 0, update.elements, 1, update.elements);
      args.g = run.at(update.gradient);
      args.g_row = update.elements;
      update.rule.entry->apply[update.precision](args);
    }
  }

 private:
  struct Update {
    BoundRule rule;
    int gradient = -1;
    int precision = kernels::kF32;
    int64_t elements = 0;
  };
  std::vector<Update> updates_;
};

}  // namespace

// Whose gradient lies in memory as the parameter does: it is no view, and no number that stands for all elements.
bool is_small_update(const Node* node) {
  if (!node->is("rule_update")) return false;
  const Node *parameter = node->inputs[0].get(), *gradient = node->inputs[1].get();
  const Dim elements = product(parameter->shape(), 0, parameter->shape().size());
  const bool dense = gradient->op->kind != Kind::view && gradient->op->kind != Kind::source;
  return dense && elements.constant() && elements.offset <= kMostElements && gradient->type == parameter->type;
}

StepPtr make_updates_step(const std::vector<const Node*>& updates, const kernels::Table& kernels) {
  return std::make_unique<UpdatesStep>(updates, kernels);
}

}  // namespace lamina::runtime
