// Products of few columns, or of one row, as dot products: c[i, j] = start[i, j] + sum over k of a[i, k] bt[j, k], both rows dense.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/rows.inl"

LAMINA_KERNELS_BEGIN

constexpr int kNarrowRows = 2;
constexpr int kNarrowCols = kRegisters == 32 ? 4 : 3;
constexpr int kTallRows = 4;                           // of a single column,
constexpr int kVectorRows = kRegisters == 32 ? 8 : 4;  // and of many rows

// The products of kRows x kCols elements, lane by lane in two sums each.
template <class T, int kRows, int kCols>
LAMINA_INLINE void dot_lanes(const Product<T>& p, Vec<T> (&total)[kRows][kCols]) {
  constexpr int kChains = 2;
  Vec<T> sum[kRows][kCols][kChains];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) sum[r][j][0] = sum[r][j][1] = Vec<T>(0.0);
  const T *a = p.a, *b = p.b;
  const auto multiply = [&](ptrdiff_t at, int chain, auto read) {
    Vec<T> column[kCols];
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) column[j] = read(b + j * p.b_row + at);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec<T> row = read(a + r * p.a_row + at);
#pragma GCC unroll 8
      for (int j = 0; j < kCols; ++j) sum[r][j][chain] = fma(row, column[j], sum[r][j][chain]);
    }
  };
  const auto full = [](const T* x) { return load(x); };
  ptrdiff_t i = 0;
  for (; i + kChains * kLanes<T> <= p.k; i += kChains * kLanes<T>) {
    multiply(i, 0, full);
    multiply(i + kLanes<T>, 1, full);
  }
  if (i + kLanes<T> <= p.k) {
    multiply(i, 0, full);
    i += kLanes<T>;
  }
  if (i < p.k) multiply(i, 1, [n = p.k - i](const T* x) { return load(x, n); });
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) total[r][j] = sum[r][j][0] + sum[r][j][1];
}

template <class T, int kRows, int kCols>
[[gnu::noinline]] void dot_tile(const Product<T>& product) {
  const Product<T> p = product;
  Vec<T> sum[kRows][kCols];
  dot_lanes(p, sum);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) {
      const T total = merge_lanes<SumOf>(sum[r][j]);
      T& c = p.c[r * p.c_row + j];
      c = p.start ? p.start[r * p.start_row + j] + total : total;
    }
}

// Of as many rows as a vector has lanes, whose sums are merged at once.
template <class T, int kCols>
[[gnu::noinline]] void dot_vectors(const Product<T>& product) {
  constexpr int kMost = kCols == 1 ? kVectorRows : kNarrowRows, kRows = kLanes<T> < kMost ? kLanes<T> : kMost;
  Product<T> p = product;
  Vec<T> sum[kCols][kLanes<T>];
  for (int r = 0; r < kLanes<T>; r += kRows, p.a += kRows * p.a_row) {
    Vec<T> some[kRows][kCols];
    dot_lanes(p, some);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < kCols; ++j) sum[j][r + i] = some[i][j];
  }
  for (int j = 0; j < kCols; ++j) {
    const Vec<T> total = merge_rows<SumOf, T>([s = sum[j]](int i) { return s[i]; });
    if constexpr (kCols == 1)
      if (p.c_row == 1 && (!p.start || p.start_row == 1)) return store(p.c, p.start ? load(p.start) + total : total);
    alignas(kVectorBytes) T rows[kLanes<T>];
    store(rows, total);
    for (int r = 0; r < kLanes<T>; ++r) p.c[r * p.c_row + j] = p.start ? p.start[r * p.start_row + j] + rows[r] : rows[r];
  }
}

// The first of `rows` rows; how many that were.
template <class T, int kCols>
int run_dots(const Product<T>& p, ptrdiff_t rows) {
  constexpr int kSome = kCols == 1 ? kTallRows : kNarrowRows;
  if (rows >= kLanes<T>) return dot_vectors<T, kCols>(p), kLanes<T>;
  if (rows >= kSome) return dot_tile<T, kSome, kCols>(p), kSome;
  return dot_tile<T, 1, kCols>(p), 1;
}

template <class T>
int run_dots(const Product<T>& p, ptrdiff_t rows, ptrdiff_t cols) {
  switch (cols) {
    case 1: return run_dots<T, 1>(p, rows);
    case 2: return run_dots<T, 2>(p, rows);
    case 3: return run_dots<T, 3>(p, rows);
    default: return run_dots<T, kNarrowCols>(p, rows);
  }
}

// Some rows at a time, so that they are near for all columns.
template <class T>
void narrow(const GemmArgs& g) {
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  T* c = static_cast<T*>(g.c);
  const T* start = static_cast<const T*>(g.start);
  Product<T> p = {g.k, a, g.a_row, 1, g.a_row, b, g.b_row, c, g.c_row, 0, 0, start, g.start_row};
  const ptrdiff_t parts = parts_of(g.n, kNarrowCols), fewer = g.n > 0 ? g.n / parts : 0;
  for (ptrdiff_t first = 0; first < g.m; first += kLanes<T>) {
    const ptrdiff_t last = least(first + kLanes<T>, g.m);
    for (ptrdiff_t j = 0, part = 0, cols; j < g.n; j += cols, ++part) {
      cols = fewer + (part < g.n - fewer * parts);
      p.b = b + j * g.b_row;
      for (ptrdiff_t i = first; i < last;) {
        p.a = a + i * g.a_row;
        p.c = c + i * g.c_row + j;
        if (start) p.start = start + i * g.start_row + j;
        i += run_dots(p, last - i, cols);
      }
    }
  }
}

LAMINA_KERNELS_END
