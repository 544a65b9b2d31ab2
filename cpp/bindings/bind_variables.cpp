// Variables: their values, copies of them, and sections in which no other thread changes them.
#include <cstring>
#include <optional>

#include "bindings/bind.h"
#include "graph/snapshot.h"

namespace lamina::bindings {

using graph::Section;
using graph::Snapshot;
using graph::Variable;
using graph::Variables;

namespace {

// Python's None is no variable, though it may stand for one.
const Variables& checked(const Variables& variables) {
  for (const auto& v : variables) check<TypeError>(v != nullptr, "[variables] expected variables, got None among them");
  return variables;
}

// The values of all of them between the same two steps.
py::list read_variables(const Variables& variables) {
  py::list arrays;
  for (const auto& v : checked(variables)) arrays.append(new_array(numpy_dtype(v->dtype), v->sizes, [&] { return v->describe(); }));
  const auto turns = Variable::turns_of(variables);
  const Turn turn(*turns);
  for (size_t i = 0; i < variables.size(); ++i) {
    py::array array = arrays[i];
    if (variables[i]->bytes() > 0) std::memcpy(array.mutable_data(), variables[i]->data(), variables[i]->bytes());
  }
  return arrays;
}

// Whether it is an array of the variable's type and shape, its elements in the same order.
bool lies_as(const Variable& v, const py::object& value) {
  if (!py::isinstance<py::array>(value)) return false;
  const auto array = py::reinterpret_borrow<py::array>(value);
  return array.dtype().is(numpy_dtype(v.dtype)) && (array.flags() & py::array::c_style) != 0 && sizes_of(array) == v.sizes;
}

// A number of Python's, as an array for a variable of its type; no array for anything else.
std::optional<py::array> array_of_number(const Variable& v, const py::object& value) {
  if (!v.sizes.empty() || v.dtype != DType::float64 || !PyFloat_Check(value.ptr())) return std::nullopt;
  py::array array = new_array(numpy_dtype(v.dtype), v.sizes, [&] { return v.describe(); });
  *static_cast<double*>(array.mutable_data()) = PyFloat_AS_DOUBLE(value.ptr());
  return array;
}

// All or, where one does not fit, none; no step sees some of them only, and Ctrl-C comes before or after.
void write_variables(const Variables& variables, const py::sequence& values) {
  check(py::len(values) == checked(variables).size(), "[write] expected a value for each of ", variables.size(), " variables, got ",
        py::len(values));
  std::vector<py::array> arrays;
  for (size_t i = 0; i < variables.size(); ++i) {
    const Variable& v = *variables[i];
    const py::object value = values[i];
    if (lies_as(v, value)) {
      arrays.push_back(value);
      continue;
    }
    if (const auto number = array_of_number(v, value)) {
      arrays.push_back(*number);
      continue;
    }
    const py::module_ numpy = py::module_::import("numpy");
    const auto given = numpy.attr("asarray")(value).cast<py::array>();  // once: it may be another array the next time
    const Sizes got = sizes_of(given);
    const Shape expected(v.sizes.begin(), v.sizes.end()), shape(got.begin(), got.end());
    check(got == v.sizes, "[", v.name.empty() ? "parameter" : v.name, "] expected shape ", expected, ", got ", shape);
    arrays.push_back(numpy.attr("ascontiguousarray")(given, py::arg("dtype") = numpy_dtype(v.dtype)));
  }
  const auto turns = Variable::turns_of(variables);
  const Turn turn(*turns);
  for (size_t i = 0; i < variables.size(); ++i)
    if (variables[i]->bytes() > 0) std::memcpy(variables[i]->data(), arrays[i].data(), variables[i]->bytes());
}

}  // namespace

void register_variables(py::module_& m) {
  py::class_<Variable, std::shared_ptr<Variable>>(m, "Variable")
      .def(py::init([](std::string name, const std::string& dtype, const std::vector<int64_t>& shape, bool trainable) {
             for (int64_t size : shape) check(size >= 0, "[", name, "] a negative size in its shape");
             return std::make_shared<Variable>(std::move(name), dtype_of(dtype), shape, trainable);
           }),
           py::arg("name"), py::arg("dtype"), py::arg("shape"), py::arg("trainable") = true)
      .def_readwrite("name", &Variable::name)
      .def_property_readonly("dtype", [](const Variable& v) { return name_of(v.dtype); })
      .def_property_readonly("shape", [](const Variable& v) { return py::tuple(py::cast(v.sizes)); })
      .def_readwrite("trainable", &Variable::trainable)
      .def_property(
          "note", [](const Variable& v) { return v.note ? *static_cast<py::object*>(v.note.get()) : py::none(); },
          [](Variable& v, py::object note) {
            v.note = std::shared_ptr<void>(new py::object(std::move(note)), [](void* object) {
              const GilAcquire acquire;
              delete static_cast<py::object*>(object);
            });
          })
      .def("read", [](const std::shared_ptr<Variable>& v) { return read_variables({v})[0].cast<py::array>(); })
      .def(
          "write", [](const std::shared_ptr<Variable>& v, const py::object& value) { write_variables({v}, py::make_tuple(value)); },
          py::arg("value"));
  m.def("pack", [](const Variables& variables) { Variable::pack(checked(variables)); }, py::arg("variables"));
  m.def("read", read_variables, py::arg("variables"));
  m.def("write", write_variables, py::arg("variables"), py::arg("values"));
  py::class_<Snapshot>(m, "Snapshot")
      .def(py::init([](const Variables& variables) { return Snapshot(checked(variables)); }), py::arg("variables"))
      .def("is_of", &Snapshot::is_of, py::arg("variables"))
      .def("take", [](Snapshot& s) { s.take(); })  // by reference, which None is not
      .def("restore", [](Snapshot& s) { s.restore(); });
  py::class_<Section>(m, "Section")
      .def(py::init([](const Variables& variables) { return std::make_unique<Section>(checked(variables)); }), py::arg("variables"))
      .def("__enter__", &Section::enter)
      .def("__exit__", [](Section& s, const py::args&) { s.leave(); });
}

}  // namespace lamina::bindings
