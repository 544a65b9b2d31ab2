// A program is a list of steps. A step is made once, bound whenever the batch size changes, and run: nothing allocates or logs while it
// runs but a call of the host, and nothing throws but what may_fail().
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
  std::function<bool(const graph::Node*)> changes;    // whether a run writes that tensor: a variable, or a view of one
  const kernels::Table& kernels;
};

// What a step sees while it runs.
struct Run {
  char* const* bases;            // start of each buffer
  const AlignedBuffer* scratch;  // one for each worker

  char* at(int buffer) const { return bases[buffer]; }
};

// A step whose rows, such as those of a batch, do not depend on each other: it and neighbours with as many rows, two or more, may run
// block by block, one after the other, unless it changes variables. Everything here is as of the last bind.
class RowWise {
 public:
  virtual ~RowWise() = default;

  // 0: one long row without a batch, which can be cut into as many rows as its neighbours have (see `splits`).
  virtual int64_t rows() const = 0;
  virtual bool splits(int64_t rows) const = 0;
  virtual int64_t grain(int64_t rows) const = 0;  // blocks begin at multiples of so many rows
  // Whether a block needs no rows but its own of a buffer of rows * width elements: so it is where the step's rows lie `width` apart, as
  // the first and the last one, and so all, are within the buffer. Whether it leaves its own rows in one.
  virtual bool reads_rows(int buffer, int64_t rows, int64_t width) const = 0;
  virtual bool leaves_rows(int buffer) const = 0;
  // Of a matrix that each block reads, or writes, as a whole.
  struct Shared {
    int64_t rows = 0, cols = 0, bytes = 0;
  };
  virtual Shared shared() const { return {}; }
  // Instead of Step::cut: into blocks of `block` rows, each of equally many units.
  virtual void cut_rows(int64_t rows, int64_t block) = 0;
};

// The first part of a step that sums over the rows of a batch: the sums of each group of rows. It needs no more than `reads`, changes
// no variable, and its units are the step's first ones; the others wait for all of them.
class PartialSums : public RowWise {
 public:
  std::vector<const graph::Node*> reads;

  virtual int64_t units() const = 0;
  virtual double work() const = 0;      // as Step::work, of which it is a part
  virtual void cut(int64_t parts) = 0;  // as Step::cut
};

class Step {
 public:
  virtual ~Step() = default;

  virtual void bind(const Binder& binder) = 0;
  // After bind(): into about so many units, where the step has the choice, to be shared by so many threads.
  virtual void cut(int64_t /*parts*/, int /*threads*/) {}
  // The same for what is left of it once its partial_sums() are cut.
  virtual void cut_rest(int64_t /*parts*/) {}
  // Units [first, last) of units(); none waits for one behind it.
  virtual void run(const Run& run, int64_t first, int64_t last, int worker) const = 0;
  // After all units: merges partial sums in index order.
  virtual void finish(const Run&) const {}

  int64_t units() const { return units_; }
  size_t scratch_bytes() const { return scratch_bytes_; }
  double flops() const { return flops_; }
  double bytes() const { return bytes_; }
  // How long it takes, in FLOP of a matrix product (10 ps each with AVX-512, 25 with AVX2 on Zen 1); a byte takes about as long as one.
  double work() const { return work_ + bytes_; }
  virtual RowWise* row_wise() { return nullptr; }
  virtual PartialSums* partial_sums() { return nullptr; }  // as last bound
  virtual bool alone() const { return false; }             // calls the host: on the caller's thread, with nothing beside it
  virtual bool may_fail() const { return alone(); }        // by what the values are: no variable is written before it has run

  std::string name;                         // e.g. "matmul+relu"
  std::vector<const graph::Node*> nodes;    // what it computes
  std::vector<uint64_t> origins;            // the serials of the user's nodes that these carry out
  std::vector<const graph::Node*> inputs;   // what it reads
  std::vector<const graph::Node*> outputs;  // what it leaves in memory
  std::vector<const graph::Node*> changes;  // variables that it writes

 protected:
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
