#include "bindings/quick.h"

#include <algorithm>
#include <bit>
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
  std::vector<Kind> kinds;  // of the last arrays before the weights
  size_t inputs, targets;   // arrays; of those that have a kind, all, or the targets
  bool weighted, careful, guarded;
  Schedule schedule;
  int64_t most_rows;

  size_t first_with_kind() const { return inputs + targets - kinds.size(); }
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

// Whether all are finite, also as what they were read from: the largest number may be a rounded one. By bits, in blocks, of which
// compilers make vectors.
template <class T>
bool are_finite(const void* data, int64_t count) {
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  constexpr Bits kLargest = std::bit_cast<Bits>(std::numeric_limits<T>::max());
  constexpr int64_t kBlock = 64;
  const T* numbers = static_cast<const T*>(data);
  const auto is_beyond = [&](int64_t i) {
    return Bits{(std::bit_cast<Bits>(numbers[i]) & std::numeric_limits<Bits>::max()) >= kLargest};
  };
  Bits beyond = 0;
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock)
    for (int64_t j = 0; j < kBlock; ++j) beyond |= is_beyond(i + j);
  for (; i < count; ++i) beyond |= is_beyond(i);
  return beyond == 0;
}

// As feed.py asks of weights: none below 0, and the largest such that sums of them are held; with a margin, as they may be rounded.
template <class T>
bool are_weights(const void* data, int64_t rows) {
  const T* weights = static_cast<const T*>(data);
  T most = 0;
  for (int64_t i = 0; i < rows; ++i) {
    if (!(weights[i] >= 0)) return false;
    most = std::max(most, weights[i]);
  }
  return most >= 2 * std::numeric_limits<T>::min() && most <= std::sqrt(std::numeric_limits<T>::max()) / 2;
}

int64_t elements_of(PyObject* value) {
  const auto* array = py::detail::array_proxy(value);
  return std::accumulate(array->dimensions, array->dimensions + array->nd, int64_t{1}, std::multiplies<>());
}

// Whether all arrays hold what they may, once they are as the program reads them.
bool may_train(const Trainer& quick, const Call& call, const Few<PyObject*>& arrays, int64_t rows) {
  const auto type = [&](size_t i) { return quick.program.input_type(i).dtype; };
  const size_t count = quick.inputs + quick.targets;
  size_t i = quick.first_with_kind();
  for (const Kind& kind : quick.kinds) {
    if (kind.classes) {
      const auto check = type(i) == DType::int64     ? are_classes<int64_t>
                         : type(i) == DType::float64 ? are_classes<double>
                                                     : are_classes<float>;
      if (!check(call.inputs()[i], elements_of(arrays[i]), *kind.classes)) return false;
    }
    ++i;
  }
  for (i = 0; quick.careful && i < count; ++i) {
    if (type(i) != DType::float32 && type(i) != DType::float64) continue;
    const auto check = type(i) == DType::float64 ? are_finite<double> : are_finite<float>;
    if (!check(call.inputs()[i], elements_of(arrays[i]))) return false;
  }
  if (!quick.weighted) return true;
  return (type(count) == DType::float64 ? are_weights<double> : are_weights<float>)(call.inputs()[count], rows);
}

// The arrays of a call in the order of the program, and what holds them where they are not those that were given.
struct Spread {
  Few<PyObject*> arrays;
  std::vector<py::object> columns;
  py::object kept[2];

  explicit Spread(const Trainer& quick) : arrays(quick.program.input_count()) {}

  // False where they are not as many.
  bool take(const Trainer& quick, PyObject* const* values, PyObject* weight) {
    if (quick.weighted != (weight != nullptr)) return false;
    if (weight) arrays[quick.inputs + quick.targets] = weight;
    PyObject** targets = arrays.data() + quick.inputs;
    if (!spread(values[0], quick.inputs, arrays.data(), kept[0]) || !spread(values[1], quick.targets, targets, kept[1]))
      return false;
    for (size_t j = 0; j < quick.targets; ++j) {
      const auto* vector = exact(targets[j]);
      const auto& shape = quick.program.input_type(quick.inputs + j).shape;
      if (vector == nullptr || vector->nd != 1 || shape.size() != 2 || !shape[1].constant() || shape[1].offset != 1) continue;
      columns.push_back(py::array(py::reinterpret_borrow<py::dtype>(vector->descr), {vector->dimensions[0], Py_intptr_t{1}},
                                  {vector->strides[0], Py_intptr_t{0}}, vector->data, targets[j]));
      targets[j] = columns.back().ptr();
    }
    return true;
  }
};

