// A x = b for a positive definite A of some hundred rows, by A = U^T U; on the caller's thread.
#pragma once

#include "kernels/gemm.inl"
#include "kernels/triangular.inl"

LAMINA_KERNELS_BEGIN

constexpr ptrdiff_t kCholeskyRows = kTileRows;  // of U that are found together
constexpr ptrdiff_t kCholeskyDepth = 256;       // rows above them that are subtracted at once,
// from so many columns: of more, block() would pack them, and want room for it (see is_far_b)
constexpr ptrdiff_t kCholeskyCols = kFarB / (kCholeskyDepth * ptrdiff_t(sizeof(double))) - 64;

// U x = y, y in x
LAMINA_INLINE void substitute_back(const double* a, double* x, ptrdiff_t n) {
  for (ptrdiff_t i = n - 1; i >= 0; --i) {
    const double* u = a + i * (n + 1);
    x[i] = (x[i] - dot(u + i + 1, x + i + 1, n - 1 - i)) / u[i];
  }
}

// a: (n, n + 1), the rows of A (its upper triangle is read, and becomes U), each followed by its number of b. False where A is not
// positive definite in float64.
bool solve_positive(double* a, double* x, ptrdiff_t n) {
  const ptrdiff_t row = n + 1;
  alignas(64) double minus[kCholeskyDepth * kCholeskyRows];
  // U[i][j] = (A[i][j] - sum over k < i of U[k][i] U[k][j]) / U[i][i]; b, one more column, becomes U^-T b
  for (ptrdiff_t first = 0; first < n; first += kCholeskyRows) {
    const ptrdiff_t rows = least(n - first, kCholeskyRows);
    for (ptrdiff_t top = 0; top < first; top += kCholeskyDepth) {
      const ptrdiff_t depth = least(first - top, kCholeskyDepth);
      for (ptrdiff_t k = 0; k < depth; ++k)
        for (ptrdiff_t r = 0; r < rows; ++r) minus[k * rows + r] = -a[(top + k) * row + first + r];
      const double* above = a + top * row + first;
      double* rest = a + first * row + first;
      for (ptrdiff_t at = 0; at < row - first; at += kCholeskyCols)
        block<double>({rows, least(row - first - at, kCholeskyCols), depth, minus, 1, rows, above + at, row, 1, rest + at, row,
                       rest + at, row});
    }
    for (ptrdiff_t i = first; i < first + rows; ++i) {
      double* to = a + i * row + i;
      for (ptrdiff_t k = first; k < i; ++k) add_multiple(to, -a[k * row + i], a + k * row + i, row - i);
      if (!(*to > 0)) return false;
      const double inverse = 1 / __builtin_sqrt(*to);
      for (ptrdiff_t j = 0; j < row - i; ++j) to[j] *= inverse;
    }
  }
  for (ptrdiff_t i = 0; i < n; ++i) x[i] = a[i * row + n];
  substitute_back(a, x, n);
  return true;
}

// Another b, in x, with the U that solve_positive left.
void solve_again(const double* a, double* x, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double* u = a + i * (n + 1);
    x[i] /= u[i];
    add_multiple(x + i + 1, -x[i], u + i + 1, n - 1 - i);
  }
  substitute_back(a, x, n);
}

LAMINA_KERNELS_END
