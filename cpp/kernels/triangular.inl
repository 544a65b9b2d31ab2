// T x = b of a lower triangle T, by substitution; on the caller's thread.
//
// x_i = (b_i - sum over j < i of t_ij x_j) / t_ii. Strides may be negative: an upper triangle, its rows and columns in reverse, is a
// lower one.
#pragma once

#include "kernels/rows.inl"
#include "kernels/table.h"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// to[j] += factor * from[j]
template <class T>
LAMINA_INLINE void add_multiple(T* to, T factor, const T* from, ptrdiff_t n) {
  ptrdiff_t j = 0;
  for (; j + kLanes<T> <= n; j += kLanes<T>) store(to + j, fma(Vec<T>(factor), load(from + j), load(to + j)));
  for (; j < n; ++j) to[j] += factor * from[j];
}

template <class T>
LAMINA_INLINE T dot(const T* x, const T* y, ptrdiff_t n) {
  constexpr ptrdiff_t kSums = 4;  // a chain of multiply-adds waits four cycles for each
  Vec<T> sums[kSums] = {Vec<T>(T(0)), Vec<T>(T(0)), Vec<T>(T(0)), Vec<T>(T(0))};
  ptrdiff_t j = 0;
  for (; j + kSums * kLanes<T> <= n; j += kSums * kLanes<T>)
    for (ptrdiff_t s = 0; s < kSums; ++s) sums[s] = fma(load(x + j + s * kLanes<T>), load(y + j + s * kLanes<T>), sums[s]);
  for (; j + kLanes<T> <= n; j += kLanes<T>) sums[0] = fma(load(x + j), load(y + j), sums[0]);
  T total = merge_lanes<SumOf>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; j < n; ++j) total += x[j] * y[j];
  return total;
}

// One dense column: by rows of T, or by its columns, whichever lie dense; `step`: 1, or -1 where rows and columns are in reverse.
template <class T>
void substitute_column(const Triangle& g) {
  const T* t = static_cast<const T*>(g.t);
  T* x = static_cast<T*>(g.x);
  const bool forward = g.x_row == 1, by_rows = g.t_col == g.x_row;
  for (ptrdiff_t i = 0; i < g.n; ++i) {
    const ptrdiff_t rest = by_rows ? i : g.n - 1 - i;  // the unknowns before it, or after it
    const T* row = by_rows ? t + i * g.t_row : t + (i + 1) * g.t_row + i * g.t_col;
    T* others = by_rows ? x : x + (i + 1) * g.x_row;
    const ptrdiff_t first = forward || rest == 0 ? 0 : 1 - rest;  // where they begin in memory
    T& own = x[i * g.x_row];
    if (by_rows) own -= dot(row + first, others + first, rest);
    if (!g.unit) own /= t[i * (g.t_row + g.t_col)];
    if (!by_rows) add_multiple(others + first, -own, row + first, rest);
  }
}

// Several columns, in the rows of x. What is found is left with the other sign, so that it can be added where it is subtracted.
template <class T>
void substitute_rows(const Triangle& g) {
  const T* t = static_cast<const T*>(g.t);
  T* x = static_cast<T*>(g.x);
  for (ptrdiff_t i = 0; i < g.n; ++i) {
    T* to = x + i * g.x_row;
    for (ptrdiff_t j = 0; j < i; ++j) add_multiple(to, t[i * g.t_row + j * g.t_col], x + j * g.x_row, g.columns);
    const T diagonal = g.unit ? T(1) : t[i * (g.t_row + g.t_col)];
    for (ptrdiff_t j = 0; j < g.columns; ++j) to[j] /= -diagonal;
  }
}

LAMINA_KERNELS_END