// Whether they, which are usual, have the types that the program was made for.
bool are_as_before(const Trainer& quick, const Few<PyObject*>& arrays) {
  for (size_t j = 0; j < quick.kinds.size(); ++j) {
    const auto* array = py::detail::array_proxy(arrays[quick.first_with_kind() + j]);
    if (array->descr != quick.kinds[j].dtype.ptr() || array->nd != quick.kinds[j].ndim) return false;
  }
  if (!quick.careful || !quick.weighted) return true;
  const PyObject* type = py::detail::array_proxy(arrays[quick.inputs + quick.targets])->descr;
  return type == numpy_dtype(DType::float32).ptr() || type == numpy_dtype(DType::float64).ptr();
}

PyObject* train(PyObject* self, PyObject* const* values, Py_ssize_t n) {
  return translated([&]() -> PyObject* {
    const Trainer& quick = held_by<Trainer>(self);
    const bool scheduled = n == 5 && quick.schedule.rate;
    PyObject* weight = n > 2 && values[2] != Py_None ? values[2] : nullptr;
    Spread given(quick);
    if (!(n == 2 || n == 3 || scheduled) || !given.take(quick, values, weight)) Py_RETURN_NONE;
    const Few<PyObject*>& arrays = given.arrays;
    const auto rows = rows_of(quick.program, arrays);
    if (!rows || *rows == 0 || *rows > quick.most_rows || !are_as_before(quick, arrays)) Py_RETURN_NONE;
    Program& program = quick.program;
    const Call call(program, arrays.data(), arrays.size());
    if (!may_train(quick, call, arrays, *rows)) Py_RETURN_NONE;
    const Rates rates = scheduled ? rates_of(values[3], values[4]) : Rates();
    Lock lock(program);
    Program& bound = call.bound(program);
    if (scheduled && !rates.set(quick.schedule)) Py_RETURN_NONE;
    if (quick.careful) return all_outputs(bound, lock, call, quick.guarded).release().ptr();
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

py::object quick_trainer(const py::object& program, const std::vector<Kind>& inputs, const std::vector<Kind>& targets,
                         bool weighted, Schedule schedule, int64_t most_rows, bool guarded) {
  static PyMethodDef definition = method(
      "train", train, "f(x, y[, weight[, rates, first]]) -> what it computes, or None for others, or where the step has no rate.");
  auto& core = program.cast<Program&>();
  const size_t others = targets.size() + size_t{weighted};
  const bool careful = !inputs.empty();
  const bool fits = careful ? core.input_count() == others + inputs.size() : core.output_count() == 1 && core.output_rank(0) == 0;
  check(fits && core.input_count() > others, "[trainer] expected a program of inputs, targets and weights with one scalar output");
  for (size_t j = 0; j < targets.size(); ++j)
    check(!targets[j].classes || core.input_type(core.input_count() - others + j).dtype != DType::boolean,
          "[trainer] class numbers are numbers");
  for (const auto& variable : {schedule.rate, schedule.clock})
    check(!variable || (variable->dtype == DType::float64 && variable->bytes() > 0),
          "[trainer] expected rate and clock in float64");
  check(!schedule.rate == !schedule.clock, "[trainer] expected a clock beside the rate");
  std::vector<Kind> kinds = inputs;
  kinds.insert(kinds.end(), targets.begin(), targets.end());
  return c_function(definition, Trainer{program, core, std::move(kinds), core.input_count() - others, targets.size(), weighted,
                                        careful, guarded, std::move(schedule), most_rows});
}

}  // namespace lamina::bindings
