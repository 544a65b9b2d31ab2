#include "runtime/batch_sums.h"

#include <algorithm>

#include "kernels/dispatch.h"
#include "runtime/cuts.h"
#include "runtime/kernel_types.h"

namespace lamina::runtime {

BatchSums::BatchSums(const Multiplication& multiplication, const std::vector<const graph::Node*>& factors)
    : multiplication_(multiplication) {
  reads = factors;
}

void BatchSums::bind(const Factor& a, const Factor& b, int64_t rows, DType type, const Binder& binder) {
  a_ = a;
  b_ = b;
  rows_ = rows;
  element_ = static_cast<int64_t>(size_of(type));
  add_ = kernels::find_tile(binder.kernels, "add").fn[precision_of(type)];
}

bool BatchSums::reads_rows(int buffer, int64_t, int64_t width) const {
  const auto fits = [&](const Factor& f) { return f.buffer != buffer || f.row == width; };
  return fits(a_) && fits(b_);
}

void BatchSums::cut_rows(int64_t, int64_t block) {
  unit_groups_ = block / multiplication_.group();
  unit_rows_ = a_.cols;
  units_ = ceil_div(multiplication_.groups(), unit_groups_);
  make_room();
}

// By groups, and where they are too few by rows of C.
void BatchSums::cut(int64_t parts) {
  const int64_t groups = multiplication_.groups();
  unit_groups_ = std::max<int64_t>(groups / std::max<int64_t>(parts, 1), 1);
  const int64_t by_groups = ceil_div(groups, unit_groups_), by_rows = ceil_div(parts, by_groups);
  unit_rows_ = std::min(a_.cols, round_up(ceil_div(a_.cols, by_rows), multiplication_.tile_rows()));
  units_ = by_groups * ceil_div(a_.cols, unit_rows_);
  make_room();
}

void BatchSums::make_room() {
  const auto bytes = static_cast<size_t>(multiplication_.groups() * a_.cols * b_.cols * element_);
  sums_.grow(bytes, [] { return "sums of a product"; });
}

int64_t BatchSums::scratch_elements() const { return multiplication_.room(multiplication_.factors(unit_rows_, b_.cols, 1)); }

void BatchSums::sum_groups(const Run& run, int64_t unit, char* scratch) const {
  const int64_t by_rows = ceil_div(a_.cols, unit_rows_), row = unit % by_rows * unit_rows_;
  const int64_t first = unit / by_rows * unit_groups_, last = std::min(first + unit_groups_, multiplication_.groups());
  kernels::GemmArgs all = multiplication_.factors(std::min(unit_rows_, a_.cols - row), b_.cols, 1);
  all.a = run.at(a_.buffer) + (a_.at + row) * element_;
  all.b = run.at(b_.buffer) + b_.at * element_;
  all.c_row = b_.cols;
  all.room = scratch;
  for (int64_t g = first; g < last; ++g) {
    kernels::GemmArgs part = multiplication_.group_of(all, g);
    part.c = sums(g, row);
    multiplication_.run(part, scratch);
  }
}

void BatchSums::add_up(char* to, int64_t first, int64_t last) const {
  const int64_t cols = (last - first) * b_.cols;
  kernels::TileArgs args = kernels::TileArgs::of_any(to, cols, 1, cols, 0, nullptr);
  args.in[0] = {sums(0, first), cols, 1};
  for (int64_t g = 1; g < multiplication_.groups(); ++g) {
    args.in[1] = {sums(g, first), cols, 1};
    add_(args);
    args.in[0] = {to, cols, 1};
  }
}

double BatchSums::passed_on() const {
  constexpr double kByte = 6;  // a line of another core's cache: 4 to 9 ns
  return kByte * static_cast<double>(multiplication_.groups() * a_.cols * b_.cols * element_);
}

}  // namespace lamina::runtime
