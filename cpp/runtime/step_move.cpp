// Steps that move elements: copies, joins, paddings, gathers and scatters.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "runtime/cuts.h"
#include "runtime/short_lines.h"
#include "runtime/steps.h"
#include "runtime/strided_copy.h"

namespace lamina::runtime {

using graph::Node;

namespace {

// ---- Copies ----

class CopyStep final : public Step {
 public:
  CopyStep(const Node* from, Place to) : from_(from), to_(std::move(to)) {
    name = "copy";
    inputs = {from};
  }

  void bind(const Binder& binder) override {
    copy_.bind(to_(binder), binder.locate(from_), binder.kernels);
    units_ = copy_.lines();
    bytes_ = copy_.bytes();
  }
  void run(const Run& run, int64_t first, int64_t last, int) const override { copy_.run(run, first, last); }

 private:
  const Node* from_;
  const Place to_;
  StridedCopy copy_;
};

// A part of `whole`: `size` elements along `axis` from `start`.
Strided part(Strided whole, size_t axis, int64_t start, int64_t size) {
  whole.offset += start * whole.strides[axis];
  whole.sizes[axis] = size;
  return whole;
}

class ConcatenateStep final : public NodeStep {
 public:
  using NodeStep::NodeStep;

  void bind(const Binder& binder) override {
    const auto axis = static_cast<size_t>(node_->attrs.get<int64_t>("axis"));
    const Strided to = binder.locate(node_);
    copies_.resize(node_->inputs.size());
    int64_t start = 0;
    bytes_ = 0;
    units_ = 0;
    for (size_t i = 0; i < copies_.size(); ++i) {
      const Strided from = binder.locate(node_->inputs[i].get());
      copies_[i].bind(part(to, axis, start, from.sizes[axis]), from, binder.kernels);
      start += from.sizes[axis];
      bytes_ += copies_[i].bytes();
      units_ += copies_[i].lines();
    }
  }
  // Units are the lines of the first copy, then those of the second one, ..
  void run(const Run& run, int64_t first, int64_t last, int) const override {
    for (const StridedCopy& copy : copies_) {
      const int64_t lines = copy.lines();
      if (first < lines && last > 0) copy.run(run, std::max<int64_t>(first, 0), std::min(last, lines));
      first -= lines;
      last -= lines;
    }
  }

 private:
  std::vector<StridedCopy> copies_;
};

class PadStep final : public NodeStep {
 public:
  using NodeStep::NodeStep;

  void bind(const Binder& binder) override {
    kernels_ = &binder.kernels;
    to_ = inside_ = binder.locate(node_);
    from_ = binder.locate(node_->inputs[0].get());
    for (Strided* x : {&to_, &inside_, &from_})
      if (x->sizes.empty()) x->sizes = x->strides = {1};
    Sizes low;  // negative: cut off
    for (const Dim& dim : node_->attrs.get<Shape>("low")) low.push_back(binder.symbols.eval(dim));
    const auto& interior = node_->attrs.get<std::vector<int64_t>>("interior");
    axis_ = 0;
    while (axis_ + 1 < to_.sizes.size() && to_.sizes[axis_] == 1) ++axis_;
    begin_ = 0;
    step_ = 1;
    place_bytes_ = bytes_of(to_.sizes, to_.dtype) / static_cast<size_t>(std::max<int64_t>(to_.sizes[axis_], 1));
    // What is cut off (a negative width) is not copied.
    for (size_t i = 0; i < low.size(); ++i) {
      const int64_t step = interior[i] + 1;
      const auto begun_in = [step](int64_t width) { return width > 0 ? (width - 1) / step + 1 : 0; };
      const int64_t first = begun_in(-low[i]), end = std::min(begun_in(to_.sizes[i] - low[i]), from_.sizes[i]);
      inside_.sizes[i] = from_.sizes[i] = std::max<int64_t>(end - first, 0);
      if (end <= first) continue;  // beside nothing, a width may be any
      const int64_t begin = low[i] + first * step;
      inside_.offset += begin * to_.strides[i];
      from_.offset += first * from_.strides[i];
      if (end - first > 1) inside_.strides[i] *= step;
      if (i == axis_) begin_ = begin, step_ = step;
    }
    const auto zeros = static_cast<double>(count(to_.sizes)), copied = static_cast<double>(count(inside_.sizes));
    bytes_ = (zeros + 2 * copied) * static_cast<double>(size_of(to_.dtype));
  }
  // Into parts of the first axis that is longer than 1.
  void cut(int64_t parts, int) override {
    units_ = std::clamp<int64_t>(parts, 1, std::max<int64_t>(to_.sizes[axis_], 1));
    copies_.resize(static_cast<size_t>(units_));
    const auto copied_before = [this](int64_t unit) {
      return std::clamp<int64_t>(ceil_div(place_of(unit) - begin_, step_), 0, inside_.sizes[axis_]);
    };
    for (int64_t unit = 0; unit < units_; ++unit) {
      const int64_t first = copied_before(unit), size = copied_before(unit + 1) - first;
      copies_[static_cast<size_t>(unit)].bind(part(inside_, axis_, first, size), part(from_, axis_, first, size), *kernels_);
    }
  }
  void run(const Run& run, int64_t first, int64_t last, int) const override {
    const auto begin = static_cast<size_t>(place_of(first)) * place_bytes_,
               end = static_cast<size_t>(place_of(last)) * place_bytes_;
    std::memset(run.at(to_.buffer) + begin, 0, end - begin);
    for (int64_t unit = first; unit < last; ++unit) {
      const StridedCopy& copy = copies_[static_cast<size_t>(unit)];
      copy.run(run, 0, copy.lines());
    }
  }

