#include "runtime/runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>

#include "base/threads.h"
#include "runtime/memory.h"

namespace lamina::runtime {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Tasks [first, last) of a stage: run(step, first unit, last unit), one after the other.
template <class F>
void run_tasks(const Stage& stage, ptrdiff_t first, ptrdiff_t last, const F& run) {
  const size_t begin = stage.tasks[static_cast<size_t>(first)], end = stage.tasks[static_cast<size_t>(last)];
  for (size_t s = begin; s < end; ++s) {
    const Share& share = stage.shares[s];
    const Lane& lane = stage.lanes[share.lane];
    if (lane.steps.size() == 1)
      run(lane.steps[0], lane.done_before + share.first, lane.done_before + share.last);
    else
      for (int64_t block = share.first; block < share.last; ++block)
        for (size_t k = 0; k < lane.steps.size(); ++k) run(lane.steps[k], block * lane.units[k], (block + 1) * lane.units[k]);
  }
}

// finish(step) for every step of a stage, also where one fails: none may keep for the next run what this one left in it.
template <class F>
void finish_steps(const Stage& stage, const F& finish) {
  std::exception_ptr failure;
  for (const size_t i : stage.steps) {
    try {
      finish(i);
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void Runner::bind(const HeldBy& held, int threads) {
  threads_ = threads;
  stages_ = make_stages(plan_, held, threads);
  is_parallel_ = std::any_of(stages_.begin(), stages_.end(), [](const Stage& stage) { return stage.parallel; });
  for (size_t s = 0; s < stages_.size(); ++s)
    if (std::count(stages_[s].steps.begin(), stages_[s].steps.end(), plan_.loss.step) > 0) loss_stage_ = s;
  work_ = 0;
  scratch_bytes_ = 0;
  for (const auto* list : {&plan_.settled, &plan_.steps})
    for (const StepPtr& step : *list) {
      work_ += step->work();
      scratch_bytes_ = std::max(scratch_bytes_, step->scratch_bytes());
    }
}

void Runner::grow_scratch(int threads) {
  const auto count = static_cast<size_t>(threads);
  if (scratch_.size() < count) scratch_.resize(count);
  for (size_t i = 0; i < count; ++i) scratch_[i].grow(scratch_bytes_, [] { return "scratch of a program"; });
}

void Runner::settle(const Step& step, char* const* bases) {
  grow_scratch(1);
  const Run run{bases, scratch_.data()};
  step.run(run, 0, step.units(), 0);
  step.finish(run);
}

bool Runner::run(char* const* bases, const RunOptions& options) {
  const Subnormals state(subnormals_);
  const int threads = is_parallel_ ? num_threads() : 1;  // of this run: another thread may change it meanwhile
  grow_scratch(threads);
  const Run run{bases, scratch_.data()};
  if (!is_parallel_ || work_ > kPaced || options.seconds) return run_stages(run, threads, options);
  if (!pace_.trying()) {
    pace_.ran();
    return run_stages(run, pace_.together() ? threads : 1, options);
  }
  const auto start = Clock::now();
  const bool done = run_stages(run, pace_.together() ? threads : 1, options);
  if (done) pace_.took(seconds_since(start) / work_);
  return done;
}

bool Runner::run_stages(const Run& run, int threads, const RunOptions& options) const {
  if (options.seconds) std::fill_n(options.seconds, plan_.steps.size(), 0.0);
  for (const Stage& stage : stages_) {
    if (options.seconds)
      run_timed(stage, run, threads, options.seconds);
    else
      run_stage(stage, run, threads);
    if (options.guarded && static_cast<size_t>(&stage - stages_.data()) == loss_stage_ &&
        !std::isfinite(read_scalar(run.at(plan_.loss.buffer), plan_.loss.type)))
      return false;
    if (options.interruption && plan_.changed.empty()) options.interruption();
  }
  return true;
}

void Runner::run_stage(const Stage& stage, const Run& run, int threads) const {
  if (stage.single) {  // at once: in the smallest programs the way to a step counts
    stage.single->run(run, 0, stage.single->units(), 0);
    return stage.single->finish(run);
  }
  const auto task = [&](ptrdiff_t first, ptrdiff_t last, int worker) {
    const Subnormals state(subnormals_);
    run_tasks(stage, first, last, [&](size_t i, int64_t begin, int64_t end) { plan_.steps[i]->run(run, begin, end, worker); });
  };
  parallel_for(static_cast<ptrdiff_t>(stage.size()), stage.parallel ? threads : 1, task);
  finish_steps(stage, [&](size_t i) { plan_.steps[i]->finish(run); });
}

// The same; `seconds` receives what each step had of the stage's time, as its share of the time that all threads spent in steps.
void Runner::run_timed(const Stage& stage, const Run& run, int threads, double* seconds) const {
  const size_t n = plan_.steps.size();
  std::vector<double> spent(n * static_cast<size_t>(threads), 0.0);
  const auto start = Clock::now();
  const auto task = [&](ptrdiff_t first, ptrdiff_t last, int worker) {
    const Subnormals state(subnormals_);
    run_tasks(stage, first, last, [&](size_t i, int64_t begin, int64_t end) {
      const auto now = Clock::now();
      plan_.steps[i]->run(run, begin, end, worker);
      spent[static_cast<size_t>(worker) * n + i] += seconds_since(now);
    });
  };
  parallel_for(static_cast<ptrdiff_t>(stage.size()), stage.parallel ? threads : 1, task);
  const double whole = seconds_since(start);
  double total = 1e-12;
  for (const double s : spent) total += s;
  for (size_t k = 0; k < spent.size(); ++k) seconds[k % n] += spent[k] / total * whole;
  finish_steps(stage, [&](size_t i) {
    const auto now = Clock::now();
    plan_.steps[i]->finish(run);
    seconds[i] += seconds_since(now);
  });
}

}  // namespace lamina::runtime
