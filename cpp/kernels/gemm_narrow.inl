// Products of few columns, or of one row, as dot products: c[i, j] = start[i, j] + sum over k of a[i, k] bt[j, k], both rows dense.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/rows.inl"

LAMINA_KERNELS_BEGIN

constexpr int kNarrowRows = 2;
constexpr int kNarrowCols = 3;
constexpr int kTallRows = 4;                           // of a single column,
constexpr int kVectorRows = kRegisters == 32 ? 8 : 4;  // and where the elements of a vector are neighbours

// The products of kRows x kCols elements, lane by lane in two sums each: 12 independent chains at most.
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

// Of a single column, a vector's elements that are neighbours: their lanes are merged at once.
template <class T>
[[gnu::noinline]] void dot_vector(const Product<T>& product) {
  constexpr int kRows = kLanes<T> < kVectorRows ? kLanes<T> : kVectorRows;
  Product<T> p = product;
  Vec<T> sum[kLanes<T>];
  for (int r = 0; r < kLanes<T>; r += kRows, p.a += kRows * p.a_row) {
    Vec<T> some[kRows][1];
    dot_lanes(p, some);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) sum[r + i] = some[i][0];
  }
  const Vec<T> total = merge_rows<SumOf, T>([&](int i) { return sum[i]; });
  store(p.c, p.start ? load(p.start) + total : total);
}

template <class T>
void narrow(const GemmArgs& g) {
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  T* c = static_cast<T*>(g.c);
  const T* start = static_cast<const T*>(g.start);
  Product<T> p = {g.k, a, g.a_row, 1, g.a_row, b, g.b_row, c, g.c_row, 0, 0, start, g.start_row};
  const bool side_by_side = g.c_row == 1 && (!start || g.start_row == 1);
  for (ptrdiff_t j = 0; j < g.n;) {
    const int cols = int(g.n - j < kNarrowCols ? g.n - j : kNarrowCols);
    p.b = b + j * g.b_row;
    for (ptrdiff_t i = 0; i < g.m;) {
      p.a = a + i * g.a_row;
      p.c = c + i * g.c_row + j;
      if (start) p.start = start + i * g.start_row + j;
      const ptrdiff_t left = g.m - i;
      if (cols == 1) {
        const bool vector = side_by_side && left >= kLanes<T>, tall = left >= kTallRows;
        if (vector)
          dot_vector<T>(p);
        else
          tall ? dot_tile<T, kTallRows, 1>(p) : dot_tile<T, 1, 1>(p);
        i += vector ? kLanes<T> : tall ? kTallRows : 1;
      } else {
        const bool two = left >= kNarrowRows;
        if (cols == 2) two ? dot_tile<T, 2, 2>(p) : dot_tile<T, 1, 2>(p);
        if (cols == 3) two ? dot_tile<T, 2, 3>(p) : dot_tile<T, 1, 3>(p);
        i += two ? 2 : 1;
      }
    }
    j += cols;
  }
}

LAMINA_KERNELS_END
