// Where the values of a program lie: with whoever runs it, in variables and constants, in memory of their own, or in one arena, in which
// values that are never in use together share their places.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/aligned.h"
#include "graph/node.h"
#include "runtime/stages.h"
#include "runtime/strided.h"

namespace lamina::runtime {

// A scalar as a number.
double read_scalar(const void* from, DType type);

// For errors: "dense_1: matmul, float32 (60000, 128)".
std::string describe(const graph::Node* node, const Bindings& symbols);

class Memory {
 public:
  // Of a program with these inputs and outputs; `symbols`: what it is bound to.
  Memory(const graph::Tensors& inputs, const graph::Tensors& outputs, const Bindings& symbols);

  // ---- As the program is planned: every value has a buffer ----

  int output(size_t i) const { return static_cast<int>(inputs_ + i); }
  // Lets a node's value lie in output i, unless it lies elsewhere; whether it does.
  bool put_in_output(const graph::Node* node, size_t i) { return buffer_of_.emplace(node, output(i)).second; }
  void add(const graph::Node* node);
  // Whether it is there before a run: a constant, a size, or what has been settled.
  bool is_known(const graph::Node* node) const;
  bool is_in_arena(const graph::Node* node) const { return buffer(node).kind == Buffer::arena; }
  // Says of a value in the arena that it is computed when the program is bound.
  void settle(const graph::Node* node) { buffer(node).kind = Buffer::settled; }

  // ---- As it is bound ----

  int buffer_of(const graph::Node* node) const { return buffer_of_.at(graph::memory_of(node)); }
  Strided locate(const graph::Node* node) const;
  // A place for every value, with what is known before a run in it; but for settled values, which are not computed yet.
  void lay_out(const std::vector<Stage>& stages, const std::vector<StepPtr>& steps);
  size_t arena_bytes() const { return arena_.size(); }
  size_t bytes() const;  // of all that is its own

  // ---- As it runs ----

  void give(const void* const* inputs, void* const* outputs) {
    for (size_t i = 0; i < inputs_; ++i) bases_[i] = const_cast<char*>(static_cast<const char*>(inputs[i]));
    for (size_t i = 0; i < outputs_; ++i) bases_[inputs_ + i] = static_cast<char*>(outputs[i]);
  }
  char* const* bases() const { return bases_.data(); }  // where each buffer begins

 private:
  struct Buffer {
    enum Kind { arena, input, output, variable, constant, scalar, iota, settled } kind;
    const graph::Node* node;
    size_t first = 0, last = 0;  // stages between which one of the arena is in use
    size_t bytes = 0, offset = 0;
    AlignedBuffer own = {};  // of iota and settled values
  };

  Buffer& buffer(const graph::Node* node) { return buffers_[static_cast<size_t>(buffer_of(node))]; }
  const Buffer& buffer(const graph::Node* node) const { return buffers_[static_cast<size_t>(buffer_of(node))]; }
  void find_lifetimes(const std::vector<Stage>& stages, const std::vector<StepPtr>& steps);
  void plan_arena();
  char* base_of(Buffer& buffer, char* slot) const;

  const size_t inputs_, outputs_;  // how many: theirs are the first buffers
  const Bindings& symbols_;
  std::vector<Buffer> buffers_;
  std::unordered_map<const graph::Node*, int> buffer_of_;
  AlignedBuffer arena_;
  AlignedBuffer scalars_;  // a slot for each buffer
  std::vector<char*> bases_;
};

}  // namespace lamina::runtime
