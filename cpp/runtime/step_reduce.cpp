// Reductions along the middle of three axes; those along the last one, or down columns, are tile programs.
#include "kernels/dispatch.h"
#include "runtime/kernel_types.h"
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
    check<TypeError>(is_float(from_.dtype), "[", node_->op->name, "] over a middle axis: expected floats, got ",
                     name_of(from_.dtype), "; cast first");
    const std::string& op = node_->op->name;
    combine_ = kernels::find_tile(binder.kernels, "column_" + op).fn[precision_of(from_.dtype)];
    units_ = from_.sizes[0];
    flops_ = static_cast<double>(count(from_.sizes));
    work_ = flops_;
    bytes_ = flops_ * static_cast<double>(size_of(from_.dtype));
  }

  void run(const Run& run, int64_t first, int64_t last, int) const override {
    const int64_t rows = from_.sizes[1], cols = from_.sizes[2];
    const auto element = static_cast<int64_t>(size_of(from_.dtype));
    for (int64_t o = first; o < last; ++o) {
      const char* x = run.at(from_.buffer) + (from_.offset + o * rows * cols) * element;
      combine_(kernels::TileArgs::of_columns(run.at(to_.buffer) + o * cols * element, {x, cols, 1}, rows, cols, true));
    }
  }

 private:
  Strided from_, to_;
  kernels::TileFn combine_ = nullptr;
};

}  // namespace

StepPtr make_middle_reduce_step(const Node* node) { return std::make_unique<MiddleReduceStep>(node); }

}  // namespace lamina::runtime
