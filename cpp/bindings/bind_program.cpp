// Programs and epochs: the one place where arrays meet memory and the GIL is released.
#include <array>
#include <chrono>

#include "bindings/bind.h"
#include "runtime/program.h"
#include "runtime/trainer.h"

namespace lamina::bindings {

namespace {

using runtime::Program;

runtime::Source source_of(const py::array& array) {
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
        if (bytes == 4) return Source::float32;
        if (bytes == 8) return Source::float64;
        break;
      default: break;
    }
  }
  fail<TypeError>("expected an array of bool, integers, float32 or float64, got ", py::cast<std::string>(py::str(dtype)),
                  "; convert it with astype");
}

runtime::Rows rows_of(const py::array& array) {
  return {static_cast<const char*>(array.data()), source_of(array), sizes_of(array),
          Sizes(array.strides(), array.strides() + array.ndim())};
}

// NumPy's own object for a dtype: an array of that type, in this machine's byte order, carries the very same.
const py::dtype& native(DType type) {
  static const auto* types =
      new std::array<py::dtype, 4>{py::dtype("bool"), py::dtype("int64"), py::dtype("float32"), py::dtype("float64")};
  return (*types)[static_cast<size_t>(type)];
}

// The array as the program reads it as input i: itself where type and layout fit, a converted copy otherwise.
py::array fitted(const Program& program, size_t i, py::array array) {
  const DType type = program.input_type(i).dtype;
  if ((array.flags() & py::array::c_style) != 0 && array.dtype().is(native(type))) return array;
  const runtime::Rows rows = rows_of(array);
  if (rows.sizes.empty()) return py::array(array.attr("astype")(native(type)));
  py::array out = new_array(native(type), rows.sizes, [&] { return program.describe_input(i); });
  runtime::gather_rows(out.mutable_data(), type, rows, nullptr, 0, rows.sizes[0]);
  return out;
}

// Sole use of a program, and of its variables, while it lives.
class Lock : public Turn {
 public:
  explicit Lock(Program& program) : Turn(program.turns()) {
    check(!program.running(), "[function] this program is running: a function that it calls cannot run it again");
  }
};

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

// Runs the program without the GIL, and gives the turn back before it asks for the GIL again.
void run_freely(Program& program, Lock& lock, const void* const* inputs, void* const* outputs, bool guarded) {
  const GilRelease release;
  Program::Options options;
  options.guarded = guarded;
  if (program.is_long()) options.interruption = Signals();
  program.run(inputs, outputs, options);
  lock.give();
}

// The arrays of one call, ready to be read.
class Call {
 public:
  template <class Values>
  Call(const Program& program, const Values& values, size_t n) {
    check(n == program.input_count(), "[function] expected ", program.input_count(), " arrays, got ", n);
    arrays_.reserve(n);
    inputs_.reserve(n);
    for (size_t i = 0; i < n; ++i) {
      const py::object item = values[i];
      py::array array = py::isinstance<py::array>(item) ? py::reinterpret_borrow<py::array>(item) : py::array::ensure(item);
      if (!array) throw py::error_already_set();
      arrays_.push_back(fitted(program, i, std::move(array)));
      inputs_.push_back(arrays_.back().data());
    }
  }

  const void* const* inputs() const { return inputs_.data(); }

  // Binds the program where the shapes are not those of its last run.
  void bind(Program& program) const {
    bool same = program.is_ready();
    for (size_t i = 0; i < arrays_.size(); ++i)
      same = same && program.is_bound(i, arrays_[i].shape(), static_cast<size_t>(arrays_[i].ndim()));
    if (same) return;
    std::vector<Sizes> sizes;
    for (const py::array& array : arrays_) sizes.push_back(sizes_of(array));
    program.bind(sizes);
  }

 private:
  std::vector<py::array> arrays_;
  std::vector<const void*> inputs_;
};

// A new array for output i.
py::array new_output(const Program& program, size_t i) {
  return new_array(native(program.output_dtype(i)), program.output_sizes(i), [&] { return program.describe_output(i); });
}

