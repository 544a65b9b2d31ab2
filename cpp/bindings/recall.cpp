#include "bindings/recall.h"

#include <algorithm>
#include <cstring>

#include "bindings/c_function.h"
#include "bindings/calls.h"

namespace lamina::bindings {

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

bool is_number(PyObject* value) { return PyLong_CheckExact(value) || PyFloat_CheckExact(value); }

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

bool is_column_major(const py::detail::PyArray_Proxy* array) {
  return array->nd == 2 && (array->flags & kColumns) != 0 && (array->flags & kRows) == 0;
}

PyObject* find(PyObject* self, PyObject* const* values, Py_ssize_t n, PyObject* names) {
  return translated([&] { return held_by<py::object>(self).cast<Recall&>().find(values, static_cast<size_t>(n), names); });
}

}  // namespace

bool Recall::Seen::is(PyObject* const* values, size_t n, PyObject* by_name, bool transposes) const {
  const auto count = by_name == nullptr ? size_t{0} : static_cast<size_t>(PyTuple_GET_SIZE(by_name));
  if (count != names.size() || n + count != operands.size() + options.size()) return false;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Operand& operand = operands[i];
    if (operand.number) {
      if (!is_same(operand.number.ptr(), values[i])) return false;
      continue;
    }
    const auto* array = exact(values[i]);
    if (array == nullptr || array->descr != operand.dtype.ptr() || static_cast<size_t>(array->nd) != operand.sizes.size() ||
        !std::equal(operand.sizes.begin(), operand.sizes.end(), array->dimensions) ||
        (transposes && is_column_major(array) != operand.column_major))
      return false;
  }
  for (size_t i = 0; i < count; ++i)
    if (!is_same(names[i].ptr(), PyTuple_GET_ITEM(by_name, static_cast<Py_ssize_t>(i)))) return false;
  for (size_t i = 0; i < options.size(); ++i)
    if (!is_same(options[i].ptr(), values[operands.size() + i])) return false;
  return true;
}

void Recall::keep(const py::object& program, const py::object& pack, const py::tuple& args, const py::dict& named,
                  const py::list& given) {
  Seen seen{program, pack, {}, {}, {}};
  const auto& core = program.cast<runtime::Program&>();
  if (args.size() < operands_ || core.held_bytes() > kMostBytes) return;
  for (size_t i = 0; i < operands_; ++i) {
    const py::object value = args[i];
    if (is_number(value.ptr())) {
      seen.operands.push_back({{}, {}, false, value, given[i]});
      continue;
    }
    const auto* array = exact(value.ptr());
    if (array == nullptr || !value.is(given[i])) return;
    Operand& operand = seen.operands.emplace_back();
    operand.dtype = py::reinterpret_borrow<py::object>(array->descr);
    operand.sizes = Sizes(array->dimensions, array->dimensions + array->nd);
    operand.column_major = transposes_ && is_column_major(array);
  }
  for (size_t i = operands_; i < args.size(); ++i) seen.options.push_back(args[i]);
  for (const auto& [name, value] : named) {
    seen.names.push_back(py::reinterpret_borrow<py::object>(name));
    seen.options.push_back(py::reinterpret_borrow<py::object>(value));
  }
  for (const py::object& option : seen.options)
    if (!is_plain(option.ptr())) return;
  const auto is_of_program = [&](const Seen& other) { return other.program.is(program); };
  if (std::count_if(seen_.begin(), seen_.end(), is_of_program) == kMostNumbers)
    seen_.erase(std::find_if(seen_.begin(), seen_.end(), is_of_program));
  if (seen_.size() == kMost) seen_.erase(seen_.begin());
  seen_.push_back(std::move(seen));
}

PyObject* Recall::find(PyObject* const* values, size_t n, PyObject* names) {
  if (n < operands_) Py_RETURN_NONE;
  for (size_t i = 0; i < seen_.size(); ++i) {
    const size_t at = (last_ + i) % seen_.size();
    if (!seen_[at].is(values, n, names, transposes_)) continue;
    last_ = at;
    const py::object program = seen_[at].program, pack = seen_[at].pack;
    Few<py::object> owned(operands_);
    Few<PyObject*> given(operands_);
    static PyObject* const name_of_transpose = PyUnicode_InternFromString("T");
    for (size_t k = 0; k < operands_; ++k) owned[k] = seen_[at].operands[k].array;
    // From here on another thread, or a finalizer, may forget the call.
    for (size_t k = 0; k < operands_; ++k) {
      if (!owned[k] && transposes_ && is_column_major(exact(values[k]))) {
        owned[k] = py::reinterpret_steal<py::object>(PyObject_GetAttr(values[k], name_of_transpose));
        if (!owned[k]) throw py::error_already_set();
      }
      given[k] = owned[k] ? owned[k].ptr() : values[k];
    }
    auto& core = program.cast<runtime::Program&>();
    if (pack.is_none()) return only_output(core, given.data(), operands_).release().ptr();
    return pack(all_outputs(core, given.data(), operands_, false)).release().ptr();
  }
  Py_RETURN_NONE;
}

py::object quick_find(const py::object& recall) {
  static PyMethodDef definition = method("find", find, "find(*args, **named) -> the result, or None for a call unlike those seen.");
  return c_function(definition, recall);
}

}  // namespace lamina::bindings