 private:
  // Along the axis, the first place of a unit.
  int64_t place_of(int64_t unit) const { return unit * to_.sizes[axis_] / units_; }

  Strided to_, inside_, from_;       // the result, the places in it that are copied to, and what is copied
  size_t axis_ = 0;                  // the one that is cut
  size_t place_bytes_ = 0;           // of all that has one place along it
  int64_t begin_ = 0, step_ = 1;     // along it, the first place that is copied to, and how far the next one is
  std::vector<StridedCopy> copies_;  // of each unit
  const kernels::Table* kernels_ = nullptr;
};

// ---- Gather and scatter along one axis: both are (outer, indices, inner) over dense memory ----

class IndexedStep : public NodeStep {
 public:
  using NodeStep::NodeStep;

  bool may_fail() const override { return true; }

  void finish(const Run& run) const override {
    const int64_t i = outside_.exchange(-1, std::memory_order_relaxed);
    if (i < 0) return;
    const std::string label = node_->scope ? node_->scope->label() : "";
    fail("[", label.empty() ? node_->op->name : label, "] expected indices from ", least_, " to ", size_ - 1, ", got ",
         given(run, i), " as number ", i, " of ", count_, "; correct the indices, or give the axis more entries");
  }

 protected:
  // `table` holds the axis that is indexed, `picked` the axes of the indices in its place.
  void bind_indexed(const Binder& binder, const Node* table, const Node* indices, const Node* picked) {
    const auto axis = static_cast<size_t>(node_->attrs.get<int64_t>("axis"));
    table_ = binder.locate(table);
    indices_ = binder.locate(indices);
    picked_ = binder.locate(picked);
    const Sizes& s = table_.sizes;
    outer_ = count(Sizes(s.begin(), s.begin() + static_cast<ptrdiff_t>(axis)));
    inner_ = count(Sizes(s.begin() + static_cast<ptrdiff_t>(axis) + 1, s.end()));
    size_ = s[axis];
    count_ = count(indices_.sizes);
    least_ = node_->attrs.get<bool>("from_end", true) ? -size_ : 0;
    check(size_ > 0 || count_ == 0, "[", node_->op->name, "] expected an axis with entries to take from, got an empty one");
    bytes_ = 2.0 * static_cast<double>(count(picked_.sizes)) * static_cast<double>(size_of(picked_.dtype));
  }

  // A negative index counts from the end, where the node allows it. What lies outside is clamped, and an error when all units are done.
  int64_t index(const Run& run, int64_t i) const {
    const int64_t value = given(run, i);
    if (value < least_ || value >= size_) outside_.store(i, std::memory_order_relaxed);
    return std::clamp<int64_t>(value < 0 ? value + size_ : value, 0, size_ - 1);
  }

  Strided table_, indices_, picked_;
  int64_t outer_ = 0, inner_ = 0, size_ = 0, count_ = 0;

