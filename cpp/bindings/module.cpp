#include "base/rule_layout.h"
#include "base/threads.h"
#include "base/turns.h"
#include "bindings/bind.h"
#include "kernels/dispatch.h"

namespace py = pybind11;

namespace {

// Which kernels run, and the update rules that they have.
void register_kernels(py::module_& m) {
  m.def(
      "isa", [] { return std::string(lamina::kernels::table().isa); },
      "The instruction set whose kernels run: 'avx512', 'avx2', 'base' (SSE 4.2) or 'neon'. It is picked at import: the best one\n"
      "that the processor has, or the one that LAMINA_ISA names.\n\n"
      "    >>> lm.isa() in ('avx512', 'avx2', 'base', 'neon')\n"
      "    True\n");
  m.def("supported_isas", [] {
    std::vector<std::string> names;
    for (const auto* table : lamina::kernels::supported_tables()) names.push_back(table->isa);
    return names;
  });
  m.def("rule_names", [] {
    std::vector<std::string> names;
    const auto& table = lamina::kernels::table();
    for (int i = 0; i < table.rule_count; ++i) names.push_back(table.rules[i].name);
    return names;
  });
  m.def(
      "rule_info",
      [](const std::string& name) {
        const auto* rule = lamina::kernels::find_rule(lamina::kernels::table(), name);
        lamina::check(rule != nullptr, "unknown update rule '", name, "'");
        return py::make_tuple(std::vector<std::string>(rule->slot_names, rule->slot_names + rule->slots),
                              std::vector<std::string>(rule->hyper_names, rule->hyper_names + rule->hypers));
      },
      py::arg("name"));
  m.attr("RULE_CLOCK") = lamina::kRuleClock;
}

void register_threads(py::module_& m) {
  m.def("set_num_threads", &lamina::set_num_threads, py::arg("count"));
  m.def("get_num_threads", &lamina::num_threads,
        "The number of threads that share the work. At first it is LAMINA_NUM_THREADS, else OMP_NUM_THREADS, else what affinity\n"
        "and CPU quota allow; `set_num_threads` changes it.\n\n"
        "    >>> lm.get_num_threads() >= 1\n"
        "    True\n");
  m.def("cpu_quota", &lamina::cpu_quota, py::arg("root") = "");
  m.def("close_for_fork", &lamina::close_for_fork, py::call_guard<lamina::bindings::GilRelease>());
  m.def("open_after_fork", &lamina::open_after_fork);
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ core of lamina: graph, gradients, programs, kernels. Private: use the lamina package.";
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const lamina::TypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    }
  });
  // Whoever has a turn may need the GIL to come to its end.
  lamina::set_waiting([](void (*wait)(void*), void* context) {
    if (PyGILState_Check() == 0) return wait(context);
    const lamina::bindings::GilRelease release;
    wait(context);
  });
  lamina::kernels::table();  // a wrong LAMINA_ISA is an error of the import
  lamina::bindings::register_graph(m);
  lamina::bindings::register_variables(m);
  lamina::bindings::register_program(m);
  lamina::bindings::register_systems(m);

  register_kernels(m);
  register_threads(m);
  py::dict info;
  info["version"] = LAMINA_VERSION;
  info["compiler"] = LAMINA_COMPILER;
  info["flags"] = LAMINA_FLAGS;
  m.attr("build_info") = info;
}
