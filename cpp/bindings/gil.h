// Giving the GIL back and asking for it, so that the interpreter may shut down meanwhile.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <optional>
#include <thread>
#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

namespace lamina::bindings {

// While the interpreter shuts down it ends each thread that asks for the GIL, by unwinding its stack; but on the way objects would
// be freed without the GIL. Such a thread stops here for good instead, and the process ends without it.
template <class F>
void or_stop(F&& ask_for_gil) {
#if defined(__GLIBCXX__)
  try {
    ask_for_gil();
  } catch (abi::__forced_unwind&) {
    while (true) std::this_thread::sleep_for(std::chrono::hours(1));
  }
#else
  ask_for_gil();
#endif
}

// A call of Python that may meet that end within; nothing of C++ lies between it and the frame that stops.
inline pybind11::object call_or_stop(const pybind11::object& function, const pybind11::tuple& arguments) {
  PyObject* result = nullptr;
  or_stop([&] { result = PyObject_CallObject(function.ptr(), arguments.ptr()); });
  if (result == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<pybind11::object>(result);
}

class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    or_stop([this] { PyEval_RestoreThread(state_); });
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

class GilAcquire {
 public:
  GilAcquire() {
    or_stop([this] { gil_.emplace(); });
  }

 private:
  std::optional<pybind11::gil_scoped_acquire> gil_;
};

}  // namespace lamina::bindings
