// A pool of threads for work of microseconds: workers spin for a bounded time, then sleep; small work stays with the caller.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <type_traits>

namespace lamina {

// Threads in use, the caller included. First LAMINA_NUM_THREADS, then OMP_NUM_THREADS, then what affinity and the cgroup's CPU
// quota allow.
int num_threads();
void set_num_threads(int count);  // 1..kMaxThreads, otherwise ValueError

// CPUs that the quotas of the process's control groups pay for, rounded up; 0 without a quota. `root`: before /proc and /sys.
int cpu_quota(const std::string& root = "");

constexpr int kMaxThreads = 256;

// Calls work(context, begin, end, worker) for ranges that cover [0, units), on up to `threads` threads. The work must not throw: what
// it needs is allocated before. `worker` < threads tells scratch memory apart. Which thread runs which range is as a rule the same from
// call to call, but not fixed: the work itself must not depend on it. A range may wait for one before it: each thread begins its own in
// ascending order, so the lowest one that is not done waits for nobody.
using Work = void (*)(void* context, ptrdiff_t begin, ptrdiff_t end, int worker);
void parallel_for(ptrdiff_t units, int threads, Work work, void* context);

// Waits until another thread has set the flag; the processor goes to others when that takes long.
void wait_for(const std::atomic<bool>& flag);

template <class F>
void parallel_for(ptrdiff_t units, int threads, F&& body) {
  parallel_for(
      units, threads,
      [](void* context, ptrdiff_t begin, ptrdiff_t end, int worker) {
        (*static_cast<std::remove_reference_t<F>*>(context))(begin, end, worker);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace lamina
