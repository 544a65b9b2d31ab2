// The dense linear algebra of damped least-squares steps for Python, on the caller's thread.
#include <vector>

#include "bindings/bind.h"
#include "kernels/dispatch.h"

namespace lamina::bindings {

namespace {

using Numbers = py::array_t<double, py::array::c_style>;

void check_size(const char* what, const Numbers& a, const Sizes& sizes) {
  check(sizes_of(a) == sizes, "[core] expected a ", what, " for ", sizes[0], " unknowns, got ", a.ndim(), " axes and ", a.size(),
        " numbers");
}

// Systems of n equations with a positive definite matrix, one after the other in one memory, which holds the last one's factor.
class PositiveSystem {
 public:
  explicit PositiveSystem(int64_t n) : n_(n) {
    check(n >= 0, "[PositiveSystem] expected a number of equations, got ", n);
    memory_ = new_array(numpy_dtype(DType::float64), {n, n + 1}, [] { return "a system of equations"; });
  }

  // (scale (h + more) + diag(shift))^-1 b; None where that matrix is not positive definite in float64, or the solution not finite.
  py::object solve(const Numbers& h, const Numbers& shift, const Numbers& b, double scale, const std::optional<Numbers>& more) {
    check_size("matrix", h, {n_, n_});
    check_size("right side", b, {n_});
    if (shift.ndim() > 0) check_size("diagonal", shift, {n_});
    if (more) check_size("second matrix", *more, {n_, n_});
    Numbers x(n_);
    double *a = memory_.mutable_data(), *solution = x.mutable_data();
    const double *matrix = h.data(), *second = more ? more->data() : nullptr, *diagonal = shift.data(), *right = b.data();
    const bool uniform = shift.ndim() == 0;
    bool solved = false;
    {
      const GilRelease release;
      fill(a, matrix, second, scale, diagonal, uniform, right);
      solved = kernels::table().solve_positive(a, solution, n_);
      for (int64_t i = 0; solved && i < n_; ++i) solved = solution[i] - solution[i] == 0;
    }
    return solved ? py::object(std::move(x)) : py::none();
  }

  Numbers again(const Numbers& b) const {
    check_size("right side", b, {n_});
    Numbers x(n_);
    const double *a = memory_.data(), *right = b.data();
    double* solution = x.mutable_data();
    const GilRelease release;
    std::copy(right, right + n_, solution);
    kernels::table().solve_again(a, solution, n_);
    return x;
  }

 private:
  void fill(double* a, const double* h, const double* more, double scale, const double* shift, bool uniform,
            const double* b) const {
    for (int64_t i = 0; i < n_; ++i, a += n_ + 1, h += n_) {
      if (more == nullptr) {
        for (int64_t j = i; j < n_; ++j) a[j] = scale * h[j];
      } else {
        for (int64_t j = i; j < n_; ++j) a[j] = scale * (h[j] + more[j]);
        more += n_;
      }
      a[i] += shift[uniform ? 0 : i];
      a[n_] = b[i];
    }
  }

  int64_t n_;
  Numbers memory_;
};

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
      .def("solve", &PositiveSystem::solve, py::arg("h").noconvert(), py::arg("shift"), py::arg("b").noconvert(),
           py::arg("scale") = 1.0, py::arg("more") = py::none())
      .def("again", &PositiveSystem::again, py::arg("b").noconvert());
  m.def("secant", secant, py::arg("s").noconvert(), py::arg("h").noconvert(), py::arg("step").noconvert(),
        py::arg("change").noconvert());
}

}  // namespace lamina::bindings