py::list run(Program& program, const py::sequence& values, bool guarded) {
  const Call call(program, values, py::len(values));
  Lock lock(program);
  call.bind(program);
  const size_t n = program.output_count();
  std::vector<void*> outputs(n);
  py::list results(n);
  for (size_t i = 0; i < n; ++i) {
    py::array out = new_output(program, i);
    outputs[i] = out.mutable_data();
    PyList_SET_ITEM(results.ptr(), static_cast<Py_ssize_t>(i), out.release().ptr());
  }
  run_freely(program, lock, call.inputs(), outputs.data(), guarded);
  return results;
}

// The only output, without a list around it: the quickest way through.
py::array run_single(Program& program, const py::args& values) {
  const Call call(program, values, py::len(values));
  Lock lock(program);
  call.bind(program);
  check(program.output_count() == 1, "[single] expected a program with one output, got one with ", program.output_count());
  py::array result = new_output(program, 0);
  void* output = result.mutable_data();
  run_freely(program, lock, call.inputs(), &output, false);
  return result;
}

// One output without axes, as a number: what a training step returns.
double run_scalar(Program& program, const py::args& values) {
  const Call call(program, values, py::len(values));
  Lock lock(program);
  call.bind(program);
  check(program.output_count() == 1 && program.output_sizes(0).empty(), "[scalar] expected a program with one scalar output");
  float single = 0;
  double number = 0;
  const bool is_single = program.output_dtype(0) == DType::float32;
  void* output = is_single ? static_cast<void*>(&single) : &number;
  run_freely(program, lock, call.inputs(), &output, false);
  return is_single ? static_cast<double>(single) : number;
}

// What each step is, the serials of the nodes that it carries out, and how long it took: the best of `repeats` runs.
py::list profile(Program& program, const py::sequence& values, int repeats) {
  const Call call(program, values, py::len(values));
  const Lock lock(program);
  call.bind(program);
  std::vector<AlignedBuffer> memory(program.output_count());
  std::vector<void*> outputs;
  for (size_t i = 0; i < memory.size(); ++i) {
    memory[i].reset(std::max<size_t>(8, static_cast<size_t>(count(program.output_sizes(i))) * size_of(program.output_dtype(i))),
                    [&] { return program.describe_output(i); });
    outputs.push_back(memory[i].data());
  }
  const size_t n = program.steps().size();
  std::vector<double> best(n, 1e30), now(n);
  Program::Options options;
  options.seconds = now.data();
  for (int r = 0; r < repeats; ++r) {
    program.run(call.inputs(), outputs.data(), options);
    for (size_t i = 0; i < n; ++i) best[i] = std::min(best[i], now[i]);
  }
  py::list out;
  for (size_t i = 0; i < n; ++i) {
    const runtime::Step& step = *program.steps()[i];
    py::dict row;
    row["name"] = step.name;
    row["seconds"] = best[i];
    row["flops"] = step.flops();
    row["bytes"] = step.bytes();
    row["units"] = step.units();
    row["nodes"] = step.origins;
    out.append(row);
  }
  return out;
}

