// A x = b for a positive definite A of some hundred rows, by A = U^T U; on the caller's thread.
//
// In the rows of the room stand -A and, as one more column, -b: to them products of rows of U are added, none is taken off. A row ends
// with numbers of no meaning, up to whole lines; where rows do not begin with a vector, a last one runs on to the left of the next row's
// diagonal.
#pragma once

#include "kernels/gemm.inl"
#include "kernels/triangular.inl"

LAMINA_KERNELS_BEGIN

constexpr int kCholeskyRows = kOneTileRows;                                             // of U that are found together
constexpr int kCholeskySquare = (kCholeskyRows + kLanes<double> - 1) / kLanes<double>;  // vectors where they meet their own columns
constexpr int kCholeskyVectors = kAccumulators / kCholeskyRows;                         // of further columns at a time
constexpr ptrdiff_t kCholeskyDepth = 256;                                               // rows above them that are added at once,
// from so many columns: of more, block() would pack them, and want room for it (see is_far_b)
constexpr ptrdiff_t kCholeskyCols = kFarB / (kCholeskyDepth * ptrdiff_t(sizeof(double))) - 64;

// a: -(scale (h + more) + D), -b
template <bool kMore>
LAMINA_INLINE void fill_positive(const PositiveTerms& terms, double* a, ptrdiff_t n) {
  const double scale = -terms.scale, *h = terms.h, *more = terms.more;
  const ptrdiff_t row = positive_row(n);
  for (ptrdiff_t i = 0; i < n; ++i, a += row + 1) {
    const ptrdiff_t rest = n - i;
    ptrdiff_t j = 0;
    for (; j + kLanes<double> <= rest; j += kLanes<double>)
      store(a + j, Vec<double>(scale) * (kMore ? load(h + j) + load(more + j) : load(h + j)));
    for (; j < rest; ++j) a[j] = scale * (kMore ? h[j] + more[j] : h[j]);
    a[0] -= terms.shift[terms.uniform ? 0 : i];
    a[rest] = -terms.b[i];
    for (j = rest + 1; j < row - i; ++j) a[j] = 0;
    h += terms.packed ? rest : n + 1;
    if (kMore) more += terms.packed ? rest : n + 1;
  }
}

// Rows [first, last) from the column `first` on, to which the rows of U above them are added.
LAMINA_INLINE void add_above(double* a, ptrdiff_t row, ptrdiff_t first, ptrdiff_t last) {
  double* rest = a + first * row + first;
  for (ptrdiff_t top = 0; top < first; top += kCholeskyDepth) {
    const double* above = a + top * row + first;
    for (ptrdiff_t at = 0; at < row - first; at += kCholeskyCols)
      block<double>({last - first, smaller(row - first - at, kCholeskyCols), smaller(first - top, kCholeskyDepth), above, 1, row,
                     above + at, row, 1, rest + at, row, rest + at, row});
  }
}

// What is left in kCholeskyRows rows at `a`, in kVectors vectors of columns, made U's: `u` is where these rows meet their own columns,
// and for kOwn it is what is made, with the factors by which the rows are multiplied. False where A is not positive definite.
template <int kVectors, bool kOwn>
LAMINA_INLINE bool finish_rows(double* a, ptrdiff_t row, const double* u, double* factors) {
  Vec<double> left[kCholeskyRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kCholeskyRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) left[r][v] = load(a + r * row + v * kLanes<double>);
#pragma GCC unroll 8
  for (int k = 0; k < kCholeskyRows; ++k) {
    if constexpr (kOwn) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) store(a + k * row + v * kLanes<double>, left[k][v]);
      const double square = -a[k * row + k];
      if (!(square > 0)) return false;
      factors[k] = -1 / __builtin_sqrt(square);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      left[k][v] = left[k][v] * Vec<double>(factors[k]);
      store(a + k * row + v * kLanes<double>, left[k][v]);
    }
#pragma GCC unroll 8
    for (int r = k + 1; r < kCholeskyRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) left[r][v] = fma(Vec<double>(u[k * row + r]), left[k][v], left[r][v]);
  }
  return true;
}

// Rows [first, last), to which all above them are added already.
LAMINA_INLINE bool finish_panel(double* a, ptrdiff_t row, ptrdiff_t first, ptrdiff_t last) {
  constexpr ptrdiff_t kSquare = kCholeskySquare * kLanes<double>, kWide = kCholeskyVectors * kLanes<double>;
  double* own = a + first * row + first;
  if (last - first == kCholeskyRows) {
    double factors[kCholeskyRows];
    if (!finish_rows<kCholeskySquare, true>(own, row, own, factors)) return false;
    const ptrdiff_t rest = row - first;
    ptrdiff_t j = kSquare;
    for (; j + kWide <= rest; j += kWide) finish_rows<kCholeskyVectors, false>(own + j, row, own, factors);
    for (; j < rest; j += kLanes<double>) finish_rows<1, false>(own + j, row, own, factors);
    return true;
  }
  for (ptrdiff_t i = first; i < last; ++i) {
    double* to = a + i * row + i;
    for (ptrdiff_t k = first; k < i; ++k) add_multiple(to, a[k * row + i], a + k * row + i, last + 1 - i);
    if (!(-*to > 0)) return false;
    const double factor = -1 / __builtin_sqrt(-*to);
    for (ptrdiff_t j = 0; j <= last - i; ++j) to[j] *= factor;
  }
  return true;
}

// U x = y, y in x: several rows at a time, whose sums over what is known do not wait for each other.
[[gnu::noinline]] void substitute_back(const double* a, double* x, ptrdiff_t n) {
  const ptrdiff_t row = positive_row(n);
  for (ptrdiff_t end = n; end > 0;) {
    const ptrdiff_t first = end > kCholeskyRows ? end - kCholeskyRows : 0;
    double factors[kCholeskyRows];
    for (ptrdiff_t i = first; i < end; ++i) {
      x[i] -= dot(a + i * row + end, x + end, n - end);
      factors[i - first] = 1 / a[i * row + i];
    }
    for (ptrdiff_t i = end - 1; i >= first; --i) {
      x[i] *= factors[i - first];
      for (ptrdiff_t k = first; k < i; ++k) x[k] -= a[k * row + i] * x[i];
    }
    end = first;
  }
}

bool solve_positive(const PositiveTerms& terms, double* a, double* x, ptrdiff_t n) {
  terms.more ? fill_positive<true>(terms, a, n) : fill_positive<false>(terms, a, n);
  // U[i][j] = (A[i][j] - sum over k < i of U[k][i] U[k][j]) / U[i][i]; b, one more column, becomes U^-T b
  const ptrdiff_t row = positive_row(n);
  for (ptrdiff_t first = 0; first < n; first += kCholeskyRows) {
    const ptrdiff_t last = smaller(first + kCholeskyRows, n);
    add_above(a, row, first, last);
    if (!finish_panel(a, row, first, last)) return false;
  }
  for (ptrdiff_t i = 0; i < n; ++i) x[i] = a[i * row + n];
  substitute_back(a, x, n);
  return true;
}

// Another b, in x, with the U that solve_positive left.
void solve_again(const double* a, double* x, ptrdiff_t n) {
  const ptrdiff_t row = positive_row(n);
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double* u = a + i * (row + 1);
    x[i] /= u[0];
    add_multiple(x + i + 1, -x[i], u + 1, n - 1 - i);
  }
  substitute_back(a, x, n);
}

LAMINA_KERNELS_END
