// Programs and epochs for Python.
#include "bindings/c_function.h"
#include "bindings/calls.h"
#include "bindings/quick.h"
#include "bindings/recall.h"
#include "runtime/epoch.h"

namespace lamina::bindings {

namespace {

using runtime::Program;

py::list run(Program& program, const py::sequence& arrays, bool guarded) {
  const py::tuple values(arrays);
  return all_outputs(program, &PyTuple_GET_ITEM(values.ptr(), 0), values.size(), guarded);
}

// What each step is, the serials of the nodes that it carries out, and how long it took: the best of `repeats` runs.
py::list profile(Program& program, const py::sequence& arrays, int repeats) {
  const py::tuple values(arrays);
  const Call call(program, &PyTuple_GET_ITEM(values.ptr(), 0), values.size());
  const Lock lock(program);
  call.bind(program);
  std::vector<AlignedBuffer> memory(program.output_count());
  std::vector<void*> outputs;
  for (size_t i = 0; i < memory.size(); ++i) {
    memory[i].reset(bytes_of(program.output_sizes(i), program.output_dtype(i)), [&] { return program.describe_output(i); });
    outputs.push_back(memory[i].data());
  }
  const size_t n = program.steps().size();
  std::vector<double> best(n, 1e30), now(n);
  runtime::RunOptions options;
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

// Of the sizes that it was last bound to: which steps follow each other block by block, and beside which others.
py::list stages(Program& program) {
  const Lock lock(program);
  py::list out;
  for (const runtime::Stage& stage : program.stages()) {
    py::list lanes;
    for (const runtime::Lane& lane : stage.lanes) lanes.append(lane.steps);
    py::dict row;
    row["lanes"] = lanes;
    row["partial"] = stage.partial;
    row["tasks"] = stage.size();
    row["parallel"] = stage.parallel;
    out.append(row);
  }
  return out;
}

// ---- An epoch: its parts, each checked as it is taken from Python ----

using Order = std::optional<py::array_t<int64_t, py::array::c_style>>;
using MaybeRates = std::optional<py::array_t<double, py::array::c_style>>;
using Targets = std::optional<std::vector<std::optional<py::array>>>;  // for each output with axes

int64_t rows_in(const runtime::Epoch& job) { return job.sources.empty() ? 0 : job.sources[0].sizes[0]; }

void set_sources(runtime::Epoch& job, const Program& program, const std::vector<py::array>& sources) {
  check(sources.size() == program.input_count(), "[epoch] expected ", program.input_count(), " sources, got ", sources.size());
  for (const py::array& source : sources) {
    check(source.ndim() >= 1, "[epoch] expected arrays of at least one axis");
    job.sources.push_back(rows_of(source));
    check(job.sources.back().sizes[0] == rows_in(job), "[epoch] the sources have different numbers of rows");
  }
}

void set_order(runtime::Epoch& job, const Order& order) {
  const int64_t available = rows_in(job);
  job.rows = order ? order->size() : available;
  if (!order) return;
  job.order = order->data();
  for (int64_t i = 0; i < job.rows; ++i)
    check(job.order[i] >= 0 && job.order[i] < available, "[epoch] row ", job.order[i], " is not among the ", available, " rows");
}

void set_rates(runtime::Epoch& job, const std::shared_ptr<graph::Variable>& rate, const MaybeRates& rates) {
  if (!rate) return;
  const int64_t batches = runtime::batches_of(job);
  check(rates && rates->size() >= batches, "[epoch] expected a learning rate for each of the ", batches, " batches");
  check(rate->dtype == DType::float64 && rate->bytes() > 0, "[epoch] expected the learning rate in float64");
  job.rate = rate.get();  // whose place another thread may change until this one has its turn
  job.rates = rates->data();
}

runtime::Collected collected_in(py::array target, DType type, int64_t rows) {
  check(target.ndim() >= 1 && (target.flags() & py::array::c_style) && target.writeable() && target.shape(0) >= rows &&
            target.dtype().equal(numpy_dtype(type)),
        "[epoch] expected a dense writable array of ", name_of(type), " with ", rows, " rows to collect in");
  const auto all = static_cast<size_t>(target.nbytes());
  return {target.mutable_data(), target.shape(0) > 0 ? all / static_cast<size_t>(target.shape(0)) : 0};
}

void set_targets(runtime::Epoch& job, const Program& program, const Targets& targets) {
  size_t next = 0;
  for (size_t k = 0; k < program.output_count(); ++k) {
    job.collect.emplace_back();
    if (program.output_rank(k) == 0) continue;
    const size_t j = next++;
    if (targets && j < targets->size() && (*targets)[j])
      job.collect[k] = collected_in(*(*targets)[j], program.output_dtype(k), job.rows);
  }
}

// One line for each batch of the epoch: its outputs without axes. `given`: where they go.
py::array set_scalars(runtime::Epoch& job, const Program& program, const std::optional<py::array>& given) {
  int64_t count = 0;
  for (size_t k = 0; k < program.output_count(); ++k) count += program.output_rank(k) == 0;
  const int64_t batches = runtime::batches_of(job);
  py::array scalars = given ? *given : py::array_t<double>({batches, count});
  check(scalars.ndim() == 2 && scalars.shape(1) == count, "[epoch] expected room for ", count, " scalars of each batch");
  job.scalars = static_cast<double*>(collected_in(scalars, DType::float64, batches).data);
  return scalars;
}

py::array epoch(Program& program, const std::vector<py::array>& sources, const Order& order, int64_t batch_size,
                const std::shared_ptr<graph::Variable>& rate, const MaybeRates& rates, const Targets& collect,
                const std::optional<py::array>& room, const py::object& poll, double poll_seconds, bool guarded) {
  check(batch_size >= 1, "[epoch] expected a batch size of at least 1, got ", batch_size);
  runtime::Epoch job;
  job.batch_size = batch_size;
  set_sources(job, program, sources);
  set_order(job, order);
  set_rates(job, rate, rates);
  set_targets(job, program, collect);
  const py::array scalars = set_scalars(job, program, room);
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
  return scalars[py::slice(0, done, 1)].cast<py::array>();
}

using GivenKinds = std::vector<std::tuple<py::dtype, int, std::optional<int64_t>>>;

std::vector<Kind> kinds_of(const GivenKinds& given) {
  std::vector<Kind> all;
  for (const auto& [dtype, ndim, classes] : given) all.push_back({dtype, ndim, classes});
  return all;
}

py::object trainer(const py::object& program, const GivenKinds& targets, bool weighted, std::shared_ptr<graph::Variable> rate,
                   std::shared_ptr<graph::Variable> clock, const GivenKinds& inputs, int64_t most_rows, bool guarded) {
  return quick_trainer(program, kinds_of(inputs), kinds_of(targets), weighted, {std::move(rate), std::move(clock)}, most_rows,
                       guarded);
}

}  // namespace

void register_program(py::module_& m) {
  register_c_functions();
  py::class_<Recall>(m, "Recall")
      .def(py::init<size_t, bool>(), py::arg("operands"), py::arg("transposes"))
      .def("keep", &Recall::keep, py::arg("program"), py::arg("pack"), py::arg("args"), py::arg("named"), py::arg("given"))
      .def_property_readonly("find", quick_find);
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
      .def("predictor", quick_predictor, py::arg("most_rows"))
      .def("trainer", trainer, py::arg("targets"), py::arg("weighted") = false, py::arg("rate").none(true) = py::none(),
           py::arg("clock").none(true) = py::none(), py::arg("inputs") = py::tuple(),
           py::arg("most_rows") = std::numeric_limits<int64_t>::max(), py::arg("guarded") = false)
      .def("profile", profile, py::arg("arrays"), py::arg("repeats") = 1)
      .def("epoch", epoch, py::arg("sources"), py::arg("order").none(true), py::arg("batch_size"), py::kw_only(),
           py::arg("rate") = py::none(), py::arg("rates") = py::none(), py::arg("collect") = py::none(),
           py::arg("scalars") = py::none(), py::arg("poll") = py::none(), py::arg("poll_seconds") = 0.1, py::arg("guarded") = false)
      .def_property_readonly("steps",
                             [](const Program& p) {
                               std::vector<std::string> names;
                               for (const auto& step : p.steps()) names.push_back(step->name);
                               return names;
                             })
      .def_property_readonly("stages", stages)
      .def_property_readonly("arena_bytes",
                             [](Program& p) {
                               const Lock lock(p);
                               return p.arena_bytes();
                             })
      .def_property_readonly("held_bytes", &Program::held_bytes)
      .def_property_readonly("flops_per_row", [](Program& p) {
        const Lock lock(p);
        return p.flops_per_row();
      });

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
