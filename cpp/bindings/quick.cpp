#include "bindings/quick.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "bindings/c_function.h"
#include "bindings/calls.h"

namespace lamina::bindings {

using runtime::Program;

namespace {

// What a function carries: its program, and what it asks of its arrays.
struct Predictor {
  py::object owner;  // keeps the program
  Program& program;
  int64_t most_rows;
};

struct Trainer {
  py::object owner;
  Program& program;
  std::vector<QuickTarget> targets;
  bool weighted;
  Schedule schedule;
  size_t inputs;  // arrays before the targets
};

// `value` alone, or as many values as a list or a tuple is to have; false where it has not. `kept` holds them: converting one may run
// Python, and others may change a list meanwhile.
bool spread(PyObject* value, size_t count, PyObject** to, py::object& kept) {
  if (count == 1) {
    *to = value;
    return true;
  }
  if (!PyList_CheckExact(value) && !PyTuple_CheckExact(value)) return false;
  kept = py::reinterpret_steal<py::object>(PySequence_Tuple(value));  // a tuple is its own
  if (!kept) PyErr_Clear();
  if (!kept || static_cast<size_t>(PyTuple_GET_SIZE(kept.ptr())) != count) return false;
  for (size_t i = 0; i < count; ++i) to[i] = PyTuple_GET_ITEM(kept.ptr(), static_cast<Py_ssize_t>(i));
  return true;
}

// Whether the array is what the program expects as input i, in rank, features and a type that it reads. Anything else goes the
// long way, which converts it or says what is wrong.
bool is_usual(const Program& program, size_t i, PyObject* value) {
  const auto* array = exact(value);
  const graph::Type& expected = program.input_type(i);
  const size_t rank = expected.shape.size();
  if (array == nullptr || rank == 0 || static_cast<size_t>(array->nd) != rank) return false;
  for (size_t axis = 1; axis < rank; ++axis)
    if (expected.shape[axis].constant() && array->dimensions[axis] != expected.shape[axis].offset) return false;
  if (array->descr == numpy_dtype(expected.dtype).ptr()) return true;
  const auto given = py::reinterpret_borrow<py::array>(value);
  const bool may_lose = expected.dtype == DType::int64 && given.dtype().kind() == 'f';  // fractions
  return !may_lose && is_readable(given);
}

// Whether all are usual, with one number of rows: this one.
std::optional<int64_t> rows_of(const Program& program, const Few<PyObject*>& values) {
  std::optional<int64_t> rows;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!is_usual(program, i, values[i])) return std::nullopt;
    const int64_t own = py::detail::array_proxy(values[i])->dimensions[0];
    if (rows && own != *rows) return std::nullopt;
    rows = own;
  }
  return rows;
}

