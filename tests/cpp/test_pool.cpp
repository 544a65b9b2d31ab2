// The pool: every unit runs once, whoever calls, from however many threads at a time, while the number of threads changes.
#include <atomic>
#include <thread>
#include <vector>

#include "base/threads.h"
#include "check.h"

namespace {

using check::section;
using lamina::parallel_for;

// Adds up what the units wrote: plain memory, so that a missing happens-before shows under ThreadSanitizer.
long sum_of_units(ptrdiff_t units, int threads) {
  std::vector<int> runs(static_cast<size_t>(units), 0);
  std::vector<long> by_worker(static_cast<size_t>(threads), 0);
  parallel_for(units, threads, [&](ptrdiff_t first, ptrdiff_t last, int worker) {
    for (ptrdiff_t i = first; i < last; ++i) {
      ++runs[static_cast<size_t>(i)];
      by_worker[static_cast<size_t>(worker)] += i;
    }
  });
  for (int run : runs) CHECK(run == 1, "a unit of " << units << " ran " << run << " times on " << threads << " threads");
  long total = 0;
  for (long part : by_worker) total += part;
  return total;
}

void check_sum(ptrdiff_t units, int threads) {
  const long total = sum_of_units(units, threads);
  CHECK(total == units * (units - 1) / 2, units << " units on " << threads << " threads: " << total);
}

void check_every_unit_once() {
  section("every unit once");
  for (int threads : {1, 2, 3, 4, 9})
    for (ptrdiff_t units : {0, 1, 2, 3, 17, 1000})
      for (int again = 0; again < 5; ++again) check_sum(units, threads);
}

void check_callers_at_once() {
  section("several callers at once");
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&, c] {
      for (int again = 0; again < 40; ++again) {
        std::vector<int> seen(50, 0);
        parallel_for(50, 2 + c % 3, [&](ptrdiff_t first, ptrdiff_t last, int) {
          for (ptrdiff_t i = first; i < last; ++i) seen[static_cast<size_t>(i)] = c + again;
        });
        for (int value : seen) wrong += value != c + again;
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0, wrong << " units did not run, or ran with another caller's work");
}

// A pool is made anew for each number of threads; the workers of the last one may not even have begun.
void check_pools_come_and_go() {
  section("pools that come and go");
  for (int i = 0; i < 500; ++i) {
    std::atomic<long> sum{0};
    parallel_for(9, 2 + i % 6, [&](ptrdiff_t first, ptrdiff_t last, int) {
      for (ptrdiff_t k = first; k < last; ++k) sum += k;
    });
    CHECK(sum == 36, "with " << 2 + i % 6 << " threads");
  }
}

void check_a_unit_waits_for_another() {
  section("a unit waits for one before it");
  // Often where each may have a processor: a worker that is late for a job must not leave its line to nobody.
  for (int threads : {1, 2, 3, 9})
    for (int again = 0, times = threads == 2 || threads == 3 ? 30'000 : 200; again < times; ++again) {
      std::vector<std::atomic<bool>> ready(5);
      std::vector<int> left(6, 0);
      left[0] = 1;
      parallel_for(5, threads, [&](ptrdiff_t first, ptrdiff_t last, int) {
        for (ptrdiff_t i = first; i < last; ++i) {
          const auto at = static_cast<size_t>(i);
          if (i > 0) lamina::wait_for(ready[at - 1]);
          left[at + 1] = 2 * left[at];
          ready[at].store(true, std::memory_order_release);
        }
      });
      CHECK(left[5] == 32, "five units on " << threads << " threads, one after the other: " << left[5]);
    }
}

void check_a_call_within_a_call() {
  section("a call within a call");
  std::vector<long> inner(8, 0);
  parallel_for(8, 3, [&](ptrdiff_t first, ptrdiff_t last, int) {
    for (ptrdiff_t i = first; i < last; ++i)
      parallel_for(10, 3, [&](ptrdiff_t a, ptrdiff_t b, int) { inner[static_cast<size_t>(i)] += b - a; });
  });
  for (long units : inner) CHECK(units == 10, units << " of 10 inner units");
}

void check_idle_workers_wake() {
  section("workers that went to sleep wake");
  for (int again = 0; again < 10; ++again) {
    check_sum(100, 4);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void check_number_of_threads() {
  section("number of threads");
  for (int wrong : {0, -1, lamina::kMaxThreads + 1}) {
    bool thrown = false;
    try {
      lamina::set_num_threads(wrong);
    } catch (const std::invalid_argument&) {
      thrown = true;
    }
    CHECK(thrown, wrong << " threads are refused");
  }
  lamina::set_num_threads(3);
  CHECK(lamina::num_threads() == 3, lamina::num_threads());
}

}  // namespace

int main() {
  check_every_unit_once();
  check_callers_at_once();
  check_pools_come_and_go();
  check_a_unit_waits_for_another();
  check_a_call_within_a_call();
  check_idle_workers_wake();
  check_number_of_threads();
  return check::finish();
}
