// The programs of a network as C functions of arrays like those of the last call.
#pragma once

#include "bindings/bind.h"

namespace lamina::bindings {

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
