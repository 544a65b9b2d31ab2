// The quick way of operations of arrays: the program of a call serves those like it, found without Python.
#pragma once

#include "bindings/bind.h"

namespace lamina::bindings {

// Calls of one operation of arrays that were seen before, and the programs that compute them.
class Recall {
 public:
  // The first `operands` arguments of a call are arrays, or numbers. `transposes`: a matrix whose columns are dense is given to its
  // program transposed.
  Recall(size_t operands, bool transposes) : operands_(operands), transposes_(transposes) {}

  // From now on this program, which has run, computes such calls: of arrays of these dtypes, shapes and layouts, or the same numbers,
  // with these options. pack: makes the result of a list of several outputs, or None: there is one. given: the operands as the program
  // took them, of numbers the arrays that stand for them. Options that are no numbers, strings, None or tuples of integers are not
  // remembered, nor are programs that hold much memory.
  void keep(const py::object& program, const py::object& pack, const py::tuple& args, const py::dict& named, const py::list& given);

  // The result; None, and nothing was done, for a call unlike those seen.
  PyObject* find(PyObject* const* values, size_t n, PyObject* names);

 private:
  struct Operand {
    py::object dtype;
    Sizes sizes;
    bool column_major = false;
    py::object number, array;  // of a number: itself, and the array that stands for it
  };
  struct Seen {
    py::object program, pack;
    std::vector<Operand> operands;
    std::vector<py::object> options;  // those by position, then those by name
    std::vector<py::object> names;

    bool is(PyObject* const* values, size_t n, PyObject* names, bool transposes) const;
  };
  static constexpr size_t kMost = 64;
  static constexpr int kMostNumbers = 8;         // calls of one program, which differ in their numbers
  static constexpr size_t kMostBytes = 1 << 20;  // with larger operands the time that a look-up saves is not noticed

  size_t operands_;
  bool transposes_;
  std::vector<Seen> seen_;
  size_t last_ = 0;  // the one that was found
};

// find(*args, **named), see there, of this Recall as a plain C function.
py::object quick_find(const py::object& recall);

}  // namespace lamina::bindings
