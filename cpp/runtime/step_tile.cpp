// A tile program over a whole tensor, cut into units by the tensor's shape.
#include <algorithm>

#include "runtime/steps.h"

namespace lamina::runtime {

namespace {

// Elements of a unit: enough to be worth another thread's while, few enough to share a batch among many.
constexpr int64_t kUnit = 16 * 1024;

class TileStep final : public Step {
 public:
  TileStep(Cluster cluster, const kernels::Table& kernels) : program_(std::move(cluster), kernels) {
    const Cluster& c = program_.cluster();
    nodes = c.nodes;
    inputs = program_.external_inputs();
    for (const graph::Node* node : c.nodes) {
      name += (name.empty() ? "" : "+") + node->op->name;
      if (node->op->kind == graph::Kind::effect)
        for (size_t i = 0; i < node->inputs.size(); ++i)
          if (i != 1 && i != 2) changes.push_back(node->inputs[i].get());
    }
    for (const graph::Node* node : c.stored)
      if (node->op->kind != graph::Kind::effect) outputs.push_back(node);
  }

  void bind(const Binder& binder) override {
    program_.bind(binder, 0);
    const int64_t rows = program_.rows(), cols = program_.cols();
    const bool whole_rows = program_.cluster().has_rows || program_.cluster().has_columns || cols <= kUnit;
    unit_cols_ = whole_rows ? std::max<int64_t>(cols, 1) : kUnit;
    unit_rows_ = std::max<int64_t>(1, kUnit / std::max<int64_t>(unit_cols_, 1));
    row_units_ = (rows + unit_rows_ - 1) / unit_rows_;
    col_units_ = (cols + unit_cols_ - 1) / unit_cols_;
    if (program_.cluster().has_rows) col_units_ = 1;  // a row without columns still has a sum
    units_ = program_.outer() * row_units_ * col_units_;
    program_.set_slots(units_, units_);
    scratch_bytes_ = program_.scratch_bytes();
    flops_ = static_cast<double>(program_.outer() * rows * cols) * static_cast<double>(program_.instruction_count());
    bytes_ = program_.traffic();
  }

  void run(const Run& run, int64_t first, int64_t last, int worker) const override {
    for (int64_t unit = first; unit < last; ++unit) {
      const int64_t col = unit % col_units_, row = unit / col_units_ % row_units_;
      TileProgram::Block block{};
      block.outer = unit / (col_units_ * row_units_);
      block.row0 = row * unit_rows_;
      block.row1 = std::min(block.row0 + unit_rows_, program_.rows());
      block.col0 = col * unit_cols_;
      block.col1 = std::min(block.col0 + unit_cols_, program_.cols());
      block.slot = block.row_slot = unit;
      program_.run_block(run, block, run.scratch[worker].data());
    }
  }

  void finish(const Run& run) const override { program_.finish(run); }

 private:
  TileProgram program_;
  int64_t unit_rows_ = 1, unit_cols_ = 1, row_units_ = 1, col_units_ = 1;
};

}  // namespace

StepPtr make_tile_step(Cluster cluster, const kernels::Table& kernels) {
  return std::make_unique<TileStep>(std::move(cluster), kernels);
}

}  // namespace lamina::runtime