py::array epoch(Program& program, const std::vector<py::array>& sources,
                const std::optional<py::array_t<int64_t, py::array::c_style>>& order, int64_t batch_size,
                const std::shared_ptr<graph::Variable>& rate, const std::optional<py::array_t<double, py::array::c_style>>& rates,
                const std::optional<std::vector<std::optional<py::array>>>& collect, const py::object& poll, double poll_seconds,
                bool guarded) {
  check(batch_size >= 1, "[epoch] expected a batch size of at least 1, got ", batch_size);
  check(sources.size() == program.input_count(), "[epoch] expected ", program.input_count(), " sources, got ", sources.size());
  runtime::Epoch job;
  for (const py::array& source : sources) {
    check(source.ndim() >= 1, "[epoch] expected arrays of at least one axis");
    job.sources.push_back(rows_of(source));
  }
  const int64_t available = job.sources.empty() ? 0 : job.sources[0].sizes[0];
  for (const auto& s : job.sources) check(s.sizes[0] == available, "[epoch] the sources have different numbers of rows");
  job.rows = order ? order->size() : available;
  if (order) {
    job.order = order->data();
    for (int64_t i = 0; i < job.rows; ++i)
      check(job.order[i] >= 0 && job.order[i] < available, "[epoch] row ", job.order[i], " is not among the ", available, " rows");
  }
  job.batch_size = batch_size;
  const int64_t batches = (job.rows + batch_size - 1) / batch_size;
  if (rate) {
    check(rates && rates->size() >= batches, "[epoch] expected a learning rate for each of the ", batches, " batches");
    job.rate = reinterpret_cast<double*>(rate->data());
    job.rates = rates->data();
  }
  size_t scalars = 0, others = 0;
  for (size_t k = 0; k < program.output_count(); ++k) {
    job.collect.push_back(nullptr);
    if (program.output_rank(k) == 0) {
      ++scalars;
      continue;
    }
    const size_t j = others++;
    if (!collect || j >= collect->size() || !(*collect)[j]) continue;
    py::array target = *(*collect)[j];
    check((target.flags() & py::array::c_style) && target.writeable() && target.shape(0) >= job.rows &&
              target.dtype().equal(numpy_dtype(program.output_dtype(k))),
          "[epoch] expected a dense writable array of ", name_of(program.output_dtype(k)), " with ", job.rows,
          " rows to collect in");
    job.collect[k] = target.mutable_data();
  }
  py::array_t<double> result({batches, static_cast<int64_t>(scalars)});
  job.scalars = result.mutable_data();
  job.poll_seconds = poll_seconds;
  job.guarded = guarded;
  job.poll = [&](int64_t done) {
    const GilAcquire acquire;
    const bool stop = !poll.is_none() && call_or_stop(poll, py::make_tuple(done)).cast<bool>();
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    return stop;
  };
  int64_t done = 0;
  {
    const GilRelease release;
    done = runtime::run_epoch(program, job);
  }
  return result[py::slice(0, done, 1)].cast<py::array>();
}

}  // namespace

void register_program(py::module_& m) {
  py::class_<Program>(m, "Program")
      .def(py::init([](const std::vector<NodeHandle>& inputs, const std::vector<NodeHandle>& outputs,
                       const std::vector<NodeHandle>& effects, bool training, bool optimize, bool fuse, bool fuse_products,
                       bool fuse_updates) {
             runtime::ProgramOptions options;
             options.training = training;
             options.optimize = optimize;
             options.fusion = {fuse, fuse_products, fuse_updates};
             return std::make_unique<Program>(tensors_of(inputs), tensors_of(outputs), tensors_of(effects), options);
           }),
           py::arg("inputs"), py::arg("outputs"), py::arg("effects") = std::vector<NodeHandle>(), py::arg("training") = false,
           py::kw_only(), py::arg("optimize") = true, py::arg("fuse") = true, py::arg("fuse_products") = true,
           py::arg("fuse_updates") = true)
      .def("run", run, py::arg("arrays"), py::arg("guarded") = false)
      .def("single", run_single)
      .def("scalar", run_scalar)
      .def("profile", profile, py::arg("arrays"), py::arg("repeats") = 1)
      .def("epoch", epoch, py::arg("sources"), py::arg("order").none(true), py::arg("batch_size"), py::kw_only(),
           py::arg("rate") = py::none(), py::arg("rates") = py::none(), py::arg("collect") = py::none(),
           py::arg("poll") = py::none(), py::arg("poll_seconds") = 0.1, py::arg("guarded") = false)
      .def_property_readonly("steps",
                             [](const Program& p) {
                               std::vector<std::string> names;
                               for (const auto& step : p.steps()) names.push_back(step->name);
                               return names;
                             })
      .def_property_readonly("arena_bytes", &Program::arena_bytes)
      .def_property_readonly("flops_per_row", &Program::flops_per_row);

  m.def(
      "permutation",
      [](int64_t n, uint64_t seed, uint64_t epoch) {
        py::array_t<int64_t> order(n);
        runtime::permutation(order.mutable_data(), n, seed, epoch);
        return order;
      },
      py::arg("n"), py::arg("seed"), py::arg("epoch"));
}

}  // namespace lamina::bindings
