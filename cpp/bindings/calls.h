// The way of arrays through a program: as it reads them, in its turn, without the GIL where that pays.
#pragma once

#include <array>

#include "bindings/bind.h"
#include "runtime/gather.h"
#include "runtime/program.h"

namespace lamina::bindings {

// Whether the core can gather from an array of this type.
bool is_readable(const py::array& array);

// The array as rows that the core can gather. TypeError for what it cannot read.
runtime::Rows rows_of(const py::array& array);

// As many T as a call has arrays: few as a rule, and then without a place on the heap.
template <class T>
class Few {
 public:
  explicit Few(size_t n) : size_(n) {
    if (n > few_.size()) many_.resize(n);
  }
  T* data() { return size_ > few_.size() ? many_.data() : few_.data(); }
  const T* data() const { return size_ > few_.size() ? many_.data() : few_.data(); }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  size_t size() const { return size_; }

 private:
  size_t size_;
  std::array<T, 4> few_{};
  std::vector<T> many_;
};

// Sole use of a program, and of its variables, while it lives.
class Lock : public Turn {
 public:
  explicit Lock(runtime::Program& program) : Turn(program.turns()) { program.check_idle(); }
};

// The arrays of one call, ready to be read.
class Call {
 public:
  Call(const runtime::Program& program, PyObject* const* values, size_t n);

  const void* const* inputs() const { return inputs_.data(); }
  // Binds the program where the shapes are not those of its last run. The caller has the turn.
  void bind(runtime::Program& program) const;
  // The same, or the one that it has for smaller batches, bound.
  runtime::Program& bound(runtime::Program& program) const;

 private:
  bool fits(const runtime::Program& program) const;
  std::vector<Sizes> sizes() const;

  Few<py::object> arrays_;
  Few<const void*> inputs_;
};

// A new array for output i.
py::array new_output(const runtime::Program& program, size_t i);

// Runs the program and gives the turn back; without the GIL, unless it is short.
void run_freely(runtime::Program& program, Lock& lock, const void* const* inputs, void* const* outputs, bool guarded);

// The only output of a program for these arrays; all of them.
py::array only_output(runtime::Program& program, PyObject* const* values, size_t n);
py::list all_outputs(runtime::Program& program, PyObject* const* values, size_t n, bool guarded);
py::list all_outputs(runtime::Program& bound, Lock& lock, const Call& call, bool guarded);

}  // namespace lamina::bindings
