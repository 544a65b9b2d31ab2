// One explicit program of linear algebra: steps in order, planned once, and one arena of buffers, laid out for each batch size.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "base/subnormals.h"
#include "base/threads.h"
#include "graph/passes.h"
#include "runtime/lower.h"
#include "runtime/pace.h"
#include "runtime/stages.h"

namespace lamina::runtime {

struct ProgramOptions {
  bool training = false;
  bool optimize = true;  // folding and sharing
  FusionOptions fusion;
};

// A scalar as a number.
double read_scalar(const void* from, DType type);

class Program {
 public:
  Program(graph::Tensors inputs, graph::Tensors outputs, graph::Tensors effects, const ProgramOptions& options);

  size_t input_count() const { return inputs_.size(); }
  size_t output_count() const { return outputs_.size(); }
  const graph::Type& input_type(size_t i) const { return inputs_[i]->type; }
  std::string input_name(size_t i) const;
  // For errors: "x, float32 (B, 4)".
  std::string describe_input(size_t i) const;
  std::string describe_output(size_t i) const { return describe(outputs_[i].get()); }
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

  // What a run may be given besides.
  struct RunOptions {
    double* seconds = nullptr;           // receives each step's part of the run's time
    bool guarded = false;                // whether to end once output 0, a loss, is not finite: before the updates that follow
    std::function<void()> interruption;  // called now and then between the steps of a long run without effects; may throw
  };
  // Runs once: dense inputs in, dense outputs out; false where the guard ended it. The caller has the turn from bind() on.
  bool run(const void* const* inputs, void* const* outputs, const RunOptions& options);
  void run(const void* const* inputs, void* const* outputs) { run(inputs, outputs, RunOptions()); }
  // ValueError where it runs: its thread has the turn already, and could bind it anew under the step that goes on.
  void check_idle() const;
  bool is_long() const { return work_ >= kLong; }
  bool is_short() const { return work_ < kShort; }

  // Of the variables in it: programs that share one run one after the other, and none sees another's half-done step.
  Turns& turns() const { return *turns_; }

  const std::vector<StepPtr>& steps() const { return steps_; }
  const std::vector<Stage>& stages() const { return stages_; }  // as last bound
  size_t arena_bytes() const { return arena_.size(); }
  // Of all memory that waits for the next run, with as much again for smaller batches, where those have a program.
  size_t held_bytes() const { return held_bytes_.load(std::memory_order_relaxed) * (has_smaller_ ? 2 : 1); }
  double flops_per_row() const;  // of a run as last bound, over the rows of the first input; 0 before

 private:
  // Of a graph that the passes have gone over.
  Program(graph::Tensors inputs, graph::Roots roots, bool trains, const FusionOptions& fusion);

  struct Buffer {
    enum Kind { arena, input, output, variable, constant, scalar, iota, settled } kind;
    const graph::Node* node = nullptr;
    size_t index = 0;            // of the input or output; the slot of a scalar
    size_t first = 0, last = 0;  // stages between which an arena buffer is in use
    size_t bytes = 0, offset = 0;
    std::unique_ptr<AlignedBuffer> own;  // what is made at bind (iota, settled values)
  };

  void place_buffers();
  void settle();
  int buffer_of(const graph::Node* node);
  Strided locate(const graph::Node* node) const;
  Strided view_of(const graph::Node* view, Strided at) const;
  std::string describe(const graph::Node* node) const;
  void match_input(size_t i, const Sizes& sizes);
  void bind_steps();
  void check_extremes() const;
  void lay_out_stages();
  void find_lifetimes();
  bool run_stages(int threads, void* const* outputs, const RunOptions& options) const;
  void run_stage(const Stage& stage, const Run& run, int threads) const;
  void run_timed(const Stage& stage, const Run& run, int threads, double* seconds) const;
  void grow_scratch(int threads);
  void plan_arena();
  void set_bases();
  char* base_of(Buffer& buffer);
  void count_held_bytes();
  void run_settled();
  Subnormals::Are subnormals() const { return trains_ ? Subnormals::Are::zero : Subnormals::Are::exact; }

  graph::Tensors inputs_, outputs_, effects_;  // they keep the graph alive that the steps point into
  FusionOptions fusion_;
  bool trains_ = false;           // whether it is a step of training: what is too small for a number is zero there
  std::vector<StepPtr> settled_;  // steps that depend on constants and sizes alone: they run when the program is bound
  std::unordered_set<const graph::Node*> fixed_;  // nodes that no free size touches: those of settled steps are made once
  bool has_settled_ = false;
  std::vector<StepPtr> steps_;
  std::unordered_set<const graph::Node*> changed_;  // the variables that a run writes
  std::vector<const graph::Node*> extremes_;        // nodes that have no value where there is nothing to choose from
  Needs needs_;                                     // of the steps
  std::vector<Buffer> buffers_;
  std::unordered_map<const graph::Node*, int> buffer_of_;

  static constexpr double kLong = 1e9;   // work of a run during which somebody may ask it to stop: some 10 ms
  static constexpr double kPaced = 1e8;  // work of a run up to which it is tried out whether one thread is faster: a millisecond
  static constexpr double kShort = 2e5;  // work below which a run is short: a few microseconds

  static constexpr int kFew = 2;                      // smaller batches that are not worth a program of their own
  static constexpr size_t kSmallerBytes = 4'000'000;  // held up to which there is one: more takes longer to run than to bind

  std::unique_ptr<Program> smaller_;
  std::atomic<bool> has_smaller_{false};
  int smaller_batches_ = 0;

  std::shared_ptr<Turns> turns_;
  size_t loss_step_ = SIZE_MAX;  // the step that leaves output 0 where it belongs
  bool running_ = false;
  double work_ = 0;  // of a run, as last bound: see Step

  Bindings symbols_;
  std::vector<Sizes> bound_sizes_, output_sizes_;
  bool bound_ = false;
  int threads_ = 0;  // that the steps were cut for
  std::vector<Stage> stages_;
  Pace pace_;
  bool is_parallel_ = false;  // on several threads, if only for a stage
  size_t loss_stage_ = SIZE_MAX;
  uint64_t layout_ = 0;
  AlignedBuffer arena_;
  AlignedBuffer scalars_;
  std::vector<AlignedBuffer> scratch_;
  size_t scratch_bytes_ = 0;
  std::atomic<size_t> held_bytes_{0};
  std::vector<char*> bases_;
};

}  // namespace lamina::runtime
