// What updates take beside the products that make their gradients: the constants of their rules, and the updates of small parameters.
#include "runtime/bound_rule.h"
#include "runtime/kernel_types.h"
#include "runtime/steps.h"

namespace lamina::runtime {

using graph::Kind;
using graph::Node;

namespace {

constexpr int64_t kMostElements = 4096;  // a microsecond

// Updates of small parameters, biases above all, whose gradients lie in memory: one step for all of a program. A step of its own would
// cost each of them more than its update does.
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
      const Strided gradient = binder.locate(update.rule.tensors[kGradient]);
      update.rule.bind(binder);
      update.gradient = gradient.buffer;
      update.precision = precision_of(gradient.dtype);
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
      const int64_t all = update.elements;
      update.rule.entry->apply[update.precision](update.rule.args(run, 0, all, 1, all, run.at(update.gradient), all));
    }
  }

 private:
  struct Update {
    BoundRule rule;
    int gradient = -1;
    kernels::Precision precision = kernels::kF32;
    int64_t elements = 0;
  };
  std::vector<Update> updates_;
};

// Once a step, of all parameters with the same clock: what their rule makes of hyper-parameters, rate and the number of the step.
class RuleConstantsStep final : public NodeStep {
 public:
  explicit RuleConstantsStep(const Node* node) : NodeStep(node) {
    changes = {node->inputs[1].get()};
    hyper_ = node->attrs.get<std::vector<double>>("hyper");
  }

  void bind(const Binder& binder) override {
    const std::string& rule = node_->attrs.get<std::string>("rule");
    entry_ = kernels::find_rule(binder.kernels, rule);
    check(entry_ != nullptr, "[rule_constants] unknown update rule '", rule, "'");
    check(hyper_.size() == static_cast<size_t>(entry_->hypers), "[rule_constants] '", rule, "' expects ", entry_->hypers,
          " hyper-parameters, got ", hyper_.size());
    rate_ = binder.locate(node_->inputs[0].get());
    clock_ = binder.locate(node_->inputs[1].get());
    to_ = binder.locate(node_);
  }

  void run(const Run& run, int64_t, int64_t, int) const override {
    entry_->prepare(hyper_.data(), *reinterpret_cast<const double*>(run.at(rate_.buffer)),
                    reinterpret_cast<double*>(run.at(clock_.buffer)), reinterpret_cast<double*>(run.at(to_.buffer)));
  }

 private:
  std::vector<double> hyper_;
  const kernels::RuleEntry* entry_ = nullptr;
  Strided rate_, clock_, to_;
};

}  // namespace

// Whose gradient lies in memory as the parameter does: it is no view, and no number that stands for all elements.
bool is_small_update(const Node* node) {
  if (!node->is("rule_update")) return false;
  const Node *parameter = node->inputs[kParameter].get(), *gradient = node->inputs[kGradient].get();
  const Dim elements = product(parameter->shape(), 0, parameter->shape().size());
  const bool dense = gradient->op->kind != Kind::view && gradient->op->kind != Kind::source;
  return dense && elements.constant() && elements.offset <= kMostElements && gradient->type == parameter->type;
}

StepPtr make_updates_step(const std::vector<const Node*>& updates, const kernels::Table& kernels) {
  return std::make_unique<UpdatesStep>(updates, kernels);
}

StepPtr make_rule_constants_step(const Node* node) { return std::make_unique<RuleConstantsStep>(node); }

}  // namespace lamina::runtime
