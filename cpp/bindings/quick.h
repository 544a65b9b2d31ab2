// Programs as plain C functions of arrays: what pybind11 does for each call takes longer than a small network.
#pragma once

#include "bindings/bind.h"

namespace lamina::bindings {

void register_quick();

// Calls of one operation of arrays that were seen before, and the programs that compute them.
class Recall {
 public:
  // The first `operands` arguments of a call are arrays. `turns`: a matrix whose columns are dense is given to its program transposed.
  Recall(size_t operands, bool turns) : operands_(operands), turns_(turns) {}

  // From now on this program, which has run, computes such calls: of arrays of these dtypes, shapes and layouts, with these options.
  // Options that are no numbers, strings, None or tuples of integers are not remembered, nor are programs that hold much memory.
  void keep(const py::object& program, const py::tuple& args, const py::dict& named);

  // The program's only output; None, and nothing was done, for a call that is not known.
  PyObject* look(PyObject* const* values, size_t n, PyObject* names);

 private:
  struct Operand {
    py::object dtype;
    Sizes sizes;
    bool turned;
  };
  struct Known {
    py::object program;
    std::vector<Operand> operands;
    std::vector<py::object> options;  // those by position, then those by name
    std::vector<py::object> names;

    bool is(PyObject* const* values, size_t n, PyObject* names, bool turns) const;
  };
  static constexpr size_t kMost = 64;
  static constexpr size_t kMostBytes = 1 << 20;  // whoever works through more takes no notice of how it was found

  size_t operands_;
  bool turns_;
  std::vector<Known> known_;
  size_t last_ = 0;  // the one that was found
};

// look(*args, **named), see there, as a plain C function.
py::object quick_look(const py::object& recall);

// f(x) -> the only output; None, and nothing was done, where x is not an ndarray that fits, of at most so many rows.
py::object quick_predictor(const py::object& program, int64_t most_rows);

// The learning rate's place, and the clock, whose first number is how many steps are done.
struct Schedule {
  std::shared_ptr<graph::Variable> rate, clock;
};

// f(x, y) -> the only output, a number; None, and nothing was done, where x or y is not an ndarray that fits, y not of this dtype and
// ndim, or, with `classes`, holds a number that is not from 0 to classes - 1. f(x, y, rates, first), with a schedule: at the rate that
// this step has in an array of float64, the first of them that of step `first`; None, too, where it has none there.
py::object quick_trainer(const py::object& program, const py::dtype& dtype, int ndim, std::optional<int64_t> classes,
                         Schedule schedule);

}  // namespace lamina::bindings
