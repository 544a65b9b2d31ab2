#include "bindings/quick.h"

#include <algorithm>
#include <utility>

#include "bindings/c_function.h"
#include "bindings/calls.h"

namespace lamina::bindings {

using runtime::Program;

namespace {

// What a function carries: its program, and what it asks of its arrays.
struct Quick {
  py::object owner;  // keeps the program
  Program& program;
  int64_t most_rows = 0;
  py::object dtype = {};
  int ndim = 0;
  std::optional<int64_t> classes = {};
  Schedule schedule = {};
};

// Whether the array is what the program expects as input i, in rank, features and a type that it reads. Anything else goes the
// long way, which converts it or says what is wrong.
bool is_usual(const Program& program, size_t i, PyObject* value, const py::detail::PyArray_Proxy* array) {
  const graph::Type& expected = program.input_type(i);
  const size_t rank = expected.shape.size();
  if (rank == 0 || static_cast<size_t>(array->nd) != rank) return false;
  for (size_t axis = 1; axis < rank; ++axis)
    if (expected.shape[axis].constant() && array->dimensions[axis] != expected.shape[axis].offset) return false;
  if (array->descr == numpy_dtype(expected.dtype).ptr()) return true;
  const auto given = py::reinterpret_borrow<py::array>(value);
  const bool may_lose = expected.dtype == DType::int64 && given.dtype().kind() == 'f';  // fractions
  return !may_lose && is_readable(given);
}

PyObject* predict(PyObject* self, PyObject* const* values, Py_ssize_t n) {
  Quick& quick = held_by<Quick>(self);
  const auto* x = n == 1 ? exact(values[0]) : nullptr;
  if (x == nullptr || !is_usual(quick.program, 0, values[0], x) || x->dimensions[0] > quick.most_rows) Py_RETURN_NONE;
  return translated([&] { return only_output(quick.program, values, 1).release().ptr(); });
}

// Rates of consecutive steps, as a call passes them.
struct Rates {
  const double* values = nullptr;
  int64_t count = 0, first = 0;

  // Puts that of the next step in its place; false, and nothing was done, where it is not among them. The caller has the turn.
  bool set(const Schedule& schedule) const {
    const double i = *reinterpret_cast<const double*>(schedule.clock->data()) - static_cast<double>(first);
    if (!(i >= 0 && i < static_cast<double>(count))) return false;  // nor where the clock is no number
    *reinterpret_cast<double*>(schedule.rate->data()) = values[static_cast<int64_t>(i)];
    return true;
  }
};

Rates rates_of(PyObject* values, PyObject* first) {
  const auto array = py::reinterpret_borrow<py::array_t<double>>(values);
  check(py::isinstance<py::array_t<double, py::array::c_style>>(array) && array.ndim() == 1,
        "[trainer] expected the rates as a dense vector of float64");
  return {array.data(), array.size(), py::reinterpret_borrow<py::object>(first).cast<int64_t>()};
}

PyObject* train(PyObject* self, PyObject* const* values, Py_ssize_t n) {
  const Quick& quick = held_by<Quick>(self);
  const bool scheduled = n == 4 && quick.schedule.rate;
  const auto* x = n == 2 || scheduled ? exact(values[0]) : nullptr;
  const auto* y = n == 2 || scheduled ? exact(values[1]) : nullptr;
  if (x == nullptr || y == nullptr || !is_usual(quick.program, 0, values[0], x) || !is_usual(quick.program, 1, values[1], y))
    Py_RETURN_NONE;
  if (y->descr != quick.dtype.ptr() || y->nd != quick.ndim) Py_RETURN_NONE;
  if (x->dimensions[0] == 0 || x->dimensions[0] != y->dimensions[0]) Py_RETURN_NONE;
  return translated([&]() -> PyObject* {
    Program& program = quick.program;
    const Call call(program, values, 2);
    if (quick.classes) {
      const auto* numbers = static_cast<const int64_t*>(call.inputs()[1]);
      int64_t size = 1;
      for (int axis = 0; axis < y->nd; ++axis) size *= y->dimensions[axis];
      if (!std::all_of(numbers, numbers + size, [&](int64_t k) { return k >= 0 && k < *quick.classes; })) Py_RETURN_NONE;
    }
    const Rates rates = scheduled ? rates_of(values[2], values[3]) : Rates();
    Lock lock(program);
    Program& bound = call.bound(program);
    if (scheduled && !rates.set(quick.schedule)) Py_RETURN_NONE;
    double number = 0;  // room for both precisions
    void* output = &number;
    run_freely(bound, lock, call.inputs(), &output, false);
    return PyFloat_FromDouble(runtime::read_scalar(&number, program.output_dtype(0)));
  });
}

}  // namespace

py::object quick_predictor(const py::object& program, int64_t most_rows) {
  check(program.cast<Program&>().output_count() == 1, "[predictor] expected a program with one output");
  static PyMethodDef definition = method("predict", predict, "f(x) -> the only output, or None where x is of another kind.");
  return c_function(definition, Quick{program, program.cast<Program&>(), most_rows});
}

py::object quick_trainer(const py::object& program, const py::dtype& dtype, int ndim, std::optional<int64_t> classes,
                         Schedule schedule) {
  static PyMethodDef definition = method(
      "train", train, "f(x, y[, rates, first]) -> the loss, or None where x or y is of another kind, or the step has no rate.");
  auto& core = program.cast<Program&>();
  check(core.input_count() == 2 && core.output_count() == 1 && core.output_rank(0) == 0,
        "[trainer] expected a program of two arrays with one scalar output");
  check(!classes || core.input_type(1).dtype == DType::int64, "[trainer] class numbers are int64");
  for (const auto& variable : {schedule.rate, schedule.clock})
    check(!variable || (variable->dtype == DType::float64 && variable->bytes() > 0),
          "[trainer] expected rate and clock in float64");
  check(!schedule.rate == !schedule.clock, "[trainer] expected a clock beside the rate");
  return c_function(definition, Quick{program, core, 0, dtype, ndim, classes, std::move(schedule)});
}

}  // namespace lamina::bindings
