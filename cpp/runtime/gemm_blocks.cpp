#include "runtime/gemm_blocks.h"

#include <algorithm>
#include <cstring>

#include "runtime/cuts.h"

namespace lamina::runtime {

namespace {

constexpr int64_t kBlockCols = 1024;  // columns of C in one block,
constexpr int64_t kRowCols = 4096;    // and where it has one row: B is read once, and memory likes long rows
constexpr int64_t kTallRows = 2048;   // rows of a block that no epilogue waits for: B is packed once for all of them (3 to 10 %)
constexpr int64_t kHalves = 4;        // times as many blocks of a symmetric product, most of which have half the work, or none
constexpr int64_t kMirrored = 32;     // rows and columns that are mirrored at once

}  // namespace

// As few blocks as there are threads to be served: each reads all of A's rows, or B's columns, and packs them. Columns are cut
// first; rows where A is packed, where an update follows, which likes them long, or where each thread has many.
void GemmBlocks::cut(int64_t parts, int threads) {
  const TileProgram* epilogue = task_.epilogue.get();
  const bool whole_rows = task_.whole_rows();
  const int64_t stacks = std::max<int64_t>(task_.stacks, 1), rows = std::max<int64_t>(task_.m, 1);
  const int64_t cols = std::max<int64_t>(task_.n, 1);
  const int64_t nr = task_.kernel.nr, grain = std::max<int64_t>(task_.grain(), task_.kernel.mr);
  const bool transposes = task_.b_col != 1;  // the columns of B that a block needs, anew for more blocks of rows
  const int64_t narrowest = transposes ? nr : 2 * nr, step = transposes ? task_.lanes : nr;
  const int64_t most_rows = ceil_div(rows, grain), most_cols = whole_rows ? 1 : std::max<int64_t>(cols / narrowest, 1);
  int64_t by_rows = ceil_div(rows, epilogue ? task_.kernel.packed_rows : kTallRows);
  int64_t by_cols = whole_rows ? 1 : ceil_div(cols, rows == 1 ? kRowCols : kBlockCols);
  const int64_t wanted = task_.symmetric && parts > 1 ? kHalves * parts : parts;
  const auto more_rows = [&] { by_rows = std::clamp(ceil_div(wanted, stacks * by_cols), by_rows, std::max(by_rows, most_rows)); };
  const auto more_cols = [&] { by_cols = std::clamp(ceil_div(wanted, stacks * by_rows), by_cols, std::max(by_cols, most_cols)); };
  const bool tall =
      2 * rows >= parts * task_.kernel.packed_rows || task_.kernel.packs_a(task_.multiplication.factors(task_.m, task_.n, 1));
  if (epilogue ? epilogue->has_rules() : tall) more_rows();
  more_cols();
  more_rows();
  if (parts > 1 && stacks * by_cols == 1) by_rows = std::min(round_up(by_rows, threads), std::max(by_rows, most_rows));
  place(std::min(rows, round_up(ceil_div(rows, by_rows), task_.grain())),
        whole_rows ? cols : std::min(cols, round_up(ceil_div(cols, by_cols), step)));
}

void GemmBlocks::cut_rows(int64_t block) {
  const int64_t cols = std::max<int64_t>(task_.n, 1), strips = task_.whole_rows() ? 1 : ceil_div(cols, kBlockCols);
  place(std::min(block, std::max<int64_t>(task_.m, 1)), std::min(cols, round_up(ceil_div(cols, strips), task_.kernel.nr)));
}

// What runs behind the parts of a block.
struct GemmBlocks::Parts {
  const GemmTask& task;
  const Run& run;
  const TileProgram::Block& block;
  char* scratch;

  static void finished(void* context, const kernels::GemmPart& part) {
    const Parts& p = *static_cast<const Parts*>(context);
    const TileProgram::Block& b = p.block;
    p.task.epilogue->run_block(
        p.run,
        {b.outer, b.row0 + part.row0, b.row0 + part.row1, b.col0 + part.col0, b.col0 + part.col1, part.c, part.c_row, part.asked},
        p.scratch);
  }
};

void GemmBlocks::place(int64_t rows, int64_t cols) {
  cut_into(rows, cols);
  units_ = blocks();
  const TileProgram* epilogue = task_.epilogue.get();
  const bool only_behind = epilogue != nullptr && !task_.stores_product;
  updates_by_outer_ = only_behind && task_.k == 1 && task_.n >= task_.lanes && task_.b_col == 1 && task_.product.start == nullptr &&
                      !task_.symmetric && epilogue->updates_by_outer();
  kernels::GemmArgs block = task_.factors(block_rows_, block_cols_);
  hands_out_ = task_.multiplication.is_in_panels() && epilogue != nullptr && epilogue->far_count() > 0 && !task_.whole_rows();
  if (hands_out_) {
    block.finished = Parts::finished;
    block.far_count = epilogue->far_count();
  }
  in_parts_ = hands_out_ && only_behind && task_.k <= task_.kernel.piece && task_.multiplication.groups() == 1;
  const bool keeps = !task_.stores_product && !updates_by_outer_;
  lay_out(block, keeps ? in_parts_ ? task_.kernel.part(block) : block_rows_ * block_cols_ : 0);
}

void GemmBlocks::run(const Run& run, int64_t unit, char* scratch) const {
  TileProgram::Block block = block_at(unit);
  if (task_.symmetric && block.col1 <= block.row0) return;
  kernels::GemmArgs args = product_at(run, block, scratch);
  if (updates_by_outer_) return task_.epilogue->update_by_outer(run, block, args.a, task_.a_row, args.b);
  args.c = scratch + c_at_;
  args.c_row = args.n;
  if (task_.symmetric) args.diagonal = block.col0 - block.row0;
  if (task_.stores_product) put(args, block, run.at(task_.c.buffer));
  if (hands_out_) return multiply_in_parts(args, {task_, run, block, scratch + rest_at_});
  task_.multiplication.run(args, scratch);
  if (task_.epilogue) run_epilogue(run, block, args, scratch);
}

void GemmBlocks::multiply_in_parts(kernels::GemmArgs& args, Parts parts) const {
  args.finished = Parts::finished;
  args.context = &parts;
  args.in_parts = in_parts_;
  kernels::GemmArgs::Far far[kernels::kMaxFar];
  args.far = far;
  args.far_count = task_.epilogue->find_far(parts.run, parts.block, far);
  task_.multiplication.run_panels(args);
}

void GemmBlocks::finish(const Run& run) const {
  if (!task_.symmetric) return;
  for (int64_t s = 0; s < task_.stacks; ++s) mirror(run.at(task_.c.buffer) + s * task_.n * task_.n * task_.element);
}

// What lies below the diagonal, from above it.
void GemmBlocks::mirror(char* c) const {
  const int64_t n = task_.n;
  const auto at = [&](int64_t i, int64_t j) { return c + (i * n + j) * task_.element; };
  for (int64_t i = 0; i < n; i += kMirrored) {
    const int64_t rows = std::min(kMirrored, n - i);
    for (int64_t j = i + rows; j < n; j += kMirrored)
      task_.kernel.transpose(at(j, i), n, at(i, j), n, rows, std::min(kMirrored, n - j));
    for (int64_t r = i; r < i + rows; ++r)
      for (int64_t k = r + 1; k < i + rows; ++k) std::memcpy(at(k, r), at(r, k), static_cast<size_t>(task_.element));
  }
}

}  // namespace lamina::runtime
