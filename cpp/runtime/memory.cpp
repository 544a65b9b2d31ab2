#include "runtime/memory.h"

#include <algorithm>

#include "kernels/table.h"

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

// A view of what lies at `view`.
Strided view_of(const Node* node, Strided view, const Bindings& symbols) {
  const Sizes sizes = symbols.eval(node->shape());
  if (node->is("broadcast_to")) return view.broadcast(sizes);
  if (node->is("transpose")) {
    const Strided from = view;
    const auto& axes = node->attrs.get<std::vector<int64_t>>("axes");
    for (size_t i = 0; i < axes.size(); ++i) view.strides[i] = from.strides[static_cast<size_t>(axes[i])];
  } else if (node->is("slice")) {
    Sizes start;  // of no elements from the end on: -1
    for (const Dim& dim : node->attrs.get<Shape>("start")) start.push_back(symbols.eval(dim));
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

}  // namespace

double read_scalar(const void* from, DType type) {
  switch (type) {
    case DType::boolean: return *static_cast<const uint8_t*>(from);
    case DType::int64: return static_cast<double>(*static_cast<const int64_t*>(from));
    case DType::float32: return *static_cast<const float*>(from);
    default: return *static_cast<const double*>(from);
  }
}

std::string describe(const Node* node, const Bindings& symbols) {
  const std::string label = node->scope ? node->scope->label() : "";
  const Sizes sizes = symbols.eval(node->shape());
  return text(label, label.empty() ? "" : ": ", node->op->name, ", ", name_of(node->dtype()), " ", to_string(known(sizes)));
}

Memory::Memory(const graph::Tensors& inputs, const graph::Tensors& outputs, const Bindings& symbols)
    : inputs_(inputs.size()), outputs_(outputs.size()), symbols_(symbols) {
  for (const auto& input : inputs) {
    buffer_of_[input.get()] = static_cast<int>(buffers_.size());
    buffers_.push_back({Buffer::input, input.get()});
  }
  for (const auto& output : outputs) buffers_.push_back({Buffer::output, output.get()});
}

void Memory::add(const Node* node) {
  node = graph::memory_of(node);
  if (!buffer_of_.emplace(node, static_cast<int>(buffers_.size())).second) return;
  const auto kind = [node] {
    if (node->is("variable")) return Buffer::variable;
    if (node->is("constant")) return Buffer::constant;
    if (node->is("iota")) return Buffer::iota;
    return node->is("fill") || node->is("size") ? Buffer::scalar : Buffer::arena;
  };
  buffers_.push_back({kind(), node});
}

bool Memory::is_known(const Node* node) const {
  const Buffer::Kind kind = buffer(node).kind;
  return kind == Buffer::scalar || kind == Buffer::constant || kind == Buffer::iota || kind == Buffer::settled;
}

Strided Memory::locate(const Node* node) const {
  std::vector<const Node*> views;  // the last looks at memory
  while (node->op->kind == Kind::view) {
    views.push_back(node);
    node = node->inputs[0].get();
  }
  const Sizes sizes = symbols_.eval(node->shape());
  const int id = buffer_of_.at(node);
  const bool scalar = buffers_[static_cast<size_t>(id)].kind == Buffer::scalar;
  Strided at = scalar ? Strided{id, node->dtype(), 0, sizes, Sizes(sizes.size(), 0)} : Strided::dense(id, node->dtype(), sizes);
  for (size_t i = views.size(); i-- > 0;) at = view_of(views[i], std::move(at), symbols_);
  return at;
}

void Memory::lay_out(const std::vector<Stage>& stages, const std::vector<StepPtr>& steps) {
  for (Buffer& b : buffers_) b.bytes = bytes_of(symbols_.eval(b.node->shape()), b.node->dtype());
  find_lifetimes(stages, steps);
  plan_arena();
  scalars_.grow(kScalar * (buffers_.size() + 1), [] { return "numbers of a program"; });
  bases_.clear();
  for (Buffer& b : buffers_) bases_.push_back(base_of(b, scalars_.data() + kScalar * bases_.size()));
}

// Between which stages each buffer is in use.
void Memory::find_lifetimes(const std::vector<Stage>& stages, const std::vector<StepPtr>& steps) {
  for (Buffer& b : buffers_) {
    b.first = stages.size();
    b.last = 0;
  }
  const auto in_use = [&](const std::vector<const Node*>& nodes, size_t stage) {
    for (const Node* node : nodes) {
      Buffer& b = buffer(node);
      b.first = std::min(b.first, stage);
      b.last = std::max(b.last, stage);
    }
  };
  for (size_t s = 0; s < stages.size(); ++s) {
    for (const size_t i : stages[s].partial) in_use(steps[i]->inputs, s);
    for (const size_t i : stages[s].steps) {
      in_use(steps[i]->inputs, s);
      in_use(steps[i]->outputs, s);
    }
  }
}

// Buffers whose lifetimes touch must not overlap: the largest first, each at the lowest place that is free.
void Memory::plan_arena() {
  std::vector<Buffer*> waiting, placed;  // the latter by their offsets: the first that leaves room below it ends the search
  for (Buffer& b : buffers_)
    if (b.kind == Buffer::arena) waiting.push_back(&b);
  std::stable_sort(waiting.begin(), waiting.end(), [](const Buffer* a, const Buffer* b) { return a->bytes > b->bytes; });
  size_t total = 0;
  for (Buffer* b : waiting) {
    size_t offset = 0;
    for (const Buffer* other : placed) {
      if (offset + b->bytes <= other->offset) break;
      if (other->first <= b->last && b->first <= other->last) offset = std::max(offset, align_up(other->offset + other->bytes));
    }
    b->offset = offset;
    if (offset >= static_cast<size_t>(PTRDIFF_MAX))
      fail<MemoryError>("[", describe(b->node, symbols_),
                        "] expected fewer bytes than memory can address, got more; use smaller batches or tensors");
    total = std::max(total, offset + align_up(b->bytes));
    placed.insert(std::ranges::upper_bound(placed, offset, {}, &Buffer::offset), b);
  }
  // Never null: a buffer of no bytes has a place too.
  arena_.grow(std::max(total, kScalar), [&] {
    const std::string largest = waiting.empty() ? "" : text("; the largest: ", describe(waiting[0]->node, symbols_));
    return text("the ", waiting.size(), " values of a program", largest);
  });
}

// Where it lies, with what is known before a run in it; null for inputs and outputs, which are given.
char* Memory::base_of(Buffer& b, char* slot) const {
  const auto own_memory = [&] {
    b.own.grow(std::max(b.bytes, kScalar), [&] { return describe(b.node, symbols_); });
    return b.own.data();
  };
  switch (b.kind) {
    case Buffer::arena: return arena_.data() + b.offset;
    case Buffer::variable: return graph::variable_of(*b.node)->data();
    case Buffer::constant: return b.node->attrs.get<std::shared_ptr<const graph::Array>>("value")->data.data();
    case Buffer::scalar: {
      const bool is_size = b.node->is("size");
      const double value = is_size ? static_cast<double>(count(symbols_.eval(b.node->attrs.get<Shape>("shape"))))
                                   : b.node->attrs.get<double>("value");
      put_scalar(slot, b.node->dtype(), value);
      return slot;
    }
    case Buffer::settled: return own_memory();
    case Buffer::iota: {
      char* memory = own_memory();
      const size_t element = size_of(b.node->dtype());
      for (size_t k = 0; k * element < b.bytes; ++k) put_scalar(memory + k * element, b.node->dtype(), static_cast<double>(k));
      return memory;
    }
    default: return nullptr;
  }
}

size_t Memory::bytes() const {
  size_t all = arena_.size();
  for (const Buffer& b : buffers_) all += b.own.size();
  return all;
}

}  // namespace lamina::runtime
