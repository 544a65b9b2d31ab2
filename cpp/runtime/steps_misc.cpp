// The middle of three axes, random numbers, and the constants of an update rule.
#include <algorithm>

#include "kernels/dispatch.h"
#include "runtime/steps.h"

namespace lamina::runtime {

using graph::Node;

namespace {

// y[o, i] = reduce over r of x[o, r, i]: dense, one unit for each o.
class MiddleReduceStep final : public NodeStep {
 public:
  using NodeStep::NodeStep;

  void bind(const Binder& binder) override {
    from_ = binder.locate(node_->inputs[0].get());
    to_ = binder.locate(node_);
    precision_ = from_.dtype == DType::float64 ? kernels::kF64 : kernels::kF32;
    check<TypeError>(is_float(from_.dtype), "[", node_->op->name, "] over a middle axis: expected floats, got ",
                     name_of(from_.dtype), "; cast first");
    const std::string& op = node_->op->name;
    combine_ = kernels::find_tile(binder.kernels, ("column_" + op).c_str())->fn[precision_];
    units_ = from_.sizes[0];
    flops_ = static_cast<double>(count(from_.sizes));
    work_ = flops_;
    bytes_ = flops_ * static_cast<double>(size_of(from_.dtype));
  }

  void run(const Run& run, int64_t first, int64_t last, int) const override {
    const int64_t rows = from_.sizes[1], cols = from_.sizes[2];
    const auto element = static_cast<int64_t>(size_of(from_.dtype));
    for (int64_t o = first; o < last; ++o) {
      kernels::TileArgs args;
      args.out = run.at(to_.buffer) + o * cols * element;
      args.in[0] = {run.at(from_.buffer) + (from_.offset + o * rows * cols) * element, cols, 1};
      args.rows = rows;
      args.cols = cols;
      args.fresh = true;
      combine_(args);
    }
  }

 private:
  Strided from_, to_;
  int precision_ = 0;
  kernels::TileFn combine_ = nullptr;
};

// Element i of stream (seed, stream, step): the same for any number of threads.
class RandomStep final : public NodeStep {
 public:
  using NodeStep::NodeStep;

  void bind(const Binder& binder) override {
    to_ = binder.locate(node_);
    state_ = binder.locate(node_->inputs[0].get());
    uniform_ = binder.kernels.uniform[to_.dtype == DType::float64 ? kernels::kF64 : kernels::kF32];
    total_ = count(to_.sizes);
    units_ = (total_ + kUnit - 1) / kUnit;
    work_ = kWork * static_cast<double>(total_);
    bytes_ = static_cast<double>(total_) * static_cast<double>(size_of(to_.dtype));
  }

  void run(const Run& run, int64_t first, int64_t last, int) const override {
    const int64_t* state = reinterpret_cast<const int64_t*>(run.at(state_.buffer)) + state_.offset;
    const auto stream = static_cast<uint64_t>(node_->attrs.get<int64_t>("stream"));
    const int64_t begin = first * kUnit, end = std::min(last * kUnit, total_);
    uniform_(run.at(to_.buffer) + begin * static_cast<int64_t>(size_of(to_.dtype)), end - begin, static_cast<uint64_t>(state[0]),
             (static_cast<uint64_t>(state[1]) << 20) + stream, static_cast<uint64_t>(begin));
  }

 private:
  static constexpr int64_t kUnit = 16 * 1024;
  static constexpr double kWork = 25;  // of an element, as TileEntry::work
  Strided to_, state_;
  int64_t total_ = 0;
  void (*uniform_)(void*, ptrdiff_t, uint64_t, uint64_t, uint64_t) = nullptr;
};

class RuleConstantsStep final : public NodeStep {
 public:
  explicit RuleConstantsStep(const Node* node) : NodeStep(node) {
    changes = {node->inputs[1].get()};
    hyper_ = node->attrs.get<std::vector<double>>("hyper");
  }

  void bind(const Binder& binder) override {
    const std::string& rule = node_->attrs.get<std::string>("rule");
    entry_ = kernels::find_rule(binder.kernels, rule.c_str());
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

StepPtr make_middle_reduce_step(const Node* node) { return std::make_unique<MiddleReduceStep>(node); }
StepPtr make_random_step(const Node* node) { return std::make_unique<RandomStep>(node); }
StepPtr make_rule_constants_step(const Node* node) { return std::make_unique<RuleConstantsStep>(node); }

}  // namespace lamina::runtime
