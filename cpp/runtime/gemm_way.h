// The ways in which a product is carried out: C in blocks, each multiplied over all of k by one thread (gemm_blocks.h); in blocks that
// one of two threads hands to the other halfway (gemm_relay.h); or as sums over groups of a batch's rows that threads have made
// before (gemm_groups.h).
//
// Every element of C is summed in an order that the graph alone decides, as a rule in one chain of multiply-adds over ascending k: the
// result depends neither on the number of threads nor on the other rows, and so not on the way.
#pragma once

#include "runtime/gemm_task.h"

namespace lamina::runtime {

class GemmWay {
 public:
  explicit GemmWay(const GemmTask& task) : task_(task) {}
  virtual ~GemmWay() = default;

  // As of the last cut.
  int64_t units() const { return units_; }
  size_t scratch_bytes() const { return scratch_bytes_; }
  virtual void run(const Run& run, int64_t unit, char* scratch) const = 0;

 protected:
  const GemmTask& task_;
  int64_t units_ = 1;
  size_t scratch_bytes_ = 0;
};

// C cut into blocks; and what a worker's scratch holds for one, in this order: packed factors, the part of a start that is not dense, the
// block itself, and what the epilogue needs.
class GemmGrid : public GemmWay {
 protected:
  using GemmWay::GemmWay;

  // Blocks of about so many columns: none at the end has fewer than a vector has lanes, as it would read all of A for them.
  void cut_into(int64_t rows, int64_t cols);
  // `largest`: the block that takes the most room. `kept`: elements of C in scratch.
  void lay_out(const kernels::GemmArgs& largest, int64_t kept);
  int64_t blocks() const { return task_.stacks * row_blocks_ * col_blocks_; }
  TileProgram::Block block_at(int64_t index) const;
  kernels::GemmArgs product_at(const Run& run, const TileProgram::Block& block, char* scratch) const {
    return task_.product_at(run, block, scratch, scratch + begin_at_);
  }
  // C's place: the block's own in `all`, which is C as a whole, dense.
  void put(kernels::GemmArgs& args, const TileProgram::Block& block, char* all) const;
  void run_epilogue(const Run& run, TileProgram::Block& block, const kernels::GemmArgs& args, char* scratch) const;

  int64_t block_rows_ = 1, block_cols_ = 1, row_blocks_ = 1, col_blocks_ = 1;
  size_t begin_at_ = 0, c_at_ = 0, rest_at_ = 0;  // in scratch
};

}  // namespace lamina::runtime
