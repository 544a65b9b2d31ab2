// Triangular systems: T x = b by either kernel, forwards and, with strides below zero, backwards; what lies around stays.
#pragma once

#include "kernels_common.h"

namespace kernels_test {

// Whether row i of T x is b to a few roundings; x in steps of `x_row` from `at`.
template <class T>
void check_triangle(const char* isa, const char* what, const Triangle& g, const std::vector<T>& b, const T* x, ptrdiff_t x_row) {
  const T* t = static_cast<const T*>(g.t);
  for (ptrdiff_t i = 0; i < g.n; ++i) {
    Wider<T> rest = -b[size_t(i)], size = 0;
    for (ptrdiff_t j = 0; j <= i; ++j) {
      const Wider<T> term = Wider<T>(g.unit && i == j ? T(1) : t[i * g.t_row + j * g.t_col]) * x[j * x_row];
      rest += term;
      size += std::fabs(term);
    }
    const Wider<T> most = Wider<T>(g.n + 2) * std::numeric_limits<T>::epsilon() * size;  // one rounding a term, one of the division
    CHECK(std::fabs(rest) <= most,
          isa << " " << type_name<T>() << " " << what << ", " << g.n << " rows: " << double(rest) << " at " << i);
  }
}

template <class T>
void check_triangles(const Table& table) {
  constexpr T kAround = T(77);
  for (ptrdiff_t n : kSizes)
    for (bool by_rows : {true, false})
      for (bool backward : {false, true})
        for (bool unit : {false, true}) {
          std::vector<T> t = normal_values<T>(size_t(n * n), 1.0 / double(n));
          const ptrdiff_t way = backward ? -1 : 1;
          const auto start = [&](T* first, ptrdiff_t step) { return backward ? first + (n - 1) * step : first; };
          Triangle g{};
          g.t = start(t.data(), n + 1);
          g.n = n, g.t_row = way * (by_rows ? n : 1), g.t_col = way * (by_rows ? 1 : n), g.unit = unit;
          for (ptrdiff_t i = 0; i < n; ++i) t[size_t(i * (n + 1))] += T(2);
          for (ptrdiff_t i = 0; i < n; ++i)  // beyond the triangle, and on a diagonal of ones: never read
            for (ptrdiff_t j = i + (unit ? 0 : 1); j < n; ++j)
              const_cast<T*>(static_cast<const T*>(g.t))[i * g.t_row + j * g.t_col] = NAN;

          const std::vector<T> b = normal_values<T>(size_t(n));
          std::vector<T> column(size_t(n + 2), kAround);
          T* x = start(column.data() + 1, 1);
          for (ptrdiff_t i = 0; i < n; ++i) x[i * way] = b[size_t(i)];
          g.x = x, g.x_row = way, g.columns = 1;
          table.substitute_column[precision<T>()](g);
          check_triangle(table.isa, "column", g, b, x, way);
          CHECK(column.front() == kAround && column.back() == kAround, table.isa << " column of " << n << " rows wrote beyond");

          for (ptrdiff_t columns : {1, 7, 17}) {
            const ptrdiff_t row = columns + 1;
            std::vector<T> several(size_t(n * row), kAround);
            T* top = start(several.data(), row);
            std::vector<std::vector<T>> sides;
            for (ptrdiff_t j = 0; j < columns; ++j) {
              sides.push_back(normal_values<T>(size_t(n)));
              for (ptrdiff_t i = 0; i < n; ++i) top[i * way * row + j] = sides.back()[size_t(i)];
            }
            g.x = top, g.x_row = way * row, g.columns = columns;
            table.substitute_rows[precision<T>()](g);
            for (ptrdiff_t i = 0; i < n; ++i) {
              CHECK(several[size_t(i * row + columns)] == kAround, table.isa << " rows wrote beyond");
              for (ptrdiff_t j = 0; j < columns; ++j) several[size_t(i * row + j)] *= T(-1);
            }
            for (ptrdiff_t j = 0; j < columns; ++j) check_triangle(table.isa, "rows", g, sides[size_t(j)], top + j, way * row);
          }
        }
}

inline void check_triangular(const Table& table) {
  section(std::string("triangular ") + table.isa);
  check_triangles<float>(table);
  check_triangles<double>(table);
}

}  // namespace kernels_test
