// Plain C functions as Python calls them: what pybind11 does for each call takes longer than a small network.
#pragma once

#include <exception>
#include <utility>

#include "bindings/bind.h"

namespace lamina::bindings {

// Before the first of them is called.
void register_c_functions();

using Fast = PyObject*(PyObject* self, PyObject* const* values, Py_ssize_t n);
using FastWithNames = PyObject*(PyObject* self, PyObject* const* values, Py_ssize_t n, PyObject* names);

PyMethodDef method(const char* name, Fast* f, const char* doc);
PyMethodDef method(const char* name, FastWithNames* f, const char* doc);

// A function of Python that carries `held`, which its `self` gives back.
template <class Held>
py::object c_function(PyMethodDef& method, Held held) {
  const py::capsule self(new Held(std::move(held)), [](void* place) { delete static_cast<Held*>(place); });
  return py::reinterpret_steal<py::object>(PyCFunction_NewEx(&method, self.ptr(), nullptr));
}

template <class Held>
Held& held_by(PyObject* self) {
  return *static_cast<Held*>(PyCapsule_GetPointer(self, nullptr));
}

// Sets Python's error as pybind11 translates this exception; null.
PyObject* raise(std::exception_ptr caught);

// The body's result; a C++ exception becomes Python's.
template <class F>
PyObject* translated(F&& body) {
  std::exception_ptr caught;
  try {
    return body();
  } catch (...) {
    caught = std::current_exception();
  }
  return raise(std::move(caught));
}

// An ndarray itself, no subclass: a subclass may mean more than its numbers.
inline const py::detail::PyArray_Proxy* exact(PyObject* value) {
  return Py_TYPE(value) == py::detail::npy_api::get().PyArray_Type_ ? py::detail::array_proxy(value) : nullptr;
}

}  // namespace lamina::bindings
