#include "runtime/program.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <set>

#include "base/subnormals.h"
#include "base/threads.h"
#include "kernels/dispatch.h"
#include "runtime/steps.h"

namespace lamina::runtime {

using graph::Node;

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::vector<uint64_t> origins_of(const Step& step, const graph::Origins& origins) {
  std::set<uint64_t> serials;
  for (const Node* node : step.nodes) {
    const std::vector<uint64_t> origin = graph::origin_of(node, origins);
    serials.insert(origin.begin(), origin.end());
  }
  return {serials.begin(), serials.end()};
}

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

double read_scalar(const void* from, DType type) {
  switch (type) {
    case DType::boolean: return *static_cast<const uint8_t*>(from);
    case DType::int64: return static_cast<double>(*static_cast<const int64_t*>(from));
    case DType::float32: return *static_cast<const float*>(from);
    default: return *static_cast<const double*>(from);
  }
}

namespace {

bool names_no_symbol(const Node* node) {
  const auto constant = [](const Shape& shape) {
    return std::all_of(shape.begin(), shape.end(), [](const Dim& dim) { return dim.constant(); });
  };
  for (const auto& [key, value] : node->attrs.items())
    if (const auto* shape = std::get_if<Shape>(&value); shape != nullptr && !constant(*shape)) return false;
  return constant(node->shape());
}

graph::Roots optimized(const graph::Tensors& inputs, graph::Tensors outputs, graph::Tensors effects,
                       const ProgramOptions& options) {
  for (const auto& input : inputs)
    check<TypeError>(input->is("input"), "[function] an input must be a placeholder, got the result of ", input->op->name);
  graph::Roots roots = graph::resolve_modes({std::move(outputs), std::move(effects)}, options.training);
  if (options.optimize) roots = graph::fold(std::move(roots));
  roots = graph::legalize(std::move(roots));
  if (options.optimize) roots = graph::share(graph::fold(std::move(roots)));
  return roots;
}

}  // namespace

Program::Program(graph::Tensors inputs, graph::Tensors outputs, graph::Tensors effects, const ProgramOptions& options)
    : Program(inputs, optimized(inputs, std::move(outputs), effects, options), options.training || !effects.empty(),
              options.fusion) {}

Program::Program(graph::Tensors inputs, graph::Roots roots, bool trains, const FusionOptions& fusion)
    : inputs_(std::move(inputs)), outputs_(roots.outputs), effects_(roots.effects), fusion_(fusion), trains_(trains) {
  const auto order = graph::topological(graph::all_of(roots));
  for (const Node* node : order)
    if (names_no_symbol(node) && std::all_of(node->inputs.begin(), node->inputs.end(),
                                             [&](const graph::Tensor& input) { return fixed_.count(input.get()) > 0; }))
      fixed_.insert(node);
  for (const Node* node : order) {
    if (node->is("max") || node->is("min") || node->is("argmax") || node->is("argmin")) extremes_.push_back(node);
    if (!node->is("input")) continue;
    const bool given = std::any_of(inputs_.begin(), inputs_.end(), [&](const auto& input) { return input.get() == node; });
    check(given, "[function] the outputs need a placeholder of shape ", node->shape(),
          " that is not among the inputs; add it to them");
  }
  std::vector<std::shared_ptr<graph::Variable>> variables;
  for (const Node* node : order)
    if (node->is("variable")) variables.push_back(graph::variable_of(*node));
  turns_ = graph::Variable::turns_of(variables);
  std::unordered_set<const Node*> wanted;
  for (const auto& output : outputs_) wanted.insert(memory_of(output.get()));
  steps_ = lower(order, wanted, fusion_, kernels::table());
  if (!schedule(steps_)) {  // an update that shares a program with something its parameter's readers wait for
    fusion_.updates = false;
    steps_ = lower(order, wanted, fusion_, kernels::table());
    check(schedule(steps_), "the updates of this program wait for each other");
  }
  for (const StepPtr& step : steps_) step->origins = origins_of(*step, roots.origins);
  place_buffers();
}

std::string Program::input_name(size_t i) const {
  return inputs_[i]->attrs.get<std::string>("name", "input " + std::to_string(i + 1));
}

std::string Program::describe_input(size_t i) const {
  return text(input_name(i), ", ", name_of(input_type(i).dtype), " ", to_string(input_type(i).shape));
}

// "dense_1: matmul, float32 (60000, 128)"
std::string Program::describe(const Node* node) const {
  const std::string label = node->scope ? node->scope->label() : "";
  const Sizes sizes = symbols_.eval(node->shape());
  return text(label, label.empty() ? "" : ": ", node->op->name, ", ", name_of(node->dtype()), " ", to_string(known(sizes)));
}

int Program::buffer_of(const Node* node) {
  const auto found = buffer_of_.find(node);
  if (found != buffer_of_.end()) return found->second;
  Buffer buffer{Buffer::arena, node, 0, 0, 0, 0, 0, nullptr};
  if (node->is("variable")) buffer.kind = Buffer::variable;
  if (node->is("constant")) buffer.kind = Buffer::constant;
  if (node->is("iota")) buffer.kind = Buffer::iota;
  if (node->is("input")) {
    buffer.kind = Buffer::input;
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (inputs_[i].get() == node) buffer.index = i;
  }
  if (node->is("fill") || node->is("size")) {
    buffer.kind = Buffer::scalar;
    buffer.index = static_cast<size_t>(
        std::count_if(buffers_.begin(), buffers_.end(), [](const Buffer& b) { return b.kind == Buffer::scalar; }));
  }
  buffers_.push_back(std::move(buffer));
  return buffer_of_[node] = static_cast<int>(buffers_.size()) - 1;
}

void Program::place_buffers() {
  std::unordered_set<const Node*> made;
  for (const StepPtr& step : steps_)
    for (const Node* node : step->outputs) made.insert(node);
  std::vector<StepPtr> copies;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Node* node = outputs_[i].get();
    Buffer buffer{Buffer::output, node, i, 0, 0, 0, 0, nullptr};
    buffers_.push_back(std::move(buffer));
    const int id = static_cast<int>(buffers_.size()) - 1;
    if (made.count(node) && !buffer_of_.count(node)) {
      buffer_of_[node] = id;
      continue;
    }
    // No step leaves it where the caller wants it: an input, a parameter, a view, or an output given twice.
    copies.push_back(make_copy_step(
        node, [id, node](const Binder& binder) { return Strided::dense(id, node->dtype(), binder.symbols.eval(node->shape())); }));
  }
  for (StepPtr& copy : copies) steps_.push_back(std::move(copy));
  check(schedule(steps_), "an output waits for the update of what it shows");
  for (const StepPtr& step : steps_)
    for (const auto* list : {&step->inputs, &step->outputs, &step->changes})
      for (const Node* node : *list) buffer_of(memory_of(node));
  settle();
  for (size_t i = 0; i < steps_.size(); ++i) {
    changed_.insert(steps_[i]->changes.begin(), steps_[i]->changes.end());
    for (const Node* node : steps_[i]->outputs)
      if (!outputs_.empty() && node == outputs_[0].get() && node->shape().empty()) loss_step_ = i;
  }
  needs_ = needs_of(steps_);
}

