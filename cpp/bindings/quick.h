// The quick way of a network's calls: its programs as C functions of arrays like those of a call before.
#pragma once

#include "bindings/bind.h"

namespace lamina::bindings {

// f(x) -> the output, a list of several; None, and nothing was done, where x is not an ndarray that fits (a list or a tuple of them for
// several inputs), of at most so many rows.
py::object quick_predictor(const py::object& program, int64_t most_rows);

// What an array of a call is like.
struct Kind {
  py::dtype dtype;
  int ndim;
  std::optional<int64_t> classes;  // it holds numbers from 0 to classes - 1
};

// The learning rate's place, and the clock, whose first number is how many steps are done.
struct Schedule {
  std::shared_ptr<graph::Variable> rate, clock;
};

// f(x, y, weight=None) -> the only output, a number; None, and nothing was done, where one of them is not an ndarray that fits (a list
// or a tuple of them for several inputs, or targets, a vector for a column), or a weight is not valid. f(x, y, weight, rates, first), with
// a schedule: at the rate that this step has in an array of float64, the first of them that of step `first`; None, too, where it has none
// there. With `inputs` it is careful: it takes those types of x alone, and finite numbers, and gives a list of all outputs. guarded: there
// a loss that is not finite ends the step before its update.
py::object quick_trainer(const py::object& program, const std::vector<Kind>& inputs, const std::vector<Kind>& targets,
                         bool weighted, Schedule schedule, int64_t most_rows, bool guarded);

}  // namespace lamina::bindings
