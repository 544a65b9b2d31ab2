// What the steps of a least-squares problem tell of the part of its second derivative that J^T J lacks.
#pragma once

#include "kernels/cholesky.inl"

LAMINA_KERNELS_BEGIN

// to += A x for a symmetric A, of which the rows of the upper triangle are there.
[[gnu::noinline]] void add_symmetric(double* to, const double* a, const double* x, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; a += n - i, ++i) {
    const ptrdiff_t rest = n - i - 1;
    to[i] += a[0] * x[i] + dot(a + 1, x + i + 1, rest);
    add_multiple(to + i + 1, x[i], a + 1, rest);
  }
}

// row[j] = kept row[j] + a x[j] + b y[j]
LAMINA_INLINE void combine(double* row, double kept, double a, const double* x, double b, const double* y, ptrdiff_t n) {
  ptrdiff_t j = 0;
  for (; j + kLanes<double> <= n; j += kLanes<double>)
    store(row + j, fma(Vec<double>(b), load(y + j), fma(Vec<double>(a), load(x + j), Vec<double>(kept) * load(row + j))));
  for (; j < n; ++j) row[j] = kept * row[j] + a * x[j] + b * y[j];
}

void secant(double* s, const double* h, const double* step, const double* change, ptrdiff_t n, double* scratch) {
  double *known = scratch, *missing = scratch + n;  // S step, and what H step and it leave of the change
  for (ptrdiff_t i = 0; i < n; ++i) known[i] = missing[i] = 0;
  add_symmetric(known, s, step, n);
  add_symmetric(missing, h, step, n);
  for (ptrdiff_t i = 0; i < n; ++i) missing[i] = change[i] - missing[i];
  const double along = dot(step, change, n), wanted = dot(step, missing, n), had = dot(step, known, n);
  const double ratio = __builtin_fabs(wanted) / __builtin_fmax(__builtin_fabs(had), 1e-300), kept = ratio < 1 ? ratio : 1;
  const double half = (wanted - kept * had) / (2 * along * along);
  for (ptrdiff_t i = 0; i < n; ++i) missing[i] = (missing[i] - kept * known[i]) / along - half * change[i];
  for (ptrdiff_t i = 0; i < n; s += n - i, ++i) combine(s, kept, missing[i], change + i, change[i], missing + i, n - i);
}

LAMINA_KERNELS_END
