#include "base/threads.h"

#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <pthread.h>
#endif

#include "base/check.h"
#include "base/subnormals.h"

namespace lamina {

namespace {

void pause_cpu() {
#if defined(__x86_64__) || defined(_M_X64)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

using Clock = std::chrono::steady_clock;

// ---- How many ----

int from_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == 0) return 0;
  char* end = nullptr;
  const long count = std::strtol(value, &end, 10);
  const bool usable = end != value && (*end == 0 || *end == ',') && count >= 1;  // OMP_NUM_THREADS may be a list
  return usable ? static_cast<int>(count < kMaxThreads ? count : kMaxThreads) : 0;
}

// The quota of one folder of control groups, in either version's interface.
int quota_of(const std::string& folder) {
  std::string limit;
  double quota = 0, period = 0;
  if (std::ifstream v2(folder + "/cpu.max"); v2 >> limit >> period) {
    quota = std::atof(limit.c_str());  // "max": 0
  } else {
    std::ifstream a(folder + "/cpu.cfs_quota_us"), b(folder + "/cpu.cfs_period_us");
    if (!(a >> quota && b >> period)) return 0;
  }
  return quota > 0 && period > 0 ? static_cast<int>((quota + period - 1) / period) : 0;
}

int available_cpus() {
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
#elif defined(_WIN32)
  DWORD_PTR own = 0, all = 0;  // alike, too, where there are more than 64, of which no mask tells
  if (GetProcessAffinityMask(GetCurrentProcess(), &own, &all) != 0 && own != all) cpus = std::popcount(own);
#endif
  if (const int limit = cpu_quota(); limit > 0 && limit < cpus) cpus = limit;
  return cpus < 1 ? 1 : cpus > kMaxThreads ? kMaxThreads : cpus;
}

int default_threads() {
  constexpr const char* kOwn = "LAMINA_NUM_THREADS";
  if (const int count = from_environment(kOwn); count > 0) return count;
  const char* own = std::getenv(kOwn);
  check(own == nullptr || *own == 0, "[", kOwn, "] expected 1 or more threads, got '", own == nullptr ? "" : own,
        "'; set a number");
  if (const int count = from_environment("OMP_NUM_THREADS"); count > 0) return count;  // any other text in it is for other programs
  return available_cpus();
}

// ---- Waiting ----

constexpr std::chrono::microseconds kSpin{40};  // a step of a small network comes again within this time
constexpr unsigned kWaitsPerLook = 64;          // at the clock

// None where threads share processors: whoever spins keeps another from working.
Clock::duration spin_of(int threads) { return threads > available_cpus() ? Clock::duration::zero() : Clock::duration(kSpin); }

// How a thread waits: for `spin` it stays ready to go on at once; after that it offers its processor to others, or sleeps.
class Patience {
 public:
  explicit Patience(Clock::duration spin) : spin_(spin), start_(Clock::now()) {}

  void wait() {
    if (spin_ == Clock::duration::zero() || is_over())
      std::this_thread::yield();
    else
      pause_cpu();
  }

  // Once for each wait.
  bool is_over() { return ++waits_ % kWaitsPerLook == 0 && Clock::now() - start_ >= spin_; }

