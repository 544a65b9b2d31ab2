#include "runtime/gemm_groups.h"

#include <algorithm>

#include "runtime/cuts.h"

namespace lamina::runtime {

namespace {

constexpr int64_t kAddedUp = 2048;  // elements of the sums of groups that are added up at once, so that they stay in L1

}  // namespace

GemmGroups::GemmGroups(const GemmTask& task)
    : GemmWay(task),
      sums_(task.multiplication,
            {memory_of(task.product.matmul->inputs[0].get()), memory_of(task.product.matmul->inputs[1].get())}) {}

void GemmGroups::bind(const Binder& binder) {
  if (has_any())
    sums_.bind({task_.a_buffer, task_.a_at[0], task_.a_col, task_.m}, {task_.b_buffer, task_.b_at[0], task_.b_row, task_.n},
               task_.k, task_.value->dtype(), binder);
}

void GemmGroups::cut(int64_t parts) {
  rows_ = std::min(task_.m, round_up(ceil_div(task_.m, parts), task_.grain()));
  rows_at_once_ = std::min(round_up(std::max<int64_t>(kAddedUp / task_.n, 1), task_.grain()), rows_);
  units_ = sums_.units() + ceil_div(task_.m, rows_);
  c_bytes_ = task_.stores_product ? 0 : align_up(static_cast<size_t>(rows_at_once_ * task_.n * task_.element));
  const size_t sums = align_up(static_cast<size_t>(sums_.scratch_elements() * task_.element));
  scratch_bytes_ = std::max(sums, c_bytes_ + task_.epilogue_scratch());
}

void GemmGroups::run(const Run& run, int64_t unit, char* scratch) const {
  if (unit < sums_.units()) return sums_.sum_groups(run, unit, scratch);
  const int64_t first = (unit - sums_.units()) * rows_, last = std::min(first + rows_, task_.m);
  for (int64_t row = first; row < last; row += rows_at_once_) {
    const int64_t end = std::min(row + rows_at_once_, last);
    char* c = task_.stores_product ? run.at(task_.c.buffer) + row * task_.n * task_.element : scratch;
    sums_.add_up(c, row, end);
    if (task_.epilogue) task_.epilogue->run_block(run, {0, row, end, 0, task_.n, c, task_.n}, scratch + c_bytes_);
  }
}

}  // namespace lamina::runtime
