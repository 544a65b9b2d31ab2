// Dense linear algebra for Python: triangles, and that of second-order steps.
#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "bindings/bind.h"
#include "kernels/dispatch.h"
#include "runtime/conditions.h"
#include "runtime/curvature_pairs.h"
#include "runtime/exponential.h"
#include "runtime/positive_system.h"
#include "runtime/triangular.h"

namespace lamina::bindings {

namespace {

using kernels::PositiveTerms;
using runtime::CurvaturePairs;
using runtime::PositiveSystem;
using Numbers = py::array_t<double, py::array::c_style>;

void check_size(const char* what, const Numbers& a, const Sizes& sizes, int64_t n) {
  check(sizes_of(a) == sizes, "[core] expected a ", what, " for ", n, " unknowns, got ", a.ndim(), " axes and ", a.size(),
        " numbers");
}

void check_size(const char* what, const Numbers& a, const Sizes& sizes) { check_size(what, a, sizes, sizes[0]); }

// Of n rows and columns, or the rows of its upper triangle, one after the other.
void check_matrix(const char* what, const Numbers& a, int64_t n, bool packed) {
  check_size(what, a, packed ? Sizes{n * (n + 1) / 2} : Sizes{n, n}, n);
}

// x, or None where there is none.
py::object solve(PositiveSystem& system, const Numbers& h, const Numbers& shift, const Numbers& b, double scale,
                 const std::optional<Numbers>& more) {
  const int64_t n = system.size();
  const bool packed = h.ndim() == 1;
  check_matrix("matrix", h, n, packed);
  check_size("right side", b, {n});
  if (shift.ndim() > 0) check_size("diagonal", shift, {n});
  if (more) check_matrix("second matrix", *more, n, packed);
  Numbers x(n);
  const PositiveTerms terms{h.data(), more ? more->data() : nullptr, packed, scale, shift.data(), shift.ndim() == 0, b.data()};
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

Numbers factor(const PositiveSystem& system) {
  Numbers u({system.size(), system.size()});
  double* upper = u.mutable_data();
  const GilRelease release;
  system.factor(upper);
  return u;
}

void secant(Numbers s, const Numbers& h, const Numbers& step, const Numbers& change) {
  const int64_t n = step.size();
  check_size("step", step, {n});
  check_size("change of the gradient", change, {n});
  check_matrix("matrix", h, n, true);
  check_matrix("curvature", s, n, true);
  double* curvature = s.mutable_data();
  const double *matrix = h.data(), *way = step.data(), *found = change.data();
  const GilRelease release;
  std::vector<double> scratch(2 * static_cast<size_t>(n));
  kernels::table().secant(curvature, matrix, way, found, n, scratch.data());
}

py::array solve_triangular(const py::array& t, const py::array& b, bool lower, bool transposed, bool unit) {
  const DType dtype = dtype_of_array(t);
  const Sizes sizes = sizes_of(t), sides = sizes_of(b);
  const bool dense = (t.flags() & b.flags() & py::array::c_style) != 0;
  const size_t axes = sizes.size();
  check(is_float(dtype) && dtype_of_array(b) == dtype && dense, "[core] expected dense matrices of one float type");
  check(axes >= 2 && sides.size() == axes && std::equal(sizes.begin(), sizes.end() - 1, sides.begin()) &&
            sizes[axes - 1] == sizes[axes - 2],
        "[core] expected square matrices and as many rows of b, got ", known(sizes), " and ", known(sides));
  const int64_t n = sizes[axes - 1], columns = sides[axes - 1];
  py::array x = new_array(b.dtype(), sides, [] { return "the solution of a triangular system"; });
  std::memcpy(x.mutable_data(), b.data(), static_cast<size_t>(b.nbytes()));
  const int64_t count = std::accumulate(sizes.begin(), sizes.end() - 2, int64_t{1}, std::multiplies<>());
  const runtime::TriangularSystems systems{dtype, t.data(), count, n, lower, transposed, unit, x.mutable_data(), columns};
  const GilRelease release;
  runtime::solve_triangular(systems);
  return x;
}

// Of a matrix with columns whose sums are finite; it may hold infinity.
Numbers expm(const Numbers& a) {
  check(a.ndim() == 2 && a.shape(0) == a.shape(1), "[core] expected a square matrix, got ", a.ndim(), " axes and ", a.size(),
        " numbers");
  Numbers result(sizes_of(a));
  double* to = result.mutable_data();
  std::copy_n(a.data(), a.size(), to);
  const runtime::Exponential exponential(a.shape(0));
  std::vector<double> room(static_cast<size_t>(exponential.room()));
  const GilRelease release;
  const bool known = exponential.run(to, room.data());
  check(known, "[core] expected columns whose sums are finite");
  return result;
}

// The calls of pairs keep the GIL: two at once would not do. (Of 10 million weights a direction takes as long as reading all pairs.)

void start_at(CurvaturePairs& pairs, const Numbers& g) {
  check_size("gradient", g, {pairs.size()});
  pairs.start_at(g.data());
}

void add(CurvaturePairs& pairs, const Numbers& s, const Numbers& g) {
  check_size("step", s, {pairs.size()});
  check_size("gradient", g, {pairs.size()});
  pairs.add(s.data(), g.data());
}

Numbers direction(const CurvaturePairs& pairs) {
  Numbers d(pairs.size());
  pairs.direction(d.mutable_data());
  return d;
}

using Floats = py::array_t<float, py::array::c_style>;

py::tuple arrays(const CurvaturePairs& pairs) {
  const int64_t n = pairs.count();
  Floats rows({int64_t{2}, n, pairs.size()});
  Numbers products({int64_t{2}, n, n});
  pairs.copy_to(rows.mutable_data(), products.mutable_data());
  return py::make_tuple(rows, products);
}

void take(CurvaturePairs& pairs, const Floats& rows, const Numbers& products) {
  const int64_t n = rows.ndim() == 3 ? rows.shape(1) : 0;
  check(sizes_of(rows) == Sizes{2, n, pairs.size()} && sizes_of(products) == Sizes{2, n, n}, "[core] expected pairs of ",
        pairs.size(), " numbers and their products");
  pairs.take(rows.data(), products.data(), n);
}

}  // namespace

void register_systems(py::module_& m) {
  py::class_<CurvaturePairs>(m, "CurvaturePairs")
      .def(py::init<int64_t, int64_t>(), py::arg("most"), py::arg("size"))
      .def("__len__", &CurvaturePairs::count)
      .def_property_readonly("largest", &CurvaturePairs::largest)
      .def("start_at", start_at, py::arg("g").noconvert())
      .def("add", add, py::arg("s").noconvert(), py::arg("g").noconvert())
      .def("direction", direction)
      .def("arrays", arrays)
      .def("take", take, py::arg("pairs"), py::arg("products"));
  py::class_<PositiveSystem>(m, "PositiveSystem")
      .def(py::init<int64_t>(), py::arg("n"))
      .def("solve", solve, py::arg("h").noconvert(), py::arg("shift"), py::arg("b").noconvert(), py::arg("scale") = 1.0,
           py::arg("more") = py::none())
      .def("again", again, py::arg("b").noconvert())
      .def("factor", factor);
  m.def("solve_triangular", solve_triangular, py::arg("t"), py::arg("b"), py::arg("lower"), py::arg("transposed"), py::arg("unit"));
  m.def("condition_limit", [](const std::string& dtype) { return runtime::condition_limit(dtype_of(dtype)); }, py::arg("dtype"));
  m.attr("PROBES") = runtime::kProbes;
  m.attr("PROBE_MARGIN") = runtime::kProbeMargin;
  m.def("expm", expm, py::arg("a").noconvert());
  m.def("secant", secant, py::arg("s").noconvert(), py::arg("h").noconvert(), py::arg("step").noconvert(),
        py::arg("change").noconvert());
}

}  // namespace lamina::bindings
