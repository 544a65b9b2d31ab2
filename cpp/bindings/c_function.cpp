#include "bindings/c_function.h"

namespace lamina::bindings {

namespace {

PyObject* rethrow = nullptr;  // rethrow(place) throws the exception that lies there

template <class F>
PyMethodDef definition(const char* name, F* f, int flags, const char* doc) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f)), flags, doc};
}

}  // namespace

void register_c_functions() {
  const auto throw_it = [](const py::int_& place) {
    std::rethrow_exception(*static_cast<const std::exception_ptr*>(PyLong_AsVoidPtr(place.ptr())));
  };
  rethrow = py::cpp_function(throw_it).release().ptr();
}

PyMethodDef method(const char* name, Fast* f, const char* doc) { return definition(name, f, METH_FASTCALL, doc); }

PyMethodDef method(const char* name, FastWithNames* f, const char* doc) {
  return definition(name, f, METH_FASTCALL | METH_KEYWORDS, doc);
}

// It is handed over by its place: whatever Python does on the way, a collection of garbage whose finalizers end here as well, meets an
// exception of its own.
PyObject* raise(std::exception_ptr caught) {
  PyObject* const place = PyLong_FromVoidPtr(&caught);
  if (place == nullptr) return nullptr;
  PyObject* const none = PyObject_CallOneArg(rethrow, place);
  Py_DECREF(place);
  return none;
}

}  // namespace lamina::bindings
