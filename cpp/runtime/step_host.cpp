// A node that the host language computes: one unit, on the caller's thread.
#include "base/subnormals.h"
#include "graph/host.h"
#include "runtime/dense_systems.h"
#include "runtime/steps.h"

namespace lamina::runtime {

namespace {

class HostStep final : public NodeStep {
 public:
  explicit HostStep(const graph::Node* node) : NodeStep(node) {
    name = node->attrs.get<std::string>("name");
    own_way_ = own_way(name);
  }

  void bind(const Binder& binder) override {
    from_.clear();
    bytes_ = 0;
    for (const auto& input : node_->inputs) {
      from_.push_back(binder.locate(input.get()));
      bytes_ += static_cast<double>(count(from_.back().sizes)) * static_cast<double>(size_of(from_.back().dtype));
    }
    to_ = binder.locate(node_);
  }

  void run(const Run& run, int64_t, int64_t, int) const override {
    std::vector<graph::HostArray> arrays;
    for (const Strided& s : from_) arrays.push_back(array(run, s));
    const Subnormals as_there(Subnormals::Are::exact);
    const graph::HostArray output = array(run, to_);
    if (own_way_ != nullptr && compute(*own_way_, node_->attrs, arrays, output)) return;
    graph::host().compute(*node_, arrays, output);
    if (own_way_ != nullptr) compute(*own_way_, node_->attrs, arrays, output);  // a matrix's bits do not depend on those beside it
  }

  bool alone() const override { return true; }

 private:
  static graph::HostArray array(const Run& run, const Strided& s) {
    return {run.at(s.buffer) + s.offset * static_cast<int64_t>(size_of(s.dtype)), s.dtype, s.sizes};
  }

  const OwnWay* own_way_ = nullptr;  // is tried first
  std::vector<Strided> from_;
  Strided to_;
};

}  // namespace

StepPtr make_host_step(const graph::Node* node) { return std::make_unique<HostStep>(node); }

}  // namespace lamina::runtime
