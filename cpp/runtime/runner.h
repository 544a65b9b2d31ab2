// How the steps of a program run: stage by stage, on how many threads, how long each of them takes, and where a run ends early.
#pragma once

#include <functional>
#include <vector>

#include "base/aligned.h"
#include "base/subnormals.h"
#include "runtime/pace.h"
#include "runtime/stages.h"

namespace lamina::runtime {

// What a run may be given besides inputs and outputs.
struct RunOptions {
  double* seconds = nullptr;           // receives each step's part of the run's time
  bool guarded = false;                // whether to end once the loss is not finite: before the updates that follow
  std::function<void()> interruption;  // called now and then between the steps of a long run without effects; may throw
};

class Runner {
 public:
  Runner(const Plan& plan, Subnormals::Are subnormals) : plan_(plan), subnormals_(subnormals) {}

  // Makes stages of the steps, which are bound.
  void bind(const HeldBy& held, int threads);
  const std::vector<Stage>& stages() const { return stages_; }
  double work() const { return work_; }                                                                       // of a run: see Step
  size_t scratch_bytes() const { return scratch_bytes_ * static_cast<size_t>(is_parallel_ ? threads_ : 1); }  // of all threads

  // With buffers that begin at `bases`: a settled step; the others, one time. False where the guard ended the run.
  void settle(const Step& step, char* const* bases);
  bool run(char* const* bases, const RunOptions& options);

 private:
  void grow_scratch(int threads);
  bool run_stages(const Run& run, int threads, const RunOptions& options) const;
  void run_stage(const Stage& stage, const Run& run, int threads) const;
  void run_timed(const Stage& stage, const Run& run, int threads, double* seconds) const;

  static constexpr double kPaced = 1e8;  // work of a run up to which it is tried out whether one thread is faster: a millisecond

  const Plan& plan_;
  const Subnormals::Are subnormals_;
  std::vector<Stage> stages_;
  size_t loss_stage_ = SIZE_MAX;
  int threads_ = 0;           // that the steps were cut for
  bool is_parallel_ = false;  // on several of them, if only for a stage
  double work_ = 0;
  Pace pace_;
  std::vector<AlignedBuffer> scratch_;  // of each thread
  size_t scratch_bytes_ = 0;
};

}  // namespace lamina::runtime
