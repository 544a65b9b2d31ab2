#include "bindings/quick.h"

#include <algorithm>
#include <cstring>
#include <utility>

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

PyObject* raise = nullptr;  // raise(place) throws the exception that lies there

// The body's result; a C++ exception becomes Python's as pybind11 translates it. It is handed over by its place: whatever Python does
// on the way, a collection of garbage whose finalizers end here as well, meets an exception of its own.
template <class F>
PyObject* translated(F&& body) {
  std::exception_ptr caught;
  try {
    return body();
  } catch (...) {
    caught = std::current_exception();
  }
  PyObject* const place = PyLong_FromVoidPtr(&caught);
  if (place == nullptr) return nullptr;
  PyObject* const none = PyObject_CallOneArg(raise, place);
  Py_DECREF(place);
  return none;
}

Quick& quick_of(PyObject* self) { return *static_cast<Quick*>(PyCapsule_GetPointer(self, nullptr)); }

// An ndarray itself, no subclass: a subclass may mean more than its numbers.
const py::detail::PyArray_Proxy* exact(PyObject* value) {
  return Py_TYPE(value) == py::detail::npy_api::get().PyArray_Type_ ? py::detail::array_proxy(value) : nullptr;
}

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

py::object array_of(Program& program, PyObject* const* values, Py_ssize_t n) {
  const Call call(program, values, static_cast<size_t>(n));
  Lock lock(program);
  call.bind(program);
  py::array result = new_output(program, 0);
  void* output = result.mutable_data();
  run_freely(program, lock, call.inputs(), &output, false);
  return result;
}

PyObject* predict(PyObject* self, PyObject* const* values, Py_ssize_t n) {
  Quick& quick = quick_of(self);
  const auto* x = n == 1 ? exact(values[0]) : nullptr;
  if (x == nullptr || !is_usual(quick.program, 0, values[0], x) || x->dimensions[0] > quick.most_rows) Py_RETURN_NONE;
  return translated([&] { return array_of(quick.program, values, n).release().ptr(); });
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
  const Quick& quick = quick_of(self);
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
    call.bind(program);
    if (scheduled && !rates.set(quick.schedule)) Py_RETURN_NONE;
    double number = 0;  // room for both precisions
    void* output = &number;
    run_freely(program, lock, call.inputs(), &output, false);
    return PyFloat_FromDouble(runtime::read_scalar(&number, program.output_dtype(0)));
  });
}

py::object function(PyMethodDef& method, Quick quick) {
  const py::capsule self(new Quick(std::move(quick)), [](void* held) { delete static_cast<Quick*>(held); });
  return py::reinterpret_steal<py::object>(PyCFunction_NewEx(&method, self.ptr(), nullptr));
}

template <PyObject* (*f)(PyObject*, PyObject* const*, Py_ssize_t)>
PyMethodDef method(const char* name, const char* doc) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f)), METH_FASTCALL, doc};
}

}  // namespace

void register_quick() {
  const auto rethrow = [](const py::int_& place) {
    std::rethrow_exception(*static_cast<const std::exception_ptr*>(PyLong_AsVoidPtr(place.ptr())));
  };
  raise = py::cpp_function(rethrow).release().ptr();
}

namespace {

// Whether equal values of this type mean the same, now and later.
bool is_plain(PyObject* value) {
  if (PyTuple_CheckExact(value)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); ++i)
      if (!PyLong_CheckExact(PyTuple_GET_ITEM(value, i))) return false;
    return true;
  }
  return value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) || PyFloat_CheckExact(value) ||
         PyUnicode_CheckExact(value);
}

// 1, 1.0 and True are three, 0.0 and -0.0 two.
bool is_same(PyObject* a, PyObject* b) {
  if (Py_TYPE(a) != Py_TYPE(b) || !is_plain(b)) return false;
  if (PyFloat_CheckExact(a)) {
    const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
    return std::memcmp(&x, &y, sizeof x) == 0;
  }
  return PyObject_RichCompareBool(a, b, Py_EQ) == 1;
}

constexpr int kRows = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_, kColumns = py::detail::npy_api::NPY_ARRAY_F_CONTIGUOUS_;

bool is_turned(const py::detail::PyArray_Proxy* array) {
  return array->nd == 2 && (array->flags & kColumns) != 0 && (array->flags & kRows) == 0;
}

PyObject* look(PyObject* self, PyObject* const* values, Py_ssize_t n, PyObject* names) {
  auto* recall = static_cast<py::object*>(PyCapsule_GetPointer(self, nullptr));
  return translated([&] { return recall->cast<Recall&>().look(values, static_cast<size_t>(n), names); });
}

}  // namespace

