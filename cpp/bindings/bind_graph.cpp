// Lengths, nodes, scopes, gradients, dumps; and the host, which is called back.
#include "bindings/bind.h"
#include "graph/build.h"
#include "graph/gradient.h"
#include "graph/host.h"
#include "graph/passes.h"

namespace lamina::bindings {

using graph::Attr;
using graph::Node;
using graph::Tensor;
using graph::Tensors;

Tensors tensors_of(const std::vector<NodeHandle>& handles) {
  Tensors tensors;
  for (const NodeHandle& handle : handles) tensors.push_back(handle.tensor);
  return tensors;
}

namespace {

// ---- Dims: a number where it is one, a Dim otherwise ----

py::object to_python(const Dim& dim) { return dim.constant() ? py::object(py::int_(dim.offset)) : py::cast(dim); }

py::tuple to_python(const Shape& shape) {
  py::tuple out(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) out[i] = to_python(shape[i]);
  return out;
}

// `where` is what asks for the length, as errors name it.
Dim to_dim(const py::handle& item, const std::string& where) {
  if (item.is_none()) return Dim::of(kBatch);
  if (py::isinstance<Dim>(item)) return item.cast<Dim>();
  if (py::isinstance<py::str>(item)) return Dim::of(symbol(item.cast<std::string>()));
  const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(item.ptr()));
  if (!number) {  // also an array of several: its type has an index, itself not
    PyErr_Clear();
    fail<TypeError>("[", where, "] expected whole numbers, None or names as lengths, got ", py::cast<std::string>(py::repr(item)),
                    "; pass a shape such as (2, 3)");
  }
  int overflow = 0;
  const int64_t size = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  check(overflow == 0 && -kMostSize < size && size < kMostSize, "[", where, "] expected a length below 2^62, got ",
        overflow == 0 ? std::to_string(size) : "one of more than 64 bits");
  return Dim(size);
}

Dim to_dim(const py::handle& item) { return to_dim(item, "shape"); }

Shape to_shape(const py::handle& items, const std::string& where) {
  Shape shape;
  for (const py::handle item : py::reinterpret_borrow<py::iterable>(items)) shape.push_back(to_dim(item, where));
  return shape;
}

// An operator of a length and another one; a tensor has its own, which takes the length as a number.
template <class F>
auto of_lengths(F compute) {
  return [compute](const Dim& a, const py::object& b) -> py::object {
    const bool length = PyLong_Check(b.ptr()) || py::isinstance<Dim>(b);  // to look for what is not there takes a microsecond
    if (!length && py::hasattr(b, "node")) return py::reinterpret_borrow<py::object>(Py_NotImplemented);
    return to_python(compute(a, to_dim(b)));
  };
}

// Without an answer pickle's protocols 0 and 1 ask pybind11's base class for an object, which ends the process.
py::object reduce(const Dim& d) {
  fail<TypeError>("[shape] expected a known length to pickle, got ", d, "; write None, or the number that it has, in its place");
}

void register_dims(py::module_& m) {
  py::class_<Dim>(m, "Dim")
      .def("__repr__", [](const Dim& d) { return to_string(d); })
      .def("__hash__", [](const Dim& d) { return py::hash(py::make_tuple(d.coefficient, d.offset, d.symbol)); })
      .def("__eq__", [](const Dim& a, const py::object& b) { return py::isinstance<Dim>(b) && a == b.cast<Dim>(); })
      .def("__add__", of_lengths([](const Dim& a, const Dim& b) { return add(a, b); }))
      .def("__radd__", of_lengths([](const Dim& a, const Dim& b) { return add(a, b); }))
      .def("__sub__", of_lengths([](const Dim& a, const Dim& b) { return add(a, multiply(b, Dim(-1))); }))
      .def("__rsub__", of_lengths([](const Dim& a, const Dim& b) { return add(b, multiply(a, Dim(-1))); }))
      .def("__mul__", of_lengths([](const Dim& a, const Dim& b) { return multiply(a, b); }))
      .def("__rmul__", of_lengths([](const Dim& a, const Dim& b) { return multiply(a, b); }))
      .def("__floordiv__", of_lengths([](const Dim& a, const Dim& b) { return divide(a, b, "shape"); }))
      .def("__copy__", [](const py::object& d) { return d; })
      .def("__deepcopy__", [](const py::object& d, const py::object&) { return d; })
      .def("__reduce__", &reduce)
      .def("__index__", [](const Dim& d) -> int64_t {  // for range(x.shape[1])
        fail<TypeError>("[shape] expected a known length, got ", d,
                        "; a loop over steps needs an input that has it: lm.Input(20, 4)");
      });
  m.def("dim", [](const std::string& name) { return Dim::of(symbol(name)); }, py::arg("name"));
  m.def(
      "split_size",
      [](const py::object& total, const py::object& part) { return to_python(divide(to_dim(total), to_dim(part), "reshape")); },
      py::arg("total"), py::arg("part"));
}

// ---- Attributes ----

std::shared_ptr<const graph::Array> to_array(const py::handle& value) {
  const py::module_ numpy = py::module_::import("numpy");
  const auto given = numpy.attr("asarray")(value).cast<py::array>();  // a number has no axis; below it is given one
  const py::array array = numpy.attr("ascontiguousarray")(given);
  auto result = std::make_shared<graph::Array>();
  result->dtype = dtype_of_array(array);
  result->sizes = sizes_of(given);
  result->data.reset(static_cast<size_t>(array.nbytes()),
                     [&] { return text("constant, ", name_of(result->dtype), " ", to_string(known(result->sizes))); });
  if (array.nbytes() > 0) std::memcpy(result->data.data(), array.data(), static_cast<size_t>(array.nbytes()));
  return result;
}

Attr to_attr(const std::string& op, const std::string& key, const py::handle& value) {
  const Attr* type = graph::empty_attr(op, key);
  check(type != nullptr, "[", op, "] has no attribute '", key, "'");
  return std::visit(
      [&](const auto& empty) -> Attr {
        using T = std::decay_t<decltype(empty)>;
        if constexpr (std::is_same_v<T, Shape>)
          return to_shape(value, op);
        else if constexpr (std::is_same_v<T, DType>)
          return dtype_of(value.cast<std::string>());
        else if constexpr (std::is_same_v<T, std::shared_ptr<const graph::Array>>)
          return to_array(value);
        else
          return value.cast<T>();
      },
      *type);
}

py::array to_python(const std::shared_ptr<const graph::Array>& array) {
  py::array out(numpy_dtype(array->dtype), array->sizes);
  if (out.nbytes() > 0) std::memcpy(out.mutable_data(), array->data.data(), static_cast<size_t>(out.nbytes()));
  return out;
}

py::object to_python(const Attr& attr) {
  return std::visit(
      [](const auto& value) -> py::object {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, Shape> || std::is_same_v<T, std::shared_ptr<const graph::Array>>)
          return to_python(value);
        else if constexpr (std::is_same_v<T, DType>)
          return py::str(name_of(value));
        else
          return py::cast(value);
      },
      attr);
}

