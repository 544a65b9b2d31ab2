// Positive definite systems: the residual of the solution, and no solution where there is none. The curvature that a step shows.
#pragma once

#include <algorithm>
#include <set>
#include <utility>

#include "kernels_common.h"

namespace kernels_test {

// Rows so long that a product of them would be packed. The factorization ends early, at a number that is not positive; the rows of U
// above it, of whole panels, say what was subtracted: U^T U = A there.
inline void check_wide_cholesky(const Table& table) {
  constexpr ptrdiff_t n = 4500, row = lamina::kernels::positive_row(n), end = 312;
  const auto element = [](ptrdiff_t i, ptrdiff_t j) { return i == j ? 81.0 : 1.0 / double(1 + (7 * i + 3 * j) % 31); };
  std::vector<double> h(size_t(n * (n + 1) / 2)), b(static_cast<size_t>(n)), u(size_t(lamina::kernels::positive_room(n)));
  const double none = 0;
  double* to = h.data();
  for (ptrdiff_t i = 0; i < end; ++i) {
    for (ptrdiff_t j = i; j < n; ++j) *to++ = element(i, j);
    b[size_t(i)] = element(i, n);
  }
  *to = -1;
  CHECK(!table.solve_positive({h.data(), nullptr, true, 1.0, &none, true, b.data()}, u.data(), b.data(), n),
        table.isa << " wide cholesky: took a negative diagonal");
  for (ptrdiff_t i : {0, 255, 258, 297, 311})
    for (ptrdiff_t j : {i, i + 1, ptrdiff_t(4030), ptrdiff_t(4300), n - 1, n}) {
      double sum = 0;
      for (ptrdiff_t k = 0; k <= i; ++k) sum += u[size_t(k * row + i)] * u[size_t(k * row + j)];
      const double right = element(i, j);
      CHECK(std::fabs(sum - right) <= 1e-12, table.isa << " wide cholesky " << i << ", " << j << ": " << sum << ", not " << right);
    }
}

// For a step s and a change y of the gradient (Dennis, Gay and Welsch 1981), of the rows of the upper triangles:
// S = kept S + (r y^T + y r^T) / s.y - s.r / (s.y)^2 y y^T, r = y - H s - kept S s, kept = min(1, |s.(y - H s)| / |s.S s|)
// So (H + S) s = y.
inline void check_secant(const Table& table) {
  std::set<bool> shrinks;
  for (ptrdiff_t n : {1, 2, 7, 8, 9, 15, 16, 17, 33}) {
    const auto size = size_t(n);
    std::vector<double> s(size * (size + 1) / 2 + 1, 77.0), h(size * (size + 1) / 2), scratch(2 * size + 1, 77.0);
    const auto at = [size](size_t i, size_t j) { return i <= j ? i * size - i * (i + 1) / 2 + j : j * size - j * (j + 1) / 2 + i; };
    std::vector<double> step = normal_values<double>(size), change = step;
    const std::vector<double> some = normal_values<double>(2 * size * size);
    for (size_t i = 0; i < size; ++i) {
      for (size_t j = i; j < size; ++j) {
        s[at(i, j)] = some[i * size + j];
        h[at(i, j)] = some[(size + i) * size + j];
      }
      change[i] += 0.1 * some[i];  // step . change > 0
    }
    const auto times_step = [&](const std::vector<double>& matrix, size_t i) {
      double sum = 0;
      for (size_t j = 0; j < size; ++j) sum += matrix[at(i, j)] * step[j];
      return sum;
    };
    std::vector<double> right = s, rest(size), known(size);
    double along = 0, wanted = 0, had = 0, left = 0;
    for (size_t i = 0; i < size; ++i) {
      rest[i] = change[i] - times_step(h, i);
      known[i] = times_step(s, i);
      along += step[i] * change[i], wanted += step[i] * rest[i], had += step[i] * known[i];
    }
    const double kept = std::min(1.0, std::fabs(wanted) / std::fabs(had));
    shrinks.insert(kept < 1);
    for (size_t i = 0; i < size; ++i) left += step[i] * (rest[i] -= kept * known[i]);
    for (size_t i = 0; i < size; ++i)
      for (size_t j = i; j < size; ++j)
        right[at(i, j)] = kept * s[at(i, j)] + (rest[i] * change[j] + change[i] * rest[j]) / along -
                          left / (along * along) * change[i] * change[j];
    table.secant(s.data(), h.data(), step.data(), change.data(), n, scratch.data());
    for (size_t i = 0; i < size; ++i) {
      const double residual = change[i] - times_step(h, i) - times_step(s, i);
      CHECK(std::fabs(residual) <= 1e-11 * double(n), table.isa << " secant of " << n << " rows, residual " << residual);
    }
    for (size_t i = 0; i < right.size(); ++i)
      CHECK(std::fabs(s[i] - right[i]) <= 1e-11 * double(n),
            table.isa << " secant of " << n << " rows: " << s[i] << " for " << right[i]);
    CHECK(scratch.back() == 77.0 && s.back() == 77.0, table.isa << " secant wrote beyond");
  }
  CHECK(shrinks.size() == 2, "of some S all is kept, of others a part");
}

// (2 (H + S) + D) x = b, of matrices whose lower triangles are not numbers, or are not there.
inline void check_cholesky(const Table& table, ptrdiff_t n, bool packed, bool second, bool uniform) {
  const std::vector<double> root = normal_values<double>(size_t(n * n)), b = normal_values<double>(size_t(n));
  std::vector<double> matrix(size_t(n * n)), h, more, shift(size_t(uniform ? 1 : n));
  for (size_t i = 0; i < shift.size(); ++i) shift[i] = double(n) + double(i % 3);
  for (ptrdiff_t i = 0; i < n; ++i)
    for (ptrdiff_t j = 0; j < n; ++j) {
      double sum = 0;
      for (ptrdiff_t k = 0; k < n; ++k) sum += root[size_t(k * n + i)] * root[size_t(k * n + j)];
      const double part = second ? 0.1 * double((i + j) % 4) : 0;
      matrix[size_t(i * n + j)] = sum + (i == j ? shift[uniform ? 0 : size_t(i)] : 0);
      if (packed && j < i) continue;
      h.push_back(j < i ? NAN : sum / 2 - part);
      more.push_back(j < i ? NAN : part);
    }
  std::vector<double> room(size_t(lamina::kernels::positive_room(n) + 1), 77.0), x(size_t(n + 1), 77.0);
  const auto solve = [&] {
    return table.solve_positive({h.data(), second ? more.data() : nullptr, packed, 2.0, shift.data(), uniform, b.data()},
                                room.data(), x.data(), n);
  };
  const auto check_solution = [&](const std::vector<double>& want) {
    for (ptrdiff_t i = 0; i < n; ++i) {
      double rest = want[size_t(i)];
      for (ptrdiff_t j = 0; j < n; ++j) rest -= matrix[size_t(i * n + j)] * x[size_t(j)];
      CHECK(std::fabs(rest) <= 1e-13 * double(n), table.isa << " cholesky of " << n << " rows, residual " << rest << " at " << i);
    }
    CHECK(room.back() == 77.0 && x.back() == 77.0, table.isa << " cholesky wrote beyond");
  };
  CHECK(solve(), table.isa << " cholesky of " << n << " rows: not positive definite");
  check_solution(b);
  for (int again = 0; again < 2; ++again) {
    const std::vector<double> other = normal_values<double>(size_t(n));
    std::copy(other.begin(), other.end(), x.begin());
    table.solve_again(room.data(), x.data(), n);
    check_solution(other);
  }
  for (ptrdiff_t bad : {ptrdiff_t(0), n / 2, n - 1})
    for (double number : {-1e3 * double(n), double(NAN)}) {
      double& diagonal = h[size_t(packed ? bad * n - bad * (bad - 1) / 2 : bad * (n + 1))];
      const double kept = std::exchange(diagonal, number);
      CHECK(!solve(), table.isa << " cholesky of " << n << " rows: took " << number);
      diagonal = kept;
    }
}

inline void check_cholesky(const Table& table) {
  section(std::string("cholesky ") + table.isa);
  check_wide_cholesky(table);
  check_secant(table);
  for (ptrdiff_t n : {1, 2, 3, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 31, 32, 33, 64, 65, 150, 300, 520})
    for (int way : {0, 1, 2, 4, 7})
      if (n < 300 || way == 7) check_cholesky(table, n, way & 1, way & 2, way & 4);
}

}  // namespace kernels_test
