// A program made ready for inputs of given sizes: from symbols to numbers, from nodes to places in memory.
#include <algorithm>
#include <memory>

#include "base/threads.h"
#include "kernels/dispatch.h"
#include "runtime/program.h"

namespace lamina::runtime {

using graph::Kind;
using graph::Node;

namespace {

constexpr size_t kScalar = 8;  // bytes of a slot

void put_scalar(char* to, DType type, double value) {
  switch (type) {
    case DType::boolean: *reinterpret_cast<uint8_t*>(to) = value != 0; break;
    case DType::int64: *reinterpret_cast<int64_t*>(to) = kernels::whole_number(value); break;
    case DType::float32: *reinterpret_cast<float*>(to) = static_cast<float>(value); break;
    case DType::float64: *reinterpret_cast<double*>(to) = value; break;
  }
}

}  // namespace

Strided Program::locate(const Node* node) const {
  std::vector<const Node*> views;  // the last looks at memory
  while (node->op->kind == Kind::view && !buffer_of_.count(node)) {
    views.push_back(node);
    node = node->inputs[0].get();
  }
  const Sizes sizes = symbols_.eval(node->shape());
  const int id = buffer_of_.at(node);
  const bool scalar = buffers_[static_cast<size_t>(id)].kind == Buffer::scalar;
  Strided at = scalar ? Strided{id, node->dtype(), 0, sizes, Sizes(sizes.size(), 0)} : Strided::dense(id, node->dtype(), sizes);
  for (size_t i = views.size(); i-- > 0;) at = view_of(views[i], std::move(at));
  return at;
}

// A view of what lies at `view`.
Strided Program::view_of(const Node* node, Strided view) const {
  const Sizes sizes = symbols_.eval(node->shape());
  if (node->is("broadcast_to")) return view.broadcast(sizes);
  if (node->is("transpose")) {
    const Strided from = view;
    const auto& axes = node->attrs.get<std::vector<int64_t>>("axes");
    for (size_t i = 0; i < axes.size(); ++i) view.strides[i] = from.strides[static_cast<size_t>(axes[i])];
  } else if (node->is("slice")) {
    Sizes start;  // of no elements from the end on: -1
    for (const Dim& dim : node->attrs.get<Shape>("start")) start.push_back(symbols_.eval(dim));
    const auto& step = node->attrs.get<std::vector<int64_t>>("step");
    for (size_t i = 0; i < sizes.size(); ++i) {
      const int64_t last = sizes[i] == 0 ? start[i] : start[i] + (sizes[i] - 1) * step[i];
      check(sizes[i] <= 0 || (std::min(start[i], last) >= 0 && std::max(start[i], last) < view.sizes[i]), "[slice] needs elements ",
            start[i], " to ", last, " of an axis that has ", view.sizes[i], " with this batch");
      view.offset += sizes[i] > 0 ? start[i] * view.strides[i] : 0;
      if (sizes[i] > 1) view.strides[i] *= step[i];
    }
  } else {
    view.strides = dense_strides(sizes);  // reshape: the input is dense, see legalize
  }
  view.sizes = sizes;
  return view;
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
  lay_out_stages();
  find_lifetimes();
  plan_arena();
  set_bases();
  count_held_bytes();
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

// What the graph checks where lengths are known.
void Program::check_extremes() const {
  for (const Node* node : extremes_) {
    const Sizes from = symbols_.eval(node->inputs[0]->shape());
    if (count(from) > 0 || count(symbols_.eval(node->shape())) == 0) continue;
    fail("[", node->op->name, "] ", known(from), ": no largest or smallest among 0 elements; use a larger batch");
  }
}

void Program::bind_steps() {
  const Binder binder{symbols_, [this](const Node* node) { return locate(node); },
                      [this](const Node* node) { return changed_.count(memory_of(node)) > 0; }, kernels::table()};
  work_ = 0;
  for (const auto* list : {&settled_, &steps_})
    for (const StepPtr& step : *list) {
      step->bind(binder);
      step->cut(1, 1);
      work_ += step->work();
    }
  for (Buffer& b : buffers_) b.bytes = bytes_of(symbols_.eval(b.node->shape()), b.node->dtype());
}

void Program::lay_out_stages() {
  const auto held = [this](const Node* node) {
    const int id = buffer_of_.at(node);
    return Held{id, count(symbols_.eval(node->shape()))};
  };
  stages_ = make_stages({steps_, needs_, held, threads_, loss_step_});
  is_parallel_ = std::any_of(stages_.begin(), stages_.end(), [](const Stage& stage) { return stage.parallel; });
  scratch_bytes_ = 0;
  for (const auto* list : {&settled_, &steps_})
    for (const StepPtr& step : *list) scratch_bytes_ = std::max(scratch_bytes_, step->scratch_bytes());
}

// Between which stages each buffer is in use, and which stage makes the loss.
void Program::find_lifetimes() {
  for (Buffer& b : buffers_) {
    b.first = stages_.size();
    b.last = 0;
  }
  const auto in_use = [&](const std::vector<const Node*>& nodes, size_t stage) {
    for (const Node* node : nodes) {
      Buffer& b = buffers_[static_cast<size_t>(buffer_of_.at(memory_of(node)))];
      b.first = std::min(b.first, stage);
      b.last = std::max(b.last, stage);
    }
  };
  for (size_t s = 0; s < stages_.size(); ++s) {
    for (const size_t i : stages_[s].partial) in_use(steps_[i]->inputs, s);
    for (const size_t i : stages_[s].steps) {
      if (i == loss_step_) loss_stage_ = s;
      in_use(steps_[i]->inputs, s);
      in_use(steps_[i]->outputs, s);
    }
  }
}

// Buffers whose lifetimes touch must not overlap: the largest first, each at the lowest place that is free.
void Program::plan_arena() {
  std::vector<Buffer*> waiting, placed;
  for (Buffer& b : buffers_)
    if (b.kind == Buffer::arena) waiting.push_back(&b);
  std::stable_sort(waiting.begin(), waiting.end(), [](const Buffer* a, const Buffer* b) { return a->bytes > b->bytes; });
  size_t total = 0;
  for (Buffer* b : waiting) {
    std::vector<const Buffer*> rivals;
    for (const Buffer* other : placed)
      if (other->first <= b->last && b->first <= other->last) rivals.push_back(other);
    std::sort(rivals.begin(), rivals.end(), [](const Buffer* x, const Buffer* y) { return x->offset < y->offset; });
    size_t offset = 0;
    for (const Buffer* other : rivals) {
      if (offset + b->bytes <= other->offset) break;
      offset = std::max(offset, align_up(other->offset + other->bytes));
    }
    b->offset = offset;
    if (offset >= static_cast<size_t>(PTRDIFF_MAX))
      fail<MemoryError>("[", describe(b->node),
                        "] expected fewer bytes than memory can address, got more; use smaller batches or tensors");
    total = std::max(total, offset + align_up(b->bytes));
    placed.push_back(b);
  }
  // Never null: a buffer of no bytes has a place too.
  arena_.grow(std::max(total, kScalar), [&] {
    const std::string largest = waiting.empty() ? "" : text("; the largest: ", describe(waiting[0]->node));
    return text("the ", waiting.size(), " values of a program", largest);
  });
}

void Program::set_bases() {
  scalars_.grow(kScalar * (buffers_.size() + 1), [] { return "numbers of a program"; });
  bases_.clear();
  for (Buffer& b : buffers_) bases_.push_back(base_of(b));
}

// Where it lies, with what is known before a run in it; null for inputs and outputs, which are given to run().
char* Program::base_of(Buffer& b) {
  const auto own_memory = [&] {
    b.own = std::make_unique<AlignedBuffer>();
    b.own->reset(b.bytes, [&] { return describe(b.node); });
  };
  switch (b.kind) {
    case Buffer::arena: return arena_.data() + b.offset;
    case Buffer::variable: return graph::variable_of(*b.node)->data();
    case Buffer::constant: return b.node->attrs.get<std::shared_ptr<const graph::Array>>("value")->data.data();
    case Buffer::scalar: {
      const bool is_size = b.node->is("size");
      const double value = is_size ? static_cast<double>(count(symbols_.eval(b.node->attrs.get<Shape>("shape"))))
                                   : b.node->attrs.get<double>("value");
      char* slot = scalars_.data() + b.index * kScalar;
      put_scalar(slot, b.node->dtype(), value);
      return slot;
    }
    case Buffer::settled:
      if (b.own == nullptr || fixed_.count(b.node) == 0) own_memory();
      return b.own->data();
    case Buffer::iota: {
      own_memory();
      const size_t element = size_of(b.node->dtype());
      for (size_t k = 0; k * element < b.bytes; ++k)
        put_scalar(b.own->data() + k * element, b.node->dtype(), static_cast<double>(k));
      return b.own->data();
    }
    default: return nullptr;
  }
}

void Program::count_held_bytes() {
  size_t held = arena_.size() + scratch_bytes_ * static_cast<size_t>(is_parallel_ ? threads_ : 1);
  for (const Buffer& b : buffers_) held += b.own ? b.own->size() : 0;
  held_bytes_.store(held, std::memory_order_relaxed);
}

// Those that no free size touches once, the others at each bind.
void Program::run_settled() {
  grow_scratch(1);
  const Run run{bases_.data(), scratch_.data()};
  for (const StepPtr& step : settled_) {
    const auto fixed = [&](const Node* node) { return fixed_.count(node) > 0; };
    if (has_settled_ && std::all_of(step->outputs.begin(), step->outputs.end(), fixed)) continue;
    step->run(run, 0, step->units(), 0);
    step->finish(run);
  }
  has_settled_ = true;
}

}  // namespace lamina::runtime