 private:
  const Clock::duration spin_;
  const Clock::time_point start_;
  unsigned waits_ = 0;
};

// ---- The pool ----

// Each of n threads begins with its own line of units, every n-th one: the same in all jobs that are cut alike, so that it finds in its
// cache what it left there. A line is claimed unit by unit through its ticket, generation << 32 | how many are taken; whoever is done
// with his own goes on with the others'. A worker that wakes late reads tickets of a newer generation, or finds no units left, and does
// no harm: the caller waits for the units, never for the workers. Units may wait for the one before, so a job is always begun with one's
// own line: a worker that is still at another's line when the next job comes would leave its own to nobody.
class Pool {
 public:
  explicit Pool(int threads) : spin_(spin_of(threads)), tickets_(static_cast<size_t>(threads)) {
    threads_.reserve(static_cast<size_t>(threads));
    try {
      for (int worker = 1; worker < threads; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
    } catch (const std::exception&) {  // no more threads to be had: those there are do the work
    }
    most_lines_ = static_cast<uint32_t>(threads_.size()) + 1;
  }

  ~Pool() {
    stop_.store(true);
    generation_.fetch_add(1);
    generation_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  void run(uint32_t units, Work work, void* context) {
    // Close the last job before its fields change: a worker that still holds a ticket of it must not claim with the new fields.
    for (uint32_t line = 0; line < lines_of(units_.load(std::memory_order_relaxed)); ++line)
      tickets_[line].taken.fetch_or(kGeneration - 1, std::memory_order_seq_cst);
    work_.store(work, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    units_.store(units, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
    for (uint32_t line = lines_of(units); line-- > 0;)
      tickets_[line].taken.store(generation * kGeneration, std::memory_order_release);
    generation_.store(generation, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) generation_.notify_all();
    drain(0, generation);
    Patience patience(spin_);
    while (done_.load(std::memory_order_acquire) < units) patience.wait();
  }

 private:
  static constexpr uint64_t kGeneration = uint64_t{1} << 32;

  uint32_t lines_of(uint32_t units) const { return units < most_lines_ ? units : most_lines_; }

  // Runs units of the job of this generation until none is left.
  void drain(int worker, uint32_t generation) {
    const uint32_t lines = lines_of(units_.load(std::memory_order_relaxed)), own = static_cast<uint32_t>(worker);
    for (uint32_t k = 0; k < lines; ++k)
      if (!drain_line((own + k) % lines, worker, generation)) return;
  }

  // False where there is a newer job.
  bool drain_line(uint32_t line, int worker, uint32_t generation) {
    std::atomic<uint64_t>& taken = tickets_[line].taken;
    uint64_t ticket = taken.load(std::memory_order_acquire);
    while (true) {
      if (ticket / kGeneration != generation) return false;
      const Work work = work_.load(std::memory_order_relaxed);
      void* context = context_.load(std::memory_order_relaxed);
      const uint32_t units = units_.load(std::memory_order_relaxed);
      const uint64_t unit = line + ticket % kGeneration * lines_of(units);
      if (unit >= units) return true;
      if (!taken.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      work(context, static_cast<ptrdiff_t>(unit), static_cast<ptrdiff_t>(unit) + 1, worker);
      done_.fetch_add(1, std::memory_order_acq_rel);
      ++ticket;
    }
  }

  void serve(int worker) {
    const Subnormals as_anywhere(Subnormals::Are::exact);  // whoever made the pool, perhaps within a step of training
    uint32_t seen = 0;  // of a new pool: one that begins late must not take the call to stop for a job that it has seen
    while (true) {
      Patience patience(spin_);
      while (generation_.load(std::memory_order_acquire) == seen) {
        pause_cpu();
        if (patience.is_over()) {
          sleepers_.fetch_add(1, std::memory_order_seq_cst);
          generation_.wait(seen, std::memory_order_seq_cst);
          sleepers_.fetch_sub(1, std::memory_order_seq_cst);
        }
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stop_.load()) return;  // asked after `seen`: a generation that came with the call to stop is never waited out
      drain(worker, seen);
    }
  }

  const Clock::duration spin_;
  std::atomic<Work> work_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<uint32_t> units_{0};
  struct alignas(64) Ticket {
    std::atomic<uint64_t> taken{0};
  };
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::vector<Ticket> tickets_;  // of each line
  uint32_t most_lines_ = 0;      // as many as threads: each has somebody who begins with it
  std::vector<std::thread> threads_;
};

std::atomic<bool> pool_taken{false};  // by a job: a second caller, also one within the job, works alone instead of waiting
std::atomic<int> wanted{0};           // 0: not asked yet
Pool* pool = nullptr;                 // leaked at exit: joining threads from a static destructor deadlocks on some systems
int pool_threads = 0;

#if defined(_WIN32)

void watch_forks() {}

#else

// The child of a fork has no workers: it forgets the pool (leaking its memory) and makes its own when needed.
void forget_pool() {
  pool = nullptr;
  pool_threads = 0;
  pool_taken.store(false);
}

// Before a fork: the job that runs is done first, and none begins.
void wait_for_pool() {
  while (pool_taken.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
}

void watch_forks() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(wait_for_pool, [] { pool_taken.store(false); }, forget_pool); });
}

#endif

Pool* pool_of(int threads) {
  if (pool_threads != threads) {
    watch_forks();
    pool_threads = 0;
    delete std::exchange(pool, nullptr);
    pool = new Pool(threads);
    pool_threads = threads;
  }
  return pool;
}

}  // namespace

// A line of /proc/self/cgroup is id:controllers:path; version 2 has no controllers. Each group on the way up may have a quota; in
// a container the path may be one of the host's, of which only the top is to be seen.
int cpu_quota(const std::string& root) {
  int least = 0;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = text(",", line.substr(first + 1, second - first - 1), ",");
    if (controllers != ",," && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string top = root + "/sys/fs/cgroup";
    for (const std::string& mount : {top, top + "/cpu", top + "/cpu,cpuacct"})
      for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
        const int limit = quota_of(mount + path);
        if (limit > 0 && (least == 0 || limit < least)) least = limit;
        if (path.find('/') == std::string::npos) break;
      }
  }
  return least;
}

int num_threads() {
  int count = wanted.load(std::memory_order_relaxed);
  if (count == 0) {
    count = default_threads();
    wanted.store(count);
  }
  return count;
}

void set_num_threads(int count) {
  check(count >= 1 && count <= kMaxThreads, "[set_num_threads] expected 1 to ", kMaxThreads, ", got ", count);
  wanted.store(count);
}

void wait_for(const std::atomic<bool>& flag) {
  if (flag.load(std::memory_order_acquire)) return;
  Patience patience(kSpin);
  while (!flag.load(std::memory_order_acquire)) patience.wait();
}

void parallel_for(ptrdiff_t units, int threads, Work work, void* context) {
  if (threads > 1 && units > 1 && units < UINT32_MAX && !pool_taken.exchange(true, std::memory_order_acquire)) {
    const struct GiveBack {
      ~GiveBack() { pool_taken.store(false, std::memory_order_release); }
    } give_back;
    return pool_of(threads)->run(static_cast<uint32_t>(units), work, context);
  }
  work(context, 0, units, 0);
}

}  // namespace lamina
