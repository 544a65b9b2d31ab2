// A x = b for a positive definite A of some hundred rows, by A = L L^T; row-major, on the caller's thread, the same bits always.
#pragma once

#include <cmath>
#include <cstdint>

namespace lamina {

// a . b; eight partial sums, which fill two vector registers and more
inline double dot(const double* a, const double* b, int64_t n) {
  double parts[8] = {};
  int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    for (int lane = 0; lane < 8; ++lane) parts[lane] += a[k + lane] * b[k + lane];
  }
  double sum = ((parts[0] + parts[4]) + (parts[1] + parts[5])) + ((parts[2] + parts[6]) + (parts[3] + parts[7]));
  for (; k < n; ++k) sum += a[k] * b[k];
  return sum;
}

// a: (n + 1, n), the rows of A (its lower triangle is read, and spoilt) and below them b, which becomes x.
// False where A is not positive definite in float64.
inline bool solve_positive(double* a, int64_t n) {
  // L[i][j] = (A[i][j] - L[i] . L[j]) / L[j][j] over the first j columns; b, one more row, becomes L^-1 b
  for (int64_t j = 0; j < n; ++j) {
    double* row = a + j * n;
    const double square = row[j] - dot(row, row, j);
    if (!(square > 0)) return false;
    row[j] = std::sqrt(square);
    for (int64_t i = j + 1; i <= n; ++i) a[i * n + j] = (a[i * n + j] - dot(a + i * n, row, j)) / row[j];
  }
  double* x = a + n * n;
  for (int64_t i = n - 1; i >= 0; --i) {
    const double* row = a + i * n;
    x[i] /= row[i];
    for (int64_t j = 0; j < i; ++j) x[j] -= x[i] * row[j];
  }
  return true;
}

}  // namespace lamina
