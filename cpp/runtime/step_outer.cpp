// Outer products of rows: every row of the result follows from one row of each input.
#include <algorithm>

#include "runtime/cuts.h"
#include "runtime/kernel_types.h"
#include "runtime/steps.h"

namespace lamina::runtime {

namespace {

class OuterStep final : public NodeStep {
 public:
  using NodeStep::NodeStep;

  void bind(const Binder& binder) override {
    triangle_ = node_->is("row_outer_upper");
    to_ = binder.locate(node_);
    element_ = static_cast<int64_t>(size_of(to_.dtype));
    outer_ = binder.kernels.outer[precision_of(to_.dtype)];
    from_.clear();
    for (const auto& input : node_->inputs) from_.push_back(binder.locate(input.get()));
    pairs_ = static_cast<int64_t>(from_.size()) / (triangle_ ? 1 : 2);
    rows_ = from_.front().sizes[0];
    n_ = from_.front().sizes[1];
    m_ = triangle_ ? n_ : from_[1].sizes[1];
    const int64_t numbers = count(to_.sizes);
    units_ = ceil_div(rows_, kUnitRows);
    flops_ = static_cast<double>((2 * pairs_ - 1) * numbers);
    work_ = kWork * static_cast<double>(pairs_ * numbers);
    scratch_bytes_ = 2 * static_cast<size_t>(pairs_) * sizeof(const void*);
    bytes_ = static_cast<double>((numbers + pairs_ * rows_ * (triangle_ ? n_ : n_ + m_)) * element_);
  }

  void run(const Run& run, int64_t first, int64_t last, int worker) const override {
    const int64_t row0 = first * kUnitRows, row1 = std::min(last * kUnitRows, rows_);
    const void** a = reinterpret_cast<const void**>(run.scratch[worker].data());
    const void** b = a + pairs_;
    const auto rows_of = [&](const Strided& x) { return run.at(x.buffer) + (x.offset + row0 * x.sizes[1]) * element_; };
    for (int64_t k = 0; k < pairs_; ++k) {
      const auto i = static_cast<size_t>(triangle_ ? k : 2 * k);
      a[k] = rows_of(from_[i]);
      b[k] = triangle_ ? a[k] : rows_of(from_[i + 1]);
    }
    outer_({row1 - row0, n_, m_, pairs_, a, b, run.at(to_.buffer) + row0 * to_.strides[0] * element_, triangle_});
  }

 private:
  static constexpr int64_t kUnitRows = 64;
  static constexpr double kWork = 6;  // of a product, as TileEntry::work

  Strided to_;
  std::vector<Strided> from_;
  int64_t pairs_ = 0, rows_ = 0, n_ = 0, m_ = 0, element_ = 0;
  bool triangle_ = false;
  void (*outer_)(const kernels::OuterArgs&) = nullptr;
};

}  // namespace

StepPtr make_outer_step(const graph::Node* node) { return std::make_unique<OuterStep>(node); }

}  // namespace lamina::runtime