 private:
  int64_t given(const Run& run, int64_t i) const {
    return reinterpret_cast<const int64_t*>(run.at(indices_.buffer))[indices_.offset + i];
  }

  int64_t least_ = 0;
  mutable std::atomic<int64_t> outside_{-1};  // the place of an index that is none
};

class TakeStep final : public IndexedStep {
 public:
  using IndexedStep::IndexedStep;

  void bind(const Binder& binder) override {
    bind_indexed(binder, node_->inputs[0].get(), node_->inputs[1].get(), node_);
    units_ = outer_ * count_;
  }
  void run(const Run& run, int64_t first, int64_t last, int) const override {
    const auto element = static_cast<int64_t>(size_of(picked_.dtype)), line = inner_ * element;
    const char* table = run.at(table_.buffer) + table_.offset * element;
    char* to = run.at(picked_.buffer) + first * line;
    with_lines(static_cast<size_t>(line), [&](auto copy) {
      for (int64_t unit = first; unit < last;) {
        const char* from = table + unit / count_ * size_ * line;
        const int64_t begin = unit % count_, end = std::min(count_, begin + last - unit);
        for (int64_t i = begin; i < end; ++i, to += line) copy(to, from + index(run, i) * line);
        unit += end - begin;
      }
    });
  }
};

class ScatterAddStep final : public IndexedStep {
 public:
  using IndexedStep::IndexedStep;

  void bind(const Binder& binder) override {
    bind_indexed(binder, node_, node_->inputs[0].get(), node_->inputs[1].get());
    cut(1, 1);
  }
  // By columns where there is one table: each thread adds up its own of every line.
  void cut(int64_t, int threads) override {
    parts_ = outer_ < threads ? std::clamp<int64_t>(inner_ / kFewestColumns, 1, threads) : 1;
    units_ = outer_ * parts_;
  }
  void run(const Run& run, int64_t first, int64_t last, int) const override {
    if (table_.dtype == DType::float32)
      scatter<float>(run, first, last);
    else if (table_.dtype == DType::float64)
      scatter<double>(run, first, last);
    else
      scatter<int64_t>(run, first, last);
  }

 private:
  template <class T>
  void scatter(const Run& run, int64_t first, int64_t last) const {
    T* table = reinterpret_cast<T*>(run.at(table_.buffer));
    const T* picked = reinterpret_cast<const T*>(run.at(picked_.buffer)) + picked_.offset;
    for (int64_t unit = first; unit < last; ++unit) {
      const int64_t o = unit / parts_, part = unit % parts_;
      const int64_t begin = inner_ * part / parts_, columns = inner_ * (part + 1) / parts_ - begin;
      T* own = table + o * size_ * inner_ + begin;
      if (parts_ == 1)
        std::fill_n(own, size_ * inner_, T(0));
      else
        for (int64_t r = 0; r < size_; ++r) std::fill_n(own + r * inner_, columns, T(0));
      const T* from = picked + o * count_ * inner_ + begin;
      for (int64_t i = 0; i < count_; ++i, from += inner_) add_line(own + index(run, i) * inner_, from, columns);
    }
  }

  template <class T>
  static void add_line(T* __restrict to, const T* __restrict from, int64_t columns) {
    for (int64_t c = 0; c < columns; ++c) to[c] += from[c];
  }

  static constexpr int64_t kFewestColumns = 16;  // of a thread

  int64_t parts_ = 1;  // of the columns
};

}  // namespace

StepPtr make_copy_step(const Node* from, Place to) { return std::make_unique<CopyStep>(from, std::move(to)); }
StepPtr make_copy_step(const Node* from, const Node* to) {
  StepPtr step = make_copy_step(from, [to](const Binder& binder) { return binder.locate(to); });
  (to->is("variable") ? step->changes : step->outputs) = {to};
  return step;
}
StepPtr make_concatenate_step(const Node* node) { return std::make_unique<ConcatenateStep>(node); }
StepPtr make_pad_step(const Node* node) { return std::make_unique<PadStep>(node); }
StepPtr make_take_step(const Node* node) { return std::make_unique<TakeStep>(node); }
StepPtr make_scatter_add_step(const Node* node) { return std::make_unique<ScatterAddStep>(node); }

}  // namespace lamina::runtime
