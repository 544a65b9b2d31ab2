#include "runtime/program.h"

#include <algorithm>

#include "kernels/dispatch.h"

namespace lamina::runtime {

using graph::Node;

namespace {

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
    : inputs_(std::move(inputs)),
      outputs_(roots.outputs),
      effects_(roots.effects),
      fusion_(fusion),
      trains_(trains),
      memory_(inputs_, outputs_, symbols_),
      plan_(inputs_, roots, fusion, memory_),
      runner_(plan_, trains ? Subnormals::Are::zero : Subnormals::Are::exact) {
  std::vector<std::shared_ptr<graph::Variable>> variables;
  for (const Node* node : plan_.nodes) {
    if (node->is("max") || node->is("min") || node->is("argmax") || node->is("argmin")) extremes_.push_back(node);
    if (node->is("variable")) variables.push_back(graph::variable_of(*node));
  }
  turns_ = graph::Variable::turns_of(variables);
}

std::string Program::input_name(size_t i) const {
  return inputs_[i]->attrs.get<std::string>("name", "input " + std::to_string(i + 1));
}

std::string Program::describe_input(size_t i) const {
  return text(input_name(i), ", ", name_of(input_type(i).dtype), " ", to_string(input_type(i).shape));
}

double Program::flops_per_row() const {
  if (bound_sizes_.empty() || bound_sizes_[0].empty() || bound_sizes_[0][0] == 0) return 0;
  double flops = 0;
  for (const StepPtr& step : steps()) flops += step->flops();
  return flops / static_cast<double>(bound_sizes_[0][0]);
}

// ---- Binding: from symbols to numbers ----

void Program::bind(const std::vector<Sizes>& input_sizes) {
  if (is_ready() && input_sizes == bound_sizes_) return;
  bound_ = false;
  threads_ = num_threads();
  check(input_sizes.size() == inputs_.size(), "[function] expected ", inputs_.size(), " inputs, got ", input_sizes.size());
  symbols_.clear();
  for (size_t i = 0; i < inputs_.size(); ++i) match_input(i, input_sizes[i]);
  output_sizes_.clear();
  for (const auto& output : outputs_) output_sizes_.push_back(symbols_.eval(output->shape()));
  check_extremes();
  bind_steps();
  runner_.bind([this](const Node* node) { return Held{memory_.buffer_of(node), count(symbols_.eval(node->shape()))}; }, threads_);
  memory_.lay_out(stages(), steps());
  held_bytes_.store(memory_.bytes() + runner_.scratch_bytes(), std::memory_order_relaxed);
  run_settled();
  bound_sizes_ = input_sizes;
  layout_ = graph::Variable::layout_version();
  bound_ = true;
}

Program& Program::bound(const std::vector<Sizes>& input_sizes) {
  const auto rows = [](const std::vector<Sizes>& sizes) { return sizes.empty() || sizes[0].empty() ? 0 : sizes[0][0]; };
  Program* chosen = this;
  if (rows(input_sizes) < rows(bound_sizes_)) {
    if (smaller_ == nullptr && ++smaller_batches_ > kFew && held_bytes() <= kSmallerBytes) {
      smaller_.reset(new Program(inputs_, {outputs_, effects_}, trains_, fusion_));
      has_smaller_ = true;
    }
    if (smaller_) chosen = smaller_.get();
  }
  chosen->bind(input_sizes);
  return *chosen;
}

// What free sizes are, by those of input i, which has to agree with the inputs before it.
void Program::match_input(size_t i, const Sizes& sizes) {
  const Shape& shape = inputs_[i]->shape();
  bool fits = shape.size() == sizes.size();
  for (size_t axis = 0; fits && axis < shape.size(); ++axis) fits = symbols_.match(shape[axis], sizes[axis]);
  if (fits) return;
  std::string known;
  for (const Dim& dim : shape)
    if (!dim.constant() && symbols_.of(dim.symbol) >= 0)
      known = " with " + symbol_name(dim.symbol) + " = " + std::to_string(symbols_.of(dim.symbol));
  fail("[", input_name(i), "] expected shape ", shape, known, ", got ", Shape(sizes.begin(), sizes.end()),
       "; pass one of that shape");
}

// What the graph checks where lengths are known.
void Program::check_extremes() const {
  for (const Node* node : extremes_) {
    const Sizes from = symbols_.eval(node->inputs[0]->shape());
    if (count(from) > 0 || count(symbols_.eval(node->shape())) == 0) continue;
    fail("[", node->op->name, "] ", known(from), ": no largest or smallest among 0 elements; use a larger batch");
  }
}

void Program::bind_steps() {
  const Binder binder{symbols_, [this](const Node* node) { return memory_.locate(node); },
                      [this](const Node* node) { return plan_.changed.count(memory_of(node)) > 0; }, kernels::table()};
  for (const auto* list : {&plan_.settled, &plan_.steps})
    for (const StepPtr& step : *list) {
      step->bind(binder);
      step->cut(1, 1);
    }
}

// Those that no free size touches once, the others at each bind.
void Program::run_settled() {
  const auto is_fixed = [this](const Node* node) { return plan_.fixed.count(node) > 0; };
  for (const StepPtr& step : plan_.settled)
    if (!has_settled_ || !std::all_of(step->outputs.begin(), step->outputs.end(), is_fixed)) runner_.settle(*step, memory_.bases());
  has_settled_ = true;
}

// ---- Running ----

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
  memory_.give(inputs, outputs);
  return runner_.run(memory_.bases(), options);
}

}  // namespace lamina::runtime