PyObject* predict(PyObject* self, PyObject* const* values, Py_ssize_t n) {
  return translated([&]() -> PyObject* {
    Predictor& quick = held_by<Predictor>(self);
    Few<PyObject*> arrays(quick.program.input_count());
    py::object kept;
    if (n != 1 || !spread(values[0], arrays.size(), arrays.data(), kept)) Py_RETURN_NONE;
    const auto rows = rows_of(quick.program, arrays);
    if (!rows || *rows > quick.most_rows) Py_RETURN_NONE;
    if (quick.program.output_count() == 1) return only_output(quick.program, arrays.data(), arrays.size()).release().ptr();
    return all_outputs(quick.program, arrays.data(), arrays.size(), false).release().ptr();
  });
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

// Whether all are numbers from 0 to below `classes`: the core would take another for "no class", or in floats as it is.
template <class T>
bool are_classes(const void* data, int64_t count, int64_t classes) {
  const T* numbers = static_cast<const T*>(data);
  return std::all_of(numbers, numbers + count, [&](T k) { return k >= 0 && k < static_cast<T>(classes); });
}

// As feed.py asks of weights: none below 0, and the largest such that sums of them are held.
template <class T>
bool are_weights(const void* data, int64_t rows) {
  const T* weights = static_cast<const T*>(data);
  T most = 0;
  for (int64_t i = 0; i < rows; ++i) {
    if (!(weights[i] >= 0)) return false;
    most = std::max(most, weights[i]);
  }
  return most >= std::numeric_limits<T>::min() && most <= std::sqrt(std::numeric_limits<T>::max());
}

// Whether targets and weights hold what they may, once they are as the program reads them.
bool may_train(const Trainer& quick, const Call& call, const Few<PyObject*>& arrays, int64_t rows) {
  size_t i = quick.inputs;
  for (const QuickTarget& target : quick.targets) {
    if (target.classes) {
      const auto* y = py::detail::array_proxy(arrays[i]);
      const int64_t count = std::accumulate(y->dimensions, y->dimensions + y->nd, int64_t{1}, std::multiplies<>());
      const DType dtype = quick.program.input_type(i).dtype;
      const auto check = dtype == DType::int64     ? are_classes<int64_t>
                         : dtype == DType::float64 ? are_classes<double>
                                                   : are_classes<float>;
      if (!check(call.inputs()[i], count, *target.classes)) return false;
    }
    ++i;
  }
  if (!quick.weighted) return true;
  const bool wide = quick.program.input_type(i).dtype == DType::float64;
  return wide ? are_weights<double>(call.inputs()[i], rows) : are_weights<float>(call.inputs()[i], rows);
}

// The arrays of a call in the order of the program, and what holds those of x and y; false where they are not as many.
bool spread(const Trainer& quick, PyObject* const* values, PyObject* weight, Few<PyObject*>& arrays, py::object (&kept)[2]) {
  const size_t first = quick.inputs, count = quick.targets.size();
  if (quick.weighted != (weight != nullptr)) return false;
  if (weight) arrays[first + count] = weight;
  return spread(values[0], first, arrays.data(), kept[0]) && spread(values[1], count, arrays.data() + first, kept[1]);
}

// Whether the targets, which are usual, have the types that the program was made for.
bool are_targets(const Trainer& quick, const Few<PyObject*>& arrays) {
  for (size_t j = 0; j < quick.targets.size(); ++j) {
    const auto* y = py::detail::array_proxy(arrays[quick.inputs + j]);
    if (y->descr != quick.targets[j].dtype.ptr() || y->nd != quick.targets[j].ndim) return false;
  }
  return true;
}

PyObject* train(PyObject* self, PyObject* const* values, Py_ssize_t n) {
  return translated([&]() -> PyObject* {
    const Trainer& quick = held_by<Trainer>(self);
    const bool scheduled = n == 5 && quick.schedule.rate;
    PyObject* weight = n > 2 && values[2] != Py_None ? values[2] : nullptr;
    Few<PyObject*> arrays(quick.program.input_count());
    py::object kept[2];
    if (!(n == 2 || n == 3 || scheduled) || !spread(quick, values, weight, arrays, kept)) Py_RETURN_NONE;
    const auto rows = rows_of(quick.program, arrays);
    if (!rows || *rows == 0 || !are_targets(quick, arrays)) Py_RETURN_NONE;
    Program& program = quick.program;
    const Call call(program, arrays.data(), arrays.size());
    if (!may_train(quick, call, arrays, *rows)) Py_RETURN_NONE;
    const Rates rates = scheduled ? rates_of(values[3], values[4]) : Rates();
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
  static PyMethodDef definition = method("predict", predict, "f(x) -> the outputs, or None where x is of another kind.");
  return c_function(definition, Predictor{program, program.cast<Program&>(), most_rows});
}

py::object quick_trainer(const py::object& program, std::vector<QuickTarget> targets, bool weighted, Schedule schedule) {
  static PyMethodDef definition =
      method("train", train, "f(x, y[, weight[, rates, first]]) -> the loss, or None for others, or where the step has no rate.");
  auto& core = program.cast<Program&>();
  const size_t others = targets.size() + size_t{weighted};
  check(core.input_count() > others && core.output_count() == 1 && core.output_rank(0) == 0,
        "[trainer] expected a program of inputs, targets and weights with one scalar output");
  for (size_t j = 0; j < targets.size(); ++j)
    check(!targets[j].classes || core.input_type(core.input_count() - others + j).dtype != DType::boolean,
          "[trainer] class numbers are numbers");
  for (const auto& variable : {schedule.rate, schedule.clock})
    check(!variable || (variable->dtype == DType::float64 && variable->bytes() > 0),
          "[trainer] expected rate and clock in float64");
  check(!schedule.rate == !schedule.clock, "[trainer] expected a clock beside the rate");
  return c_function(definition,
                    Trainer{program, core, std::move(targets), weighted, std::move(schedule), core.input_count() - others});
}

}  // namespace lamina::bindings
