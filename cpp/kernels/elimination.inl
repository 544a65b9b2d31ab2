// Gaussian elimination of a matrix of some rows, with others to its right, and substitution; on the caller's thread.
//
// Rows are read and written by whole vectors that begin at the same places each time: what has just been stored is found at once.
#pragma once

#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// to[j] -= factor * from[j] for j from `begin` to `end`, whole vectors.
LAMINA_INLINE void take_multiple(double* to, double factor, const double* from, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t j = begin; j < end; j += kLanes<double>) store(to + j, fma(Vec<double>(-factor), load(from + j), load(to + j)));
}

bool eliminate(const Elimination& e) {
  bool odd = false;
  for (ptrdiff_t j = e.first; j < e.last; ++j) {
    double* own = e.a + j * e.row;
    ptrdiff_t pivot = j;
    for (ptrdiff_t i = j + 1; i < e.m; ++i)
      if (__builtin_fabs(e.a[i * e.row + j]) > __builtin_fabs(e.a[pivot * e.row + j])) pivot = i;
    if (pivot != j) {
      odd = !odd;
      const int64_t kept = e.order[j];
      e.order[j] = e.order[pivot], e.order[pivot] = kept;
      double* other = e.a + pivot * e.row;
      for (ptrdiff_t c = 0; c < e.row; c += kLanes<double>) {
        const Vec<double> x = load(own + c);
        store(own + c, load(other + c));
        store(other + c, x);
      }
    }
    const double diagonal = own[j];
    if (diagonal == 0) continue;  // and so are all below it
    const ptrdiff_t first = j / kLanes<double> * kLanes<double>;
    const Vec<double> lane = lane_index<double>(), at(double(j - first));
    const Vec<double> rest = where(lane > at, load(own + first), Vec<double>(0.0));
    for (ptrdiff_t i = j + 1; i < e.m; ++i) {
      double* to = e.a + i * e.row;
      const double factor = to[j] / diagonal;
      store(to + first, where(lane == at, Vec<double>(factor), fma(Vec<double>(-factor), rest, load(to + first))));
      take_multiple(to, factor, own, first + kLanes<double>, e.end);
    }
  }
  return odd;
}

void substitute_upwards(double* a, ptrdiff_t row, ptrdiff_t n, ptrdiff_t right) {
  for (ptrdiff_t i = n; i-- > 0;) {
    double* own = a + i * row;
    for (ptrdiff_t c = right; c < row; c += kLanes<double>) store(own + c, load(own + c) / Vec<double>(own[i]));
    for (ptrdiff_t above = 0; above < i; ++above) take_multiple(a + above * row, a[above * row + i], own, right, row);
  }
}

LAMINA_KERNELS_END
