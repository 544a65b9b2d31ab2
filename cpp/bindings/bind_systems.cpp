// The dense linear algebra of damped least-squares steps for Python, on the caller's thread.
#include <vector>

#include "bindings/bind.h"
#include "kernels/dispatch.h"
#include "runtime/positive_system.h"

namespace lamina::bindings {

namespace {

using runtime::PositiveSystem;
using runtime::PositiveTerms;
using Numbers = py::array_t<double, py::array::c_style>;

void check_size(const char* what, const Numbers& a, const Sizes& sizes) {
  check(sizes_of(a) == sizes, "[core] expected a ", what, " for ", sizes[0], " unknowns, got ", a.ndim(), " axes and ", a.size(),
        " numbers");
}

// x, or None where there is none.
py::object solve(PositiveSystem& system, const Numbers& h, const Numbers& shift, const Numbers& b, double scale,
                 const std::optional<Numbers>& more) {
  const int64_t n = system.size();
  check_size("matrix", h, {n, n});
  check_size("right side", b, {n});
  if (shift.ndim() > 0) check_size("diagonal", shift, {n});
  if (more) check_size("second matrix", *more, {n, n});
  Numbers x(n);
  const PositiveTerms terms{h.data(), more ? more->data() : nullptr, scale, shift.data(), shift.ndim() == 0, b.data()};
  double* solution = x.mutable_data();
  bool solved = false;
  {
    const GilRelease release;
    solved = system.solve(terms, solution);
  }
  return solved ? py::object(std::move(x)) : py::none();
}

Numbers again(const PositiveSystem& system, const Numbers& b) {
  check_size("right side", b, {system.size()});
  Numbers x(system.size());
  const double* right = b.data();
  double* solution = x.mutable_data();
  const GilRelease release;
  system.again(right, solution);
  return x;
}

void secant(Numbers s, const Numbers& h, const Numbers& step, const Numbers& change) {
  const int64_t n = step.size();
  check_size("step", step, {n});
  check_size("change of the gradient", change, {n});
  check_size("matrix", h, {n, n});
  check_size("curvature", s, {n, n});
  double* curvature = s.mutable_data();
  const double *matrix = h.data(), *way = step.data(), *found = change.data();
  const GilRelease release;
  std::vector<double> scratch(2 * static_cast<size_t>(n));
  kernels::table().secant(curvature, matrix, way, found, n, scratch.data());
}

}  // namespace

void register_systems(py::module_& m) {
  py::class_<PositiveSystem>(m, "PositiveSystem")
      .def(py::init<int64_t>(), py::arg("n"))
      .def("solve", solve, py::arg("h").noconvert(), py::arg("shift"), py::arg("b").noconvert(), py::arg("scale") = 1.0,
           py::arg("more") = py::none())
      .def("again", again, py::arg("b").noconvert());
  m.def("secant", secant, py::arg("s").noconvert(), py::arg("h").noconvert(), py::arg("step").noconvert(),
        py::arg("change").noconvert());
}

}  // namespace lamina::bindings