py::dict attrs_of(const Node& node) {
  py::dict out;
  for (const auto& [key, value] : node.attrs.items()) out[py::str(key)] = to_python(value);
  return out;
}

NodeHandle make_node(const std::string& name, const std::vector<NodeHandle>& inputs, const py::dict& attributes) {
  const graph::Op& op = graph::find_op(name);
  graph::Attrs attrs;
  for (const auto& item : attributes) {
    const auto key = item.first.cast<std::string>();
    try {
      attrs.set(key, to_attr(name, key, item.second));
    } catch (const py::cast_error&) {
      fail<TypeError>("[", name, "] expected another value of '", key, "', got ", py::cast<std::string>(py::repr(item.second)),
                      "; whole numbers are below 2^63");
    }
  }
  return {graph::make(op, tensors_of(inputs), std::move(attrs))};
}

// ---- Scopes ----

struct PyScope final : graph::Scope {
  py::object object;
  explicit PyScope(py::object o) : object(std::move(o)) {}

  std::string label() const override {
    const GilAcquire acquire;
    const py::object name = py::getattr(py::getattr(object, "layer", py::none()), "name", py::none());
    return py::isinstance<py::str>(name) ? name.cast<std::string>() : std::string();
  }
};

struct ScopeContext {
  py::object object;
  std::unique_ptr<graph::ScopeGuard> guard;
};

py::object scope_of(const NodeHandle& node) {
  const auto* scope = dynamic_cast<const PyScope*>(node.tensor->scope.get());
  return scope == nullptr ? py::none() : scope->object;
}

// ---- The host: NumPy carries out what the core leaves to LAPACK ----

// Memory of a running program as an array; it belongs to the program and must not be kept.
py::array view_of(const graph::HostArray& a) {
  if (a.data == nullptr) return py::array(numpy_dtype(a.dtype), a.sizes);  // no elements
  return py::array(numpy_dtype(a.dtype), a.sizes, a.data, py::capsule(a.data, [](void*) {}));
}

// What the host's function takes besides arrays.
py::dict options_of(const Node& node) {
  py::dict out;
  for (const auto& [key, value] : node.attrs.items())
    if (key != "name" && key != "shape" && key != "dtype") out[py::str(key)] = to_python(value);
  return out;
}

void set_host(py::function compute, py::function gradient) {
  graph::host().compute = [compute](const Node& node, const std::vector<graph::HostArray>& inputs, const graph::HostArray& output) {
    const GilAcquire acquire;
    py::list arrays;
    for (const graph::HostArray& a : inputs) arrays.append(view_of(a));
    call_or_stop(compute, py::make_tuple(node.attrs.get<std::string>("name"), options_of(node), arrays, view_of(output)));
  };
  graph::host().gradient = [gradient](const Tensor& y, const Tensor& dy, int i) -> Tensor {
    const py::object result = gradient(NodeHandle{y}, NodeHandle{dy}, i);
    return result.is_none() ? nullptr : result.cast<NodeHandle>().tensor;
  };
}

