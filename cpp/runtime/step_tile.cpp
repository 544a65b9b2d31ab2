// A tile program over a whole tensor, cut into units by the tensor's shape.
#include <algorithm>

#include "runtime/cuts.h"
#include "runtime/steps.h"

namespace lamina::runtime {

namespace {

class TileStep final : public Step, public RowWise {
 public:
  TileStep(Cluster cluster, const kernels::Table& kernels) : program_(std::move(cluster), kernels) { add_to(*this, program_); }

  void bind(const Binder& binder) override {
    program_.bind(binder, 0);
    const int64_t cols = program_.cols(), grain = program_.grain();
    rows_ = program_.outer() * program_.rows();
    const double elements = static_cast<double>(rows_) * static_cast<double>(cols);
    const double worth = kSlowUnitWork / std::max(program_.work() / std::max(elements, 1.0), 1.0);
    const int64_t unit = std::clamp(static_cast<int64_t>(worth) / kTile * kTile, kTile, kUnitElements);
    const bool whole_rows = program_.cluster().has_rows || cols <= unit;
    unit_cols_ = whole_rows ? std::max<int64_t>(cols, 1) : unit;
    unit_rows_ = std::max<int64_t>(1, unit / unit_cols_ / grain) * grain;
    col_units_ = ceil_div(cols, unit_cols_);
    if (program_.cluster().has_rows) col_units_ = 1;  // a row without columns still has a sum
    units_ = ceil_div(rows_, unit_rows_) * col_units_;
    scratch_bytes_ = program_.scratch_bytes();
    flops_ = program_.flops();
    work_ = program_.work();
    bytes_ = program_.traffic();
  }

  void run(const Run& run, int64_t first, int64_t last, int worker) const override {
    if (units_ == 1 && program_.outer() == 1)
      return program_.run_block(run, {0, 0, program_.rows(), 0, program_.cols()}, run.scratch[worker].data());
    for (int64_t unit = first; unit < last; ++unit) {
      TileProgram::Block block{};
      block.col0 = unit % col_units_ * unit_cols_;
      block.col1 = std::min(block.col0 + unit_cols_, program_.cols());
      const int64_t begin = unit / col_units_ * unit_rows_, end = std::min(begin + unit_rows_, rows_);
      for (int64_t row = begin; row < end; row += block.row1 - block.row0) {
        block.outer = row / program_.rows();
        block.row0 = row % program_.rows();
        block.row1 = std::min(block.row0 + end - row, program_.rows());
        program_.run_block(run, block, run.scratch[worker].data());
      }
    }
  }

  void finish(const Run& run) const override { program_.finish(run); }

  RowWise* row_wise() override { return this; }
  int64_t rows() const override { return rows_ > 1 ? rows_ : 0; }
  bool splits(int64_t rows) const override {
    return rows == rows_ || (rows_ == 1 && !program_.cluster().has_rows && rows > 0 && program_.cols() % rows == 0);
  }
  int64_t grain(int64_t rows) const override { return rows == rows_ ? program_.grain() : program_.grain_along(rows); }
  bool reads_rows(int buffer, int64_t rows, int64_t width) const override { return program_.reads_rows(buffer, rows, width); }
  bool leaves_rows(int buffer) const override { return program_.leaves_rows(buffer); }
  void cut_rows(int64_t rows, int64_t block) override {
    const int64_t cols = program_.cols();
    unit_rows_ = rows == rows_ ? block : 1;
    unit_cols_ = std::max<int64_t>(rows == rows_ ? cols : cols / rows * block, 1);
    col_units_ = rows == rows_ ? 1 : ceil_div(cols, unit_cols_);
    units_ = ceil_div(rows_, unit_rows_) * col_units_;
  }

 private:
  TileProgram program_;
  int64_t rows_ = 1, unit_rows_ = 1, unit_cols_ = 1, col_units_ = 1;
};

}  // namespace

StepPtr make_tile_step(Cluster cluster, const kernels::Table& kernels) {
  return std::make_unique<TileStep>(std::move(cluster), kernels);
}

}  // namespace lamina::runtime