bool Recall::Known::is(PyObject* const* values, size_t n, PyObject* by_name, bool turns) const {
  const auto count = by_name == nullptr ? size_t{0} : static_cast<size_t>(PyTuple_GET_SIZE(by_name));
  if (count != names.size() || n + count != operands.size() + options.size()) return false;
  for (size_t i = 0; i < operands.size(); ++i) {
    const auto* array = exact(values[i]);
    const Operand& known = operands[i];
    if (array == nullptr || array->descr != known.dtype.ptr() || static_cast<size_t>(array->nd) != known.sizes.size() ||
        !std::equal(known.sizes.begin(), known.sizes.end(), array->dimensions) || (turns && is_turned(array) != known.turned))
      return false;
  }
  for (size_t i = 0; i < count; ++i)
    if (!is_same(names[i].ptr(), PyTuple_GET_ITEM(by_name, static_cast<Py_ssize_t>(i)))) return false;
  for (size_t i = 0; i < options.size(); ++i)
    if (!is_same(options[i].ptr(), values[operands.size() + i])) return false;
  return true;
}

void Recall::keep(const py::object& program, const py::tuple& args, const py::dict& named) {
  Known known{program, {}, {}, {}};
  const auto& core = program.cast<Program&>();
  if (args.size() < operands_ || core.output_count() != 1 || core.held_bytes() > kMostBytes) return;
  for (size_t i = 0; i < operands_; ++i) {
    const py::object value = args[i];
    const auto* array = exact(value.ptr());
    if (array == nullptr) return;
    known.operands.push_back({py::reinterpret_borrow<py::object>(array->descr),
                              Sizes(array->dimensions, array->dimensions + array->nd), turns_ && is_turned(array)});
  }
  for (size_t i = operands_; i < args.size(); ++i) known.options.push_back(args[i]);
  for (const auto& [name, value] : named) {
    known.names.push_back(py::reinterpret_borrow<py::object>(name));
    known.options.push_back(py::reinterpret_borrow<py::object>(value));
  }
  for (const py::object& option : known.options)
    if (!is_plain(option.ptr())) return;
  if (known_.size() == kMost) known_.erase(known_.begin());
  known_.push_back(std::move(known));
}

PyObject* Recall::look(PyObject* const* values, size_t n, PyObject* names) {
  if (n < operands_) Py_RETURN_NONE;
  for (size_t i = 0; i < known_.size(); ++i) {
    const size_t at = (last_ + i) % known_.size();
    if (!known_[at].is(values, n, names, turns_)) continue;
    last_ = at;
    const py::object program = known_[at].program;  // from here on another thread, or a finalizer, may forget it
    Few<py::object> turned(operands_);
    Few<PyObject*> given(operands_);
    static PyObject* const transposed = PyUnicode_InternFromString("T");
    for (size_t k = 0; k < operands_; ++k) {
      given[k] = values[k];
      if (!turns_ || !is_turned(exact(values[k]))) continue;
      turned[k] = py::reinterpret_steal<py::object>(PyObject_GetAttr(values[k], transposed));
      given[k] = turned[k].ptr();
    }
    return array_of(program.cast<Program&>(), given.data(), static_cast<Py_ssize_t>(operands_)).release().ptr();
  }
  Py_RETURN_NONE;
}

py::object quick_look(const py::object& recall) {
  static PyMethodDef definition = {"look", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(look)),
                                   METH_FASTCALL | METH_KEYWORDS,
                                   "look(*args, **named) -> the result, or None for a call that is not known."};
  const py::capsule self(new py::object(recall), [](void* held) { delete static_cast<py::object*>(held); });
  return py::reinterpret_steal<py::object>(PyCFunction_NewEx(&definition, self.ptr(), nullptr));
}

py::object quick_predictor(const py::object& program, int64_t most_rows) {
  check(program.cast<Program&>().output_count() == 1, "[predictor] expected a program with one output");
  static PyMethodDef definition = method<predict>("predict", "f(x) -> the only output, or None where x is of another kind.");
  return function(definition, {program, program.cast<Program&>(), most_rows});
}

py::object quick_trainer(const py::object& program, const py::dtype& dtype, int ndim, std::optional<int64_t> classes,
                         Schedule schedule) {
  static PyMethodDef definition = method<train>(
      "train", "f(x, y[, rates, first]) -> the loss, or None where x or y is of another kind, or the step has no rate.");
  auto& core = program.cast<Program&>();
  check(core.input_count() == 2 && core.output_count() == 1 && core.output_rank(0) == 0,
        "[trainer] expected a program of two arrays with one scalar output");
  check(!classes || core.input_type(1).dtype == DType::int64, "[trainer] class numbers are int64");
  for (const auto& variable : {schedule.rate, schedule.clock})
    check(!variable || (variable->dtype == DType::float64 && variable->bytes() > 0),
          "[trainer] expected rate and clock in float64");
  check(!schedule.rate == !schedule.clock, "[trainer] expected a clock beside the rate");
  return function(definition, {program, core, 0, dtype, ndim, classes, std::move(schedule)});
}

}  // namespace lamina::bindings
