// What the steps of a least-squares problem tell of the part of its second derivative that J^T J lacks.
#pragma once

#include "kernels/cholesky.inl"

LAMINA_KERNELS_BEGIN

// to += A x for a symmetric A
LAMINA_INLINE void add_symmetric(double* to, const double* a, const double* x, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; ++i) add_multiple(to, x[i], a + i * n, n);
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
  for (ptrdiff_t i = 0; i < n; ++i) {
    double* row = s + i * n;
    for (ptrdiff_t j = 0; j < n; ++j) row[j] *= kept;
    add_multiple(row, missing[i], change, n);
    add_multiple(row, change[i], missing, n);
  }
}

LAMINA_KERNELS_END
