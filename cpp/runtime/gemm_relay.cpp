#include "runtime/gemm_relay.h"

#include <algorithm>

#include "runtime/cuts.h"

namespace lamina::runtime {

namespace {

// Bytes of B: fewer are soon read again, more do not stay in a cache until they are updated. k is at least so many times the rows of C,
// whose sums are passed on. And about how many blocks C is cut into: the second thread waits for the first one.
constexpr int64_t kLeastBytes = 64'000, kMostBytes = 512'000;
constexpr int64_t kDepthOverRows = 6;
constexpr int64_t kBlocks = 16;  // fewer where a tile has more rows; twice as many were no faster (docs/why_fast.md)

}  // namespace

bool GemmRelay::suits(const GemmTask& task) {
  const int64_t bytes = task.shared().bytes;
  return task.b_changes && task.multiplication.is_in_panels() && task.stacks == 1 && !task.whole_rows() && task.b_col == 1 &&
         bytes >= kLeastBytes && bytes <= kMostBytes && task.m > 2 * task.kernel.mr && task.k >= kDepthOverRows * task.m;
}

void GemmRelay::cut() {
  const int64_t grain = std::max<int64_t>(task_.grain(), task_.kernel.mr), cols = std::min<int64_t>(task_.n, 2 * task_.kernel.nr);
  const int64_t by_rows = ceil_div(kBlocks, ceil_div(task_.n, cols));
  cut_into(std::min(task_.m, round_up(ceil_div(task_.m, by_rows), grain)), cols);
  halves_.reset(blocks());
  units_ = 2;
  kernels::GemmArgs block = task_.factors(block_rows_, block_cols_);
  block.k = task_.k - task_.k / 2;
  lay_out(block, 0);
  if (!task_.stores_product) sums_.grow(static_cast<size_t>(task_.m * task_.n * task_.element), [] { return "sums of a product"; });
}

void GemmRelay::run(const Run& run, int64_t unit, char* scratch) const {
  const bool begins = unit == 0;
  const int64_t middle = task_.k / 2;
  for (int64_t i = 0; i < blocks(); ++i) {
    TileProgram::Block block = block_at(i);
    kernels::GemmArgs args = product_at(run, block, scratch);
    put(args, block, task_.stores_product ? run.at(task_.c.buffer) : sums_.data());
    args.k = begins ? middle : task_.k - middle;
    if (begins) {
      task_.kernel.block(args);
      halves_.give(i);
      continue;
    }
    args.a = static_cast<const char*>(args.a) + middle * task_.a_col * task_.element;
    args.b = static_cast<const char*>(args.b) + middle * task_.b_row * task_.element;
    args.start = args.c;
    args.start_row = args.c_row;
    halves_.take(i);
    task_.kernel.block(args);
    if (task_.epilogue) run_epilogue(run, block, args, scratch);
  }
}

}  // namespace lamina::runtime