// Takes the steps apart that need nothing but constants and sizes.
void Program::settle() {
  const auto kind = [&](const Node* node) { return buffers_[static_cast<size_t>(buffer_of_.at(memory_of(node)))].kind; };
  std::vector<StepPtr> rest;
  for (StepPtr& step : steps_) {
    bool known = step->changes.empty() && !step->outputs.empty();
    for (const Node* node : step->inputs) {
      const Buffer::Kind k = kind(node);
      known = known && (k == Buffer::scalar || k == Buffer::constant || k == Buffer::iota || k == Buffer::settled);
    }
    for (const Node* node : step->outputs) known = known && kind(node) == Buffer::arena;
    if (known)
      for (const Node* node : step->outputs) buffers_[static_cast<size_t>(buffer_of_.at(node))].kind = Buffer::settled;
    (known ? settled_ : rest).push_back(std::move(step));
  }
  steps_ = std::move(rest);
}

// ---- Running ----

void Program::grow_scratch(int threads) {
  const auto count = static_cast<size_t>(threads);
  if (scratch_.size() < count) scratch_.resize(count);
  for (size_t i = 0; i < count; ++i) scratch_[i].grow(scratch_bytes_, [] { return "scratch of a program"; });
}

double Program::flops_per_row() const {
  if (bound_sizes_.empty() || bound_sizes_[0].empty() || bound_sizes_[0][0] == 0) return 0;
  double flops = 0;
  for (const StepPtr& step : steps_) flops += step->flops();
  return flops / static_cast<double>(bound_sizes_[0][0]);
}

