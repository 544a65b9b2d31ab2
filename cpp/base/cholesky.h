// A x = b for a positive definite A of some hundred rows, by A = L L^T; row-major, on the caller's thread, the same bits always.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace lamina {

typedef double Pair __attribute__((vector_size(16)));  // a register that every processor has

constexpr int kCholeskyRows = 2, kCholeskyCols = 4;  // 8 sums and 6 pairs that are read: the 16 registers

inline Pair pair_at(const double* p) {
  Pair v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// a_i[first + j] -= a_i . b_j over the columns before `first`, for rows of n numbers; n_rows <= kCholeskyRows
template <int n_rows>
inline void subtract_products(double* a, const double* b, int64_t first, int64_t n) {
  Pair sums[n_rows][kCholeskyCols] = {};
  int64_t k = 0;
  for (; k + 2 <= first; k += 2) {
    Pair left[n_rows];
    for (int i = 0; i < n_rows; ++i) left[i] = pair_at(a + i * n + k);
    for (int j = 0; j < kCholeskyCols; ++j) {
      const Pair right = pair_at(b + j * n + k);
      for (int i = 0; i < n_rows; ++i) sums[i][j] += left[i] * right;
    }
  }
  for (int i = 0; i < n_rows; ++i)
    for (int j = 0; j < kCholeskyCols; ++j) a[i * n + first + j] -= sums[i][j][0] + sums[i][j][1];
}

// a: (n + 1, n), the rows of A (its lower triangle is read, and spoilt) and below them b, which becomes x.
// False where A is not positive definite in float64.
inline bool solve_positive(double* a, int64_t n) {
  // L[i][j] = (A[i][j] - L[i] . L[j]) / L[j][j] over the first j columns; b, one more row, becomes L^-1 b
  for (int64_t first = 0; first < n; first += kCholeskyCols) {
    const int64_t last = std::min<int64_t>(first + kCholeskyCols, n);
    const bool whole = last - first == kCholeskyCols;
    int64_t i = first;
    for (; whole && i + kCholeskyRows <= n + 1; i += kCholeskyRows)
      subtract_products<kCholeskyRows>(a + i * n, a + first * n, first, n);
    for (; whole && i <= n; ++i) subtract_products<1>(a + i * n, a + first * n, first, n);
    for (i = first; i <= n; ++i) {
      double* row = a + i * n;
      for (int64_t j = first; j < std::min(last, i + 1); ++j) {
        const double* other = a + j * n;
        double rest = row[j];
        for (int64_t k = whole ? first : 0; k < j; ++k) rest -= row[k] * other[k];
        if (i == j && !(rest > 0)) return false;
        row[j] = i == j ? std::sqrt(rest) : rest / other[j];
      }
    }
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
