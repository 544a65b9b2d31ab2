// Elimination: the factors and the order of rows give the matrix back; columns beyond `end` wait; systems are solved.
#pragma once

#include <algorithm>

#include "kernels_common.h"

namespace kernels_test {

inline void check_factors(const Table& table, ptrdiff_t m, ptrdiff_t n, bool singular) {
  const ptrdiff_t row = (n + 7) / 8 * 8, steps = std::min(m, n), half = steps / 16 * 8;
  std::vector<double> given = normal_values<double>(size_t(m * row));
  for (ptrdiff_t i = 0; i < m; ++i) {
    for (ptrdiff_t j = n; j < row; ++j) given[size_t(i * row + j)] = 0;
    if (singular) given[size_t(i * row + n / 2)] = 0;
  }
  std::vector<double> a = given;
  std::vector<int64_t> order(size_t(m + 1), 77);
  for (ptrdiff_t i = 0; i < m; ++i) order[size_t(i)] = i;

  // The first half of the columns alone: those that wait are exchanged with their rows, and else as they were.
  bool odd = table.eliminate({a.data(), row, m, 0, half, half, order.data()});
  for (ptrdiff_t i = 0; i < m; ++i)
    for (ptrdiff_t j = half; j < row; ++j)
      CHECK(a[size_t(i * row + j)] == given[size_t(order[size_t(i)] * row + j)], table.isa << " elimination touched what waits");
  for (ptrdiff_t i = 0; i < m; ++i)  // what they would have become
    for (ptrdiff_t j = half; j < row; ++j)
      for (ptrdiff_t k = 0; k < std::min(i, half); ++k) a[size_t(i * row + j)] -= a[size_t(i * row + k)] * a[size_t(k * row + j)];
  odd ^= table.eliminate({a.data(), row, m, half, steps, row, order.data()});

  CHECK(order.back() == 77, table.isa << " elimination wrote beyond the order");
  bool is_odd = false;
  for (ptrdiff_t i = 0; i < m; ++i) {
    CHECK(std::count(order.begin(), order.end() - 1, i) == 1, table.isa << " elimination: row " << i << " is not there once");
    for (ptrdiff_t j = 0; j < i; ++j) is_odd ^= order[size_t(j)] > order[size_t(i)];
  }
  CHECK(is_odd == odd, table.isa << " elimination: the sign of the exchanges");
  for (ptrdiff_t i = 0; i < m; ++i)
    for (ptrdiff_t j = 0; j < n; ++j) {
      long double sum = i <= j ? a[size_t(i * row + j)] : 0, size = 0;
      for (ptrdiff_t k = 0; k < std::min({i, j + 1, steps}); ++k)
        sum += (long double)(a[size_t(i * row + k)]) * a[size_t(k * row + j)];
      for (ptrdiff_t k = 0; k <= std::min({i, j, steps - 1}); ++k) size += std::fabs(a[size_t(k * row + j)]);
      if (i > j) CHECK(std::fabs(a[size_t(i * row + j)]) <= 1, table.isa << " elimination: a pivot was not the largest");
      const long double rest = std::fabs(sum - given[size_t(order[size_t(i)] * row + j)]);
      CHECK(rest <= (long double)(n + 2) * 2.3e-16L * size,
            table.isa << " elimination " << m << " x " << n << ": off by " << double(rest));
    }
}

inline void check_elimination(const Table& table) {
  section(std::string("elimination ") + table.isa);
  for (ptrdiff_t m : {1, 2, 3, 7, 8, 9, 16, 17, 40})
    for (ptrdiff_t n : {1, 2, 7, 8, 9, 17, 40})
      for (bool singular : {false, true}) check_factors(table, m, n, singular);

  for (ptrdiff_t n : {1, 2, 7, 8, 9, 17, 33})
    for (ptrdiff_t columns : {1, 8, 11}) {
      const ptrdiff_t right = (n + 7) / 8 * 8, row = right + (columns + 7) / 8 * 8;
      std::vector<double> a = normal_values<double>(size_t(n * row));
      for (ptrdiff_t i = 0; i < n; ++i) a[size_t(i * row + i)] += a[size_t(i * row + i)] < 0 ? -3 : 3;
      const std::vector<double> given = a;
      table.substitute_upwards(a.data(), row, n, right);
      for (ptrdiff_t i = 0; i < n; ++i) {
        for (ptrdiff_t j = 0; j < right; ++j)
          CHECK(a[size_t(i * row + j)] == given[size_t(i * row + j)], table.isa << " changed U");
        for (ptrdiff_t c = right; c < right + columns; ++c) {
          long double rest = -given[size_t(i * row + c)], size = std::fabs(rest);
          for (ptrdiff_t j = i; j < n; ++j) {
            rest += (long double)(given[size_t(i * row + j)]) * a[size_t(j * row + c)];
            size += std::fabs((long double)(given[size_t(i * row + j)]) * a[size_t(j * row + c)]);
          }
          CHECK(std::fabs(rest) <= (long double)(n + 2) * 2.3e-16L * size, table.isa << " upwards, " << n << " rows: off at " << i);
        }
      }
    }
}

}  // namespace kernels_test
