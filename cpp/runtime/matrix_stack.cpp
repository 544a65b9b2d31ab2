#include "runtime/matrix_stack.h"

#include <algorithm>
#include <atomic>

#include "base/aligned.h"
#include "base/threads.h"

namespace lamina::runtime {

namespace {

constexpr double kShared = 1 << 16;  // multiply-adds from which on threads share the matrices

}  // namespace

bool for_all(int64_t matrices, int64_t numbers, double work, const std::function<bool(int64_t, double*)>& f) {
  const bool is_shared = static_cast<double>(matrices) * work >= kShared;
  const int threads = is_shared ? static_cast<int>(std::min<int64_t>(num_threads(), matrices)) : 1;
  const size_t bytes = align_up(static_cast<size_t>(numbers) * sizeof(double));
  AlignedBuffer memory;
  memory.reset(static_cast<size_t>(threads) * bytes, [] { return "systems of equations"; });
  std::atomic<bool> held{true};
  parallel_for(matrices, threads, [&](ptrdiff_t begin, ptrdiff_t end, int worker) {
    auto* room = reinterpret_cast<double*>(memory.data() + static_cast<size_t>(worker) * bytes);
    for (ptrdiff_t i = begin; i < end && held; ++i)
      if (!f(i, room)) held = false;
  });
  return held;
}

}  // namespace lamina::runtime
