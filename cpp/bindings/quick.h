// Programs as plain C functions of arrays: what pybind11 does for each call takes longer than a small network.
#pragma once

#include "bindings/bind.h"

namespace lamina::bindings {

// f(*arrays) -> the only output, a new array.
py::object quick_single(const py::object& program);

// f(x) -> the only output; None, and nothing was done, where x is not an ndarray that fits, of at most so many rows.
py::object quick_predictor(const py::object& program, int64_t most_rows);

// f(x, y) -> the only output, a number; None, and nothing was done, where x or y is not an ndarray that fits, y not of this dtype and
// ndim, or, with `classes`, holds a number that is not from 0 to classes - 1.
py::object quick_trainer(const py::object& program, const py::dtype& dtype, int ndim, std::optional<int64_t> classes);

}  // namespace lamina::bindings
