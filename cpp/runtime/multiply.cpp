#include "runtime/multiply.h"

#include <algorithm>

#include "runtime/cuts.h"

namespace lamina::runtime {

namespace {

// Rows of a group: fewer are multiplied at a loss (32: 2 % of a step of 4-64-64-2 on one thread), and more would be several pieces of k.
// A group is long for C where its rows of A and B are more than C itself, which is what threads pass to each other.
constexpr int64_t kLeastGroup = 48, kMostGroup = 512;
constexpr int64_t kShortBatch = 256, kLongBatch = 1024;  // fewer rows are two groups, four; more eight, or as many as it takes

// Multiply-adds that take as long as the lanes of a dot product do to become one number. Short ones are faster as columns of vectors
// that are not full: 400 x 16 x 4 in f32 2.2 us (dot products 2.3), 400 x 32 x 4 3.9 -> 2.9.
constexpr int64_t kMerging = 4;

// Multiply-adds that take as long as it does to transpose a vector of C: what is not longer is faster as rows that do not fill a vector
// (a step of 4 samples of 100-15 in f32 takes 13 % less).
constexpr int64_t kTransposing = 8;

// Up to so many rows, whatever the batch, a B of dense columns is multiplied as it is and not transposed first, if k is some vectors
// long: kDotRows of any A, kDotRowsOfNearA of an A of at most kNearA numbers, which stays near. In f32 8 x 256 x 256 15.3 -> 11.2 us,
// 16 x 512 x 512 89 -> 80; but 16 x 1024 x 1024 404 (dot products 461), 32 x 128 x 128 9.2 (10.2).
constexpr int64_t kDotRows = 8, kDotRowsOfNearA = 16, kNearA = 8192;
constexpr int64_t kLeastVectors = 4;

// Bytes of rows that are given, from which on they are taken to come from memory: a tile has several of them side by side, more than
// processors follow. Tiles ask beside their multiply-adds; dot products take up to a third longer where A is near after all.
constexpr int64_t kFarA = 128 << 10;

}  // namespace

void Multiplication::bind(const Layout& layout, int64_t lanes) {
  at_ = layout;
  far_a_ = at_.given && at_.a_col == 1 && at_.a_row == at_.k && at_.m * at_.k * element_ >= kFarA;
  if (at_.n <= 1) at_.b_col = 1;
  way_ = choose_way(lanes);
  groups_ = 1;
  group_ = at_.k;
  if (at_.over_batch) choose_groups();
}

Multiplication::Way Multiplication::choose_way(int64_t lanes) const {
  // Dot products add in another order than chains do: a batch of one must not decide, or a row's bits would depend on its batch.
  const bool rows_are_dense = at_.a_col == 1 && at_.a_row >= at_.k;  // the only row of an A^T looks dense, too
  const bool columns_are_dense = at_.b_row == 1;
  if (at_.fixed_rows && columns_are_dense) {
    if (at_.m == 1 && at_.a_col == 1) return Way::row_of_dots;
    const bool few_rows = at_.m > 1 && (at_.m <= kDotRows || (at_.m <= kDotRowsOfNearA && at_.m * at_.k <= kNearA));
    if (few_rows && rows_are_dense && at_.k >= std::max(kLeastVectors, at_.m / 2) * lanes) return Way::dots;
  }
  const bool few = columns_are_dense ? at_.n < lanes : at_.b_col == 1 && at_.n <= lanes / 2;
  if (few && rows_are_dense && at_.k * (lanes - at_.n) >= kMerging * at_.n * lanes)
    return columns_are_dense ? Way::dots : Way::dots_of_transposed;
  const bool is_short = at_.n > 1 && at_.k * (lanes - at_.n) < kTransposing * at_.n;
  if (at_.n < lanes && at_.a_row == 1 && at_.m >= lanes && !is_short) return Way::upright;
  return Way::panels;
}

void Multiplication::choose_groups() {
  const bool in_rows = at_.a_row == 1 && at_.b_col == 1 && (way_ == Way::panels || way_ == Way::upright);
  if (!in_rows || at_.m < 1 || at_.n < 1) return;
  const auto is_long = [&](int64_t rows) { return rows >= kLeastGroup && rows * (at_.m + at_.n) >= at_.m * at_.n; };
  const int64_t most = at_.k < kShortBatch ? 2 : at_.k < kLongBatch ? 4 : std::max<int64_t>(8, ceil_div(at_.k, kMostGroup));
  int64_t groups = most;
  while (groups > 1 && !is_long(at_.k / groups)) groups /= 2;
  const int64_t chunk = chunk_of_rows(at_.k), rows = ceil_div(ceil_div(at_.k, chunk), groups) * chunk;
  if (groups == 1 || rows > kMostGroup) return;
  group_ = rows;
  groups_ = ceil_div(at_.k, rows);
}

kernels::GemmArgs Multiplication::factors(int64_t rows, int64_t cols, int64_t grain) const {
  kernels::GemmArgs args;  // one by one: all at once are cleared by a loop that takes longer
  args.a = args.b = args.c = nullptr;
  args.c_row = 0;
  args.m = rows;
  args.n = cols;
  args.k = at_.k;
  args.a_row = at_.a_row;
  args.a_col = at_.a_col;
  args.far_a = far_a_;
  args.b_row = at_.b_row;
  args.b_col = at_.b_col;
  args.grain = grain;
  return args;
}

kernels::GemmArgs Multiplication::group_of(const kernels::GemmArgs& all, int64_t g) const {
  kernels::GemmArgs args = all;
  const int64_t first = g * group_;
  args.k = std::min(group_, at_.k - first);
  args.a = static_cast<const char*>(all.a) + first * all.a_col * element_;
  args.b = static_cast<const char*>(all.b) + first * all.b_row * element_;
  return args;
}

int64_t Multiplication::room(const kernels::GemmArgs& block) const {
  if (way_ == Way::dots_of_transposed) return at_.k * block.n;
  if (way_ != Way::panels && way_ != Way::upright) return 0;
  kernels::GemmArgs args = block;
  args.k = std::min<int64_t>(block.k, group_);
  if (way_ == Way::upright) return block.m * block.n + kernel_.room(transposed(args, nullptr));
  return kernel_.room(args);
}

void Multiplication::run(kernels::GemmArgs& block, char* scratch) const {
  switch (way_) {
    case Way::panels: return run_panels(block);
    case Way::dots: block.b_row = at_.b_col; return kernel_.narrow(block);
    case Way::dots_of_transposed: return run_dots_of_transposed(block, scratch);
    case Way::upright: return run_upright(block, scratch);
    case Way::row_of_dots: return run_row_of_dots(block);
  }
}

// Group by group, where the block has more than one.
void Multiplication::run_panels(const kernels::GemmArgs& block) const {
  if (block.k <= group_) return kernel_.block(block);
  for (int64_t g = 0; g < groups_; ++g) {
    kernels::GemmArgs part = group_of(block, g);
    part.adds = g > 0;
    if (g + 1 < groups_) part.finished = nullptr;
    kernel_.block(part);
  }
}

void Multiplication::run_dots_of_transposed(kernels::GemmArgs args, char* scratch) const {
  kernel_.transpose(scratch, at_.k, args.b, at_.b_row, at_.k, args.n);
  args.b = scratch;
  args.b_row = at_.k;
  kernel_.narrow(args);
}

// C^T = B^T A^T; a column of C lies like a row.
kernels::GemmArgs Multiplication::transposed(const kernels::GemmArgs& args, void* c) const {
  kernels::GemmArgs t{};
  t.m = args.n;
  t.n = args.m;
  t.k = args.k;
  t.a = args.b;
  t.a_row = at_.b_col;
  t.a_col = at_.b_row;
  t.b = args.a;
  t.b_row = at_.a_col;
  t.b_col = 1;
  t.c = c;
  t.c_row = args.m;
  return t;
}

void Multiplication::run_upright(const kernels::GemmArgs& args, char* scratch) const {
  const bool column = args.n == 1 && args.c_row == 1;
  kernels::GemmArgs t = transposed(args, column ? args.c : scratch);
  t.room = scratch + args.m * args.n * element_;
  if (args.start != nullptr) {
    kernel_.transpose(t.c, t.c_row, args.start, 0, args.m, args.n);
    t.start = t.c;
    t.start_row = t.c_row;
  }
  run_panels(t);
  if (!column) kernel_.transpose(args.c, args.c_row, scratch, args.m, args.n, args.m);
}

void Multiplication::run_row_of_dots(const kernels::GemmArgs& args) const {
  kernels::GemmArgs t = transposed(args, args.c);
  t.b_row = at_.k;
  t.c_row = 1;
  t.start = args.start;
  t.start_row = 1;
  kernel_.narrow(t);
}

}  // namespace lamina::runtime
