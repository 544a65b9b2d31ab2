#include "runtime/matrix_stack.h"

#include <atomic>

#include "base/aligned.h"
#include "base/threads.h"

namespace lamina::runtime {

namespace {

constexpr double kSharedMatrices = 1 << 16;  // multiply-adds from which on threads share the matrices

}  // namespace

bool for_all(int64_t matrices, int64_t numbers, double work, const std::function<bool(int64_t, double*)>& f) {
  // All threads, however few the matrices are: another number of them would be another pool.
  const int threads = static_cast<double>(matrices) * work < kSharedMatrices ? 1 : num_threads();
  const bool few = matrices < threads;  // then there is a room for each of them, and else for each thread
  const size_t bytes = align_up(static_cast<size_t>(numbers) * sizeof(double));
  AlignedBuffer memory;
  memory.reset(static_cast<size_t>(few ? matrices : threads) * bytes, [] { return "systems of equations"; });
  std::atomic<bool> held{true};
  parallel_for(matrices, threads, [&](ptrdiff_t begin, ptrdiff_t end, int worker) {
    for (ptrdiff_t i = begin; i < end; ++i)
      if (!f(i, reinterpret_cast<double*>(memory.data() + static_cast<size_t>(few ? i : worker) * bytes))) held = false;
  });
  return held;
}

}  // namespace lamina::runtime
