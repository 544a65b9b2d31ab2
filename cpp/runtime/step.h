// A program is a list of steps. A step is made once, bound whenever the batch size changes, and run: nothing allocates, throws or
// logs while it runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "graph/node.h"
#include "kernels/table.h"
#include "runtime/strided.h"

namespace lamina::runtime {

// What a step asks while it is bound.
struct Binder {
  const Bindings& symbols;
  std::function<Strided(const graph::Node*)> locate;  // where a tensor's elements lie
  const kernels::Table& kernels;
  int threads;  // that will carry it out
};

// What a step sees while it runs.
struct Run {
  char* const* bases;            // start of each buffer
  const AlignedBuffer* scratch;  // one for each worker

  char* at(int buffer) const { return bases[buffer]; }
};

class Step {
 public:
  virtual ~Step() = default;

  virtual void bind(const Binder& binder) = 0;
  // Units [first, last) of units(); units do not depend on each other.
  virtual void run(const Run& run, int64_t first, int64_t last, int worker) const = 0;
  // After all units: merges partial sums in index order.
  virtual void finish(const Run&) const {}

  int64_t units() const { return units_; }
  size_t scratch_bytes() const { return scratch_bytes_; }
  double flops() const { return flops_; }
  double bytes() const { return bytes_; }
  double work() const { return work_ + bytes_; }
  bool parallel() const { return units_ > 1 && work() >= kSerial; }

  std::string name;                         // e.g. "matmul+relu"
  std::vector<const graph::Node*> nodes;    // what it computes
  std::vector<uint64_t> origins;            // the serials of the user's nodes that these carry out
  std::vector<const graph::Node*> inputs;   // what it reads
  std::vector<const graph::Node*> outputs;  // what it leaves in memory
  std::vector<const graph::Node*> changes;  // variables that it writes

 protected:
  // Work below this stays on the caller's thread: waking another one costs about a microsecond.
  static constexpr double kSerial = 100e3;

  int64_t units_ = 1;
  size_t scratch_bytes_ = 0;
  double flops_ = 0;
  double work_ = 0;  // FLOP of a matrix product that take as long as the calculations
  double bytes_ = 0;
};

using StepPtr = std::unique_ptr<Step>;

// A step that carries out one operation by itself.
class NodeStep : public Step {
 public:
  explicit NodeStep(const graph::Node* node) : node_(node) {
    name = node->op->name;
    for (const auto& input : node->inputs) inputs.push_back(input.get());
    outputs = {node};
  }

 protected:
  const graph::Node* node_;
};

}  // namespace lamina::runtime
