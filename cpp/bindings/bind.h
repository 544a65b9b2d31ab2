// The extension module in parts. Bindings turn Python objects into the core's and back, and hold the GIL where Python is called.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/gil.h"
#include "graph/node.h"

namespace lamina::bindings {

namespace py = pybind11;

// A graph node in Python's hands.
struct NodeHandle {
  graph::Tensor tensor;
};

graph::Tensors tensors_of(const std::vector<NodeHandle>& handles);
// NumPy's own object for a dtype: an array of that type, in this machine's byte order, carries the very same.
const py::dtype& numpy_dtype(DType type);
DType dtype_of_array(const py::array& array);  // TypeError for what a graph cannot hold
Sizes sizes_of(const py::array& array);

// A new array, or null with NumPy's error set.
PyObject* find_room(const py::dtype& dtype, const Sizes& sizes);

// A new array. Where there is no room for it: MemoryError, which names what `purpose()` says.
template <class Purpose>
py::array new_array(const py::dtype& dtype, const Sizes& sizes, const Purpose& purpose) {
  PyObject* array = find_room(dtype, sizes);
  if (array != nullptr) return py::reinterpret_steal<py::array>(array);
  if (!PyErr_ExceptionMatches(PyExc_MemoryError)) throw py::error_already_set();
  PyErr_Clear();
  throw MemoryError(no_room(purpose(), static_cast<size_t>(count(sizes)) * static_cast<size_t>(dtype.itemsize())));
}

void register_graph(py::module_& module);
void register_variables(py::module_& module);
void register_program(py::module_& module);
void register_systems(py::module_& module);

}  // namespace lamina::bindings