// ---- Nodes ----

py::list dump(const std::vector<NodeHandle>& outputs, bool training) {
  const graph::Roots roots = graph::resolve_modes({tensors_of(outputs), {}}, training);
  std::unordered_map<const Node*, size_t> id;
  py::list out;
  for (const Node* node : graph::topological(roots.outputs)) {
    const size_t number = id.size();
    id[node] = number;
    py::list inputs;
    for (const Tensor& input : node->inputs) inputs.append(id[input.get()]);
    py::dict row;
    row["id"] = number;
    row["op"] = node->op->name;
    row["inputs"] = inputs;
    row["attrs"] = attrs_of(*node);
    row["shape"] = to_python(node->shape());
    row["dtype"] = name_of(node->dtype());
    if (node->is("constant")) row["value"] = row["attrs"]["value"];
    if (node->is("variable")) row["variable"] = row["attrs"]["variable"];
    out.append(row);
  }
  return out;
}

std::vector<std::optional<NodeHandle>> grad(const NodeHandle& y, const std::vector<NodeHandle>& xs,
                                            const std::optional<NodeHandle>& seed) {
  std::vector<std::optional<NodeHandle>> out;
  for (Tensor& t : graph::gradients(y.tensor, tensors_of(xs), seed ? seed->tensor : nullptr))
    out.push_back(t ? std::optional<NodeHandle>(NodeHandle{t}) : std::nullopt);
  return out;
}

}  // namespace

void register_graph(py::module_& m) {
  // What is made once is made here, where no other thread and no finalizer can ask for it while it is being made.
  py::detail::npy_api::get();
  numpy_dtype(DType::boolean);
  register_dims(m);

  py::class_<NodeHandle>(m, "Node")
      .def_property_readonly("op", [](const NodeHandle& n) { return n.tensor->op->name; })
      .def_property_readonly("dtype", [](const NodeHandle& n) { return name_of(n.tensor->dtype()); })
      .def_property_readonly("shape", [](const NodeHandle& n) { return to_python(n.tensor->shape()); })
      .def_property_readonly("inputs",
                             [](const NodeHandle& n) {
                               std::vector<NodeHandle> out;
                               for (const Tensor& t : n.tensor->inputs) out.push_back({t});
                               return out;
                             })
      .def_property_readonly("attrs", [](const NodeHandle& n) { return attrs_of(*n.tensor); })
      .def_property_readonly("options", [](const NodeHandle& n) { return options_of(*n.tensor); })
      .def_property_readonly("scope", scope_of)
      .def_property_readonly("serial", [](const NodeHandle& n) { return n.tensor->serial; })
      .def("__eq__",
           [](const NodeHandle& a, const py::object& b) {
             return py::isinstance<NodeHandle>(b) && a.tensor == b.cast<const NodeHandle&>().tensor;
           })
      .def("__hash__", [](const NodeHandle& n) { return std::hash<const void*>()(n.tensor.get()); })
      .def("__repr__", [](const NodeHandle& n) {
        return "<" + n.tensor->op->name + " " + to_string(n.tensor->shape()) + " " + name_of(n.tensor->dtype()) + ">";
      });

  py::class_<ScopeContext>(m, "scope")
      .def(py::init([](py::object object) { return ScopeContext{std::move(object), nullptr}; }), py::arg("record"))
      .def("__enter__", [](ScopeContext& c) { c.guard = std::make_unique<graph::ScopeGuard>(std::make_shared<PyScope>(c.object)); })
      .def("__exit__", [](ScopeContext& c, const py::args&) { c.guard.reset(); });

  m.def(
      "constant", [](const py::object& value) { return NodeHandle{graph::make("constant", {}, {{"value", to_array(value)}})}; },
      py::arg("value"));
  m.def("set_host", set_host, py::arg("compute"), py::arg("gradient"));
  m.def("make", make_node, py::arg("op"), py::arg("inputs"), py::arg("attrs") = py::dict());
  m.def("grad", grad, py::arg("y"), py::arg("xs"), py::arg("seed") = py::none());
  m.def("dump", dump, py::arg("outputs"), py::arg("training") = false);
  m.def(
      "topological",
      [](const std::vector<NodeHandle>& roots) {
        std::vector<NodeHandle> out;
        for (const Node* node : graph::topological(tensors_of(roots))) out.push_back({node->shared_from_this()});
        return out;
      },
      py::arg("roots"));
  m.def("op_names", graph::op_names);
  m.def("op_kind", [](const std::string& name) { return graph::name_of(graph::find_op(name).kind); }, py::arg("name"));
  m.def("differentiable", [](const std::string& name) { return graph::find_op(name).gradient != nullptr; }, py::arg("name"));
  m.def("activation_names", graph::activation_names);
  m.def("activation_defaults", graph::activation_defaults, py::arg("name"));
}

}  // namespace lamina::bindings
