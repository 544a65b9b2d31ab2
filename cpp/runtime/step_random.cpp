// Random numbers.
#include <algorithm>

#include "kernels/dispatch.h"
#include "runtime/cuts.h"
#include "runtime/kernel_types.h"
#include "runtime/steps.h"

namespace lamina::runtime {

using graph::Node;

namespace {

// Element i of stream (seed, stream, step): the same for any number of threads.
class RandomStep final : public NodeStep {
 public:
  using NodeStep::NodeStep;

  void bind(const Binder& binder) override {
    to_ = binder.locate(node_);
    state_ = binder.locate(node_->inputs[0].get());
    stream_ = static_cast<uint64_t>(node_->attrs.get<int64_t>("stream"));
    uniform_ = binder.kernels.uniform[precision_of(to_.dtype)];
    total_ = count(to_.sizes);
    units_ = ceil_div(total_, kUnitNumbers);
    work_ = kWork * static_cast<double>(total_);
    bytes_ = static_cast<double>(total_) * static_cast<double>(size_of(to_.dtype));
  }

  void run(const Run& run, int64_t first, int64_t last, int) const override {
    const int64_t* state = reinterpret_cast<const int64_t*>(run.at(state_.buffer)) + state_.offset;
    const int64_t begin = first * kUnitNumbers, end = std::min(last * kUnitNumbers, total_);
    uniform_(run.at(to_.buffer) + begin * static_cast<int64_t>(size_of(to_.dtype)), end - begin, static_cast<uint64_t>(state[0]),
             (static_cast<uint64_t>(state[1]) << 20) + stream_, static_cast<uint64_t>(begin));
  }

 private:
  static constexpr int64_t kUnitNumbers = 16 * 1024;
  static constexpr double kWork = 25;  // of an element, as TileEntry::work
  Strided to_, state_;
  uint64_t stream_ = 0;
  int64_t total_ = 0;
  void (*uniform_)(void*, ptrdiff_t, uint64_t, uint64_t, uint64_t) = nullptr;
};

}  // namespace

StepPtr make_random_step(const Node* node) { return std::make_unique<RandomStep>(node); }

}  // namespace lamina::runtime
