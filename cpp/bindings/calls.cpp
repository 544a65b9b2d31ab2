#include "bindings/calls.h"

#include <chrono>
#include <optional>

#include "bindings/c_function.h"

namespace lamina::bindings {

using runtime::Program;

namespace {

std::optional<runtime::Source> find_source(const py::array& array) {
  using runtime::Source;
  const py::dtype dtype = array.dtype();
  const char order = dtype.byteorder();
  const auto bytes = dtype.itemsize();
  if (order != '>') {
    switch (dtype.kind()) {
      case 'b': return Source::boolean;
      case 'i': return bytes == 1 ? Source::int8 : bytes == 2 ? Source::int16 : bytes == 4 ? Source::int32 : Source::int64;
      case 'u': return bytes == 1 ? Source::uint8 : bytes == 2 ? Source::uint16 : bytes == 4 ? Source::uint32 : Source::uint64;
      case 'f':
        if (bytes == 2) return Source::float16;
        if (bytes == 4) return Source::float32;
        if (bytes == 8) return Source::float64;
        break;
      default: break;
    }
  }
  return std::nullopt;
}

runtime::Source source_of(const py::array& array) {
  if (const auto source = find_source(array)) return *source;
  fail<TypeError>("[function] expected an array of bool, integers or floats up to float64, got ",
                  py::cast<std::string>(py::str(array.dtype())), "; convert it with astype");
}

// How errors show it: long arrays in part.
std::string shortened(const py::handle& value) { return py::cast<std::string>(py::module_::import("reprlib").attr("repr")(value)); }

// What was given as an array, as NumPy makes one of it.
py::array array_of(const py::handle& value, size_t i) {
  try {
    const py::array array(py::reinterpret_borrow<py::object>(value));
    if (array.dtype().byteorder() != '>') return array;
    return array.attr("astype")(array.dtype().attr("newbyteorder")("="));  // into this machine's order
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    fail("[function] expected an array, or lists of equal lengths, as argument ", i + 1, ", got ", shortened(value),
         "; pad the shorter ones");
  }
}

void check_unmasked(const py::handle& value, size_t i) {
  if (!py::hasattr(value, "filled")) return;  // as of any array that is masked
  const py::module_ numpy = py::module_::import("numpy");
  if (py::isinstance(value, numpy.attr("ma").attr("MaskedArray")) && numpy.attr("any")(value.attr("mask")).cast<bool>())
    fail("[function] expected an array without masked values as argument ", i + 1, ", got a masked array; pass x.filled(value)");
}

// An input of truth values takes those, and 0 and 1.
void check_truth(const py::array& array, size_t i) {
  const char kind = array.dtype().kind();
  if (kind != 'i' && kind != 'u' && kind != 'f') return;
  const py::module_ numpy = py::module_::import("numpy");
  const py::object known = numpy.attr("logical_or")(numpy.attr("equal")(array, 0), numpy.attr("equal")(array, 1));
  if (known.attr("all")().cast<bool>()) return;
  fail("[function] expected truth values as argument ", i + 1, ", got ", shortened(array), "; compare: x != 0");
}

// Nothing is cut off what goes to an input of whole numbers.
void check_whole(const py::array& array, size_t i) {
  const char kind = array.dtype().kind();
  if (kind != 'f' && !(kind == 'u' && array.itemsize() == 8)) return;
  const py::module_ numpy = py::module_::import("numpy");
  const py::object whole = numpy.attr("equal")(numpy.attr("rint")(array), array);
  const py::object held = array.itemsize() == 2  // float16, which ends long before
                              ? numpy.attr("isfinite")(array)
                              : numpy.attr("less")(numpy.attr("abs")(array), uint64_t{1} << 63);  // false for infinity and NaN
  if (numpy.attr("logical_and")(whole, held).attr("all")().cast<bool>()) return;
  fail("[function] expected whole numbers as argument ", i + 1, ", got ", shortened(array),
       whole.attr("all")().cast<bool>() ? "; keep them below 2^63" : "; round them");
}

// The array as the program reads it as input i: itself where type and layout fit, a converted copy otherwise.
py::object fitted(const Program& program, size_t i, PyObject* value) {
  const DType type = program.input_type(i).dtype;
  const py::handle given(value);
  if (exact(value) == nullptr) check_unmasked(given, i);
  if (py::isinstance<py::array>(given)) {
    const auto* array = py::detail::array_proxy(value);
    constexpr int kAsIs = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
    if ((array->flags & kAsIs) == kAsIs && array->descr == numpy_dtype(type).ptr())
      return py::reinterpret_borrow<py::object>(given);
  }
  const py::array array = array_of(given, i);
  if (type == DType::int64) check_whole(array, i);
  if (type == DType::boolean) check_truth(array, i);
  const runtime::Rows rows = rows_of(array);
  if (rows.sizes.empty()) return array.attr("astype")(numpy_dtype(type));
  py::array out = new_array(numpy_dtype(type), rows.sizes, [&] { return program.describe_input(i); });
  runtime::gather_rows(out.mutable_data(), type, rows, {}, rows.sizes[0]);
  return out;
}

// What Ctrl-C needs between the steps of a long run: signals are looked at some times a second.
class Signals {
 public:
  void operator()() {
    if (Clock::now() - last_ < std::chrono::milliseconds(100)) return;
    const GilAcquire acquire;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    last_ = Clock::now();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
};

}  // namespace

bool is_readable(const py::array& array) { return find_source(array).has_value(); }

runtime::Rows rows_of(const py::array& array) {
  return {static_cast<const char*>(array.data()), source_of(array), sizes_of(array),
          Sizes(array.strides(), array.strides() + array.ndim())};
}

Call::Call(const Program& program, PyObject* const* values, size_t n) : arrays_(n), inputs_(n) {
  check(n == program.input_count(), "[function] expected ", program.input_count(), " arrays, got ", n, "; pass one for each input");
  for (size_t i = 0; i < n; ++i) {
    arrays_[i] = fitted(program, i, values[i]);
    inputs_[i] = py::detail::array_proxy(arrays_[i].ptr())->data;
  }
}

bool Call::fits(const Program& program) const {
  bool same = program.is_ready();
  for (size_t i = 0; same && i < arrays_.size(); ++i) {
    const auto* array = py::detail::array_proxy(arrays_[i].ptr());
    same = program.is_bound(i, array->dimensions, static_cast<size_t>(array->nd));
  }
  return same;
}

std::vector<Sizes> Call::sizes() const {
  std::vector<Sizes> all;
  for (size_t i = 0; i < arrays_.size(); ++i) all.push_back(sizes_of(py::reinterpret_borrow<py::array>(arrays_[i])));
  return all;
}

void Call::bind(Program& program) const {
  if (!fits(program)) program.bind(sizes());
}

Program& Call::bound(Program& program) const { return fits(program) ? program : program.bound(sizes()); }

py::array new_output(const Program& program, size_t i) {
  return new_array(numpy_dtype(program.output_dtype(i)), program.output_sizes(i), [&] { return program.describe_output(i); });
}

void run_freely(Program& program, Lock& lock, const void* const* inputs, void* const* outputs, bool guarded) {
  runtime::RunOptions options;
  options.guarded = guarded;
  if (program.is_short()) {
    program.run(inputs, outputs, options);
    lock.give();
    return;
  }
  const GilRelease release;
  if (program.is_long()) options.interruption = Signals();
  program.run(inputs, outputs, options);
  lock.give();  // before this thread asks for the GIL again
}

py::array only_output(Program& program, PyObject* const* values, size_t n) {
  const Call call(program, values, n);
  Lock lock(program);
  Program& bound = call.bound(program);
  py::array result = new_output(bound, 0);
  void* output = result.mutable_data();
  run_freely(bound, lock, call.inputs(), &output, false);
  return result;
}

py::list all_outputs(Program& program, PyObject* const* values, size_t n, bool guarded) {
  const Call call(program, values, n);
  Lock lock(program);
  return all_outputs(call.bound(program), lock, call, guarded);
}

py::list all_outputs(Program& bound, Lock& lock, const Call& call, bool guarded) {
  const size_t count = bound.output_count();
  Few<void*> outputs(count);
  py::list results(count);
  for (size_t i = 0; i < count; ++i) {
    py::array out = new_output(bound, i);
    outputs[i] = out.mutable_data();
    PyList_SET_ITEM(results.ptr(), static_cast<Py_ssize_t>(i), out.release().ptr());
  }
  run_freely(bound, lock, call.inputs(), outputs.data(), guarded);
  return results;
}

}  // namespace lamina::bindings
