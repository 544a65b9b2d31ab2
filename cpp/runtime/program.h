// One explicit program of linear algebra: planned once (plan.h), bound to the sizes of its inputs, which says where every value lies
// (memory.h) and what runs side by side (stages.h), and run (runner.h).
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>

#include "base/threads.h"
#include "graph/passes.h"
#include "runtime/memory.h"
#include "runtime/plan.h"
#include "runtime/runner.h"

namespace lamina::runtime {

struct ProgramOptions {
  bool training = false;
  bool optimize = true;  // folding and sharing
  FusionOptions fusion;
};

class Program {
 public:
  Program(graph::Tensors inputs, graph::Tensors outputs, graph::Tensors effects, const ProgramOptions& options);

  size_t input_count() const { return inputs_.size(); }
  size_t output_count() const { return outputs_.size(); }
  const graph::Type& input_type(size_t i) const { return inputs_[i]->type; }
  std::string input_name(size_t i) const;
  // For errors: "x, float32 (B, 4)".
  std::string describe_input(size_t i) const;
  std::string describe_output(size_t i) const { return describe(outputs_[i].get(), symbols_); }
  size_t output_rank(size_t i) const { return outputs_[i]->shape().size(); }
  DType output_dtype(size_t i) const { return outputs_[i]->dtype(); }

  // Makes the program ready for inputs of these sizes. Throws ValueError naming the input that does not fit.
  void bind(const std::vector<Sizes>& input_sizes);
  // The same, or a program of the same graph and variables, made ready instead: where smaller batches come again and again between
  // larger ones, as the last of an epoch does, they have one of their own, and neither is bound anew each time. The caller has the turn.
  Program& bound(const std::vector<Sizes>& input_sizes);
  // Whether input i had this shape at the last bind(), and whether that still holds.
  bool is_bound(size_t i, const ptrdiff_t* shape, size_t rank) const {
    return i < bound_sizes_.size() && bound_sizes_[i].size() == rank && std::equal(shape, shape + rank, bound_sizes_[i].begin());
  }
  bool is_ready() const { return bound_ && layout_ == graph::Variable::layout_version() && threads_ == num_threads(); }
  const Sizes& output_sizes(size_t i) const { return output_sizes_[i]; }  // since the last bind()

  // Runs once: dense inputs in, dense outputs out; false where the guard ended it. The caller has the turn from bind() on.
  bool run(const void* const* inputs, void* const* outputs, const RunOptions& options = {});
  // ValueError where it runs: its thread has the turn already, and could bind it anew under the step that goes on.
  void check_idle() const;
  bool is_long() const { return runner_.work() >= kLong; }
  bool is_short() const { return runner_.work() < kShort; }

  // Of the variables in it: programs that share one run one after the other, and none sees another's half-done step.
  Turns& turns() const { return *turns_; }

  const std::vector<StepPtr>& steps() const { return plan_.steps; }
  const std::vector<Stage>& stages() const { return runner_.stages(); }  // as last bound
  size_t arena_bytes() const { return memory_.arena_bytes(); }
  // Of all memory that waits for the next run, with as much again for smaller batches, where those have a program.
  size_t held_bytes() const { return held_bytes_.load(std::memory_order_relaxed) * (has_smaller_ ? 2 : 1); }
  double flops_per_row() const;  // of a run as last bound, over the rows of the first input; 0 before

 private:
  // Of a graph that the passes have gone over.
  Program(graph::Tensors inputs, graph::Roots roots, bool trains, const FusionOptions& fusion);

  void match_input(size_t i, const Sizes& sizes);
  void check_extremes() const;
  void bind_steps();
  void run_settled();

  static constexpr double kLong = 1e9;   // work of a run during which somebody may ask it to stop: some 10 ms
  static constexpr double kShort = 2e5;  // work below which a run is short: a few microseconds

  static constexpr int kFew = 2;                      // smaller batches that are not worth a program of their own
  static constexpr size_t kSmallerBytes = 4'000'000;  // held up to which there is one: more takes longer to run than to bind

  const graph::Tensors inputs_, outputs_, effects_;  // they keep the graph alive that the steps point into
  const FusionOptions fusion_;
  const bool trains_;  // whether it is a step of training: what is too small for a number is zero there
  Bindings symbols_;
  Memory memory_;
  const Plan plan_;
  Runner runner_;
  std::vector<const graph::Node*> extremes_;  // nodes that have no value where there is nothing to choose from
  std::shared_ptr<Turns> turns_;

  // Since the last bind().
  std::vector<Sizes> bound_sizes_, output_sizes_;
  bool bound_ = false;
  int threads_ = 0;  // that the steps were cut for
  uint64_t layout_ = 0;
  bool has_settled_ = false;
  std::atomic<size_t> held_bytes_{0};
  bool running_ = false;

  std::unique_ptr<Program> smaller_;
  std::atomic<bool> has_smaller_{false};
  int smaller_batches_ = 0;
};

}  // namespace lamina::runtime
