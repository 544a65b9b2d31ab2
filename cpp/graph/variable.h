// State that outlives a run: weights, optimizer slots, the learning rate, clocks, random counters, running statistics.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/check.h"
#include "base/dtype.h"
#include "base/shape.h"
#include "base/turns.h"

namespace lamina::graph {

class Variable {
 public:
  Variable(std::string name, DType type, Sizes sizes, bool trainable)
      : name(std::move(name)), dtype(type), sizes(std::move(sizes)), trainable(trainable) {
    storage_ = std::make_shared<AlignedBuffer>();
    storage_->reset(bytes(), [this] { return describe(); });
  }

  // "dense_1.weight, float32 (784, 128)"
  std::string describe() const {
    return text(name.empty() ? "parameter" : name, ", ", name_of(dtype), " ", to_string(known(sizes)));
  }

  size_t bytes() const { return bytes_of(sizes, dtype); }
  char* data() const { return storage_->data() + offset_; }

  std::string name;
  const DType dtype;
  const Sizes sizes;
  bool trainable;
  const std::shared_ptr<Turns> turns = std::make_shared<Turns>();  // whoever reads or writes the values takes it
  std::shared_ptr<void> note;                                      // the caller's: travels with the variable, means nothing here

  // Moves the variables into one buffer, in order, each on a boundary of 64 bytes; values stay. Programs find them again at
  // their next run by layout_version().
  static void pack(const std::vector<std::shared_ptr<Variable>>& variables);
  static uint64_t layout_version();
  // The one turn for all of them, from now on; a turn of its own where there are none.
  static std::shared_ptr<Turns> turns_of(const std::vector<std::shared_ptr<Variable>>& variables);

 private:
  std::shared_ptr<AlignedBuffer> storage_;
  size_t offset_ = 0;
};

// Data that a graph carries: dense, never written after it was made.
struct Array {
  DType dtype;
  Sizes sizes;
  AlignedBuffer data;
};

}  // namespace lamina::graph