void Program::check_idle() const {
  check(!running_ && !(smaller_ && smaller_->running_),
        "[function] this program is running: a function that it calls cannot run it again");
}

bool Program::run(const void* const* inputs, void* const* outputs, const RunOptions& options) {
  struct Running {
    bool& flag;
    explicit Running(bool& f) : flag(f) { flag = true; }
    ~Running() { flag = false; }
  } running(running_);
  const Subnormals state(subnormals());
  for (size_t i = 0; i < buffers_.size(); ++i) {
    if (buffers_[i].kind == Buffer::input) bases_[i] = const_cast<char*>(static_cast<const char*>(inputs[buffers_[i].index]));
    if (buffers_[i].kind == Buffer::output) bases_[i] = static_cast<char*>(outputs[buffers_[i].index]);
  }
  const int threads = is_parallel_ ? num_threads() : 1;  // of this run: another thread may change it meanwhile
  grow_scratch(threads);

  if (!is_parallel_ || work_ > kPaced || options.seconds) return run_stages(threads, outputs, options);
  if (!pace_.trying()) {
    pace_.ran();
    return run_stages(pace_.together() ? threads : 1, outputs, options);
  }
  const auto start = Clock::now();
  const bool done = run_stages(pace_.together() ? threads : 1, outputs, options);
  if (done) pace_.took(seconds_since(start) / work_);
  return done;
}

bool Program::run_stages(int threads, void* const* outputs, const RunOptions& options) const {
  const Run run{bases_.data(), scratch_.data()};
  if (options.seconds) std::fill_n(options.seconds, steps_.size(), 0.0);
  for (const Stage& stage : stages_) {
    if (options.seconds)
      run_timed(stage, run, threads, options.seconds);
    else
      run_stage(stage, run, threads);
    if (options.guarded && static_cast<size_t>(&stage - stages_.data()) == loss_stage_ &&
        !std::isfinite(read_scalar(outputs[0], outputs_[0]->dtype())))
      return false;
    if (options.interruption && changed_.empty()) options.interruption();
  }
  return true;
}

void Program::run_stage(const Stage& stage, const Run& run, int threads) const {
  if (stage.single) {  // at once: in the smallest programs the way to a step counts
    stage.single->run(run, 0, stage.single->units(), 0);
    return stage.single->finish(run);
  }
  const auto task = [&](ptrdiff_t first, ptrdiff_t last, int worker) {
    const Subnormals state(subnormals());
    run_tasks(stage, first, last, [&](size_t i, int64_t begin, int64_t end) { steps_[i]->run(run, begin, end, worker); });
  };
  parallel_for(static_cast<ptrdiff_t>(stage.size()), stage.parallel ? threads : 1, task);
  finish_steps(stage, [&](size_t i) { steps_[i]->finish(run); });
}

// The same; `seconds` receives what each step had of the stage's time, as its share of the time that all threads spent in steps.
void Program::run_timed(const Stage& stage, const Run& run, int threads, double* seconds) const {
  const size_t n = steps_.size();
  std::vector<double> spent(n * static_cast<size_t>(threads), 0.0);
  const auto start = Clock::now();
  const auto task = [&](ptrdiff_t first, ptrdiff_t last, int worker) {
    const Subnormals state(subnormals());
    run_tasks(stage, first, last, [&](size_t i, int64_t begin, int64_t end) {
      const auto now = Clock::now();
      steps_[i]->run(run, begin, end, worker);
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
    steps_[i]->finish(run);
    seconds[i] += seconds_since(now);
  });
}

}  // namespace lamina::runtime
