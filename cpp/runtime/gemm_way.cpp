#include "runtime/gemm_way.h"

#include <algorithm>

#include "runtime/cuts.h"

namespace lamina::runtime {

void GemmGrid::cut_into(int64_t rows, int64_t cols) {
  const int64_t n = task_.n;
  block_rows_ = rows;
  block_cols_ = cols;
  while (block_cols_ < n && n % block_cols_ > 0 && n % block_cols_ < task_.lanes) block_cols_ += task_.kernel.nr;
  block_cols_ = std::min(block_cols_, std::max<int64_t>(n, 1));
  row_blocks_ = ceil_div(task_.m, block_rows_);
  col_blocks_ = task_.whole_rows() ? 1 : ceil_div(n, block_cols_);  // a row without columns still has a sum
}

void GemmGrid::lay_out(const kernels::GemmArgs& largest, int64_t kept) {
  const auto bytes = [&](int64_t elements) { return align_up(static_cast<size_t>(elements * task_.element)); };
  begin_at_ = bytes(task_.multiplication.room(largest));
  c_at_ = begin_at_ + (task_.has_dense_start() ? 0 : bytes(block_cols_));
  rest_at_ = c_at_ + bytes(kept);
  scratch_bytes_ = rest_at_ + task_.epilogue_scratch();
}

TileProgram::Block GemmGrid::block_at(int64_t index) const {
  TileProgram::Block block{0, 0, 0, 0, 0};
  if (index > 0) {  // most steps have one block, and the divisions are a third of what is done for it here
    block.outer = index / (row_blocks_ * col_blocks_);
    block.row0 = index / col_blocks_ % row_blocks_ * block_rows_;
    block.col0 = index % col_blocks_ * block_cols_;
  }
  block.row1 = std::min(block.row0 + block_rows_, task_.m);
  block.col1 = std::min(block.col0 + block_cols_, task_.n);
  return block;
}

void GemmGrid::put(kernels::GemmArgs& args, const TileProgram::Block& block, char* all) const {
  args.c = all + ((block.outer * task_.m + block.row0) * task_.n + block.col0) * task_.element;
  args.c_row = task_.n;
}

void GemmGrid::run_epilogue(const Run& run, TileProgram::Block& block, const kernels::GemmArgs& args, char* scratch) const {
  block.product = args.c;
  block.product_row = args.c_row;
  task_.epilogue->run_block(run, block, scratch + rest_at_);
}

}  // namespace lamina::runtime
