// Products of few columns, or of one row, as dot products: c[i, j] = start[i, j] + sum over k of a[i, k] bt[j, k], both rows dense.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/rows.inl"

LAMINA_KERNELS_BEGIN

constexpr int kNarrowRows = 2;
constexpr int kNarrowCols = 3;

// Two lane-wise sums for each of kRows x kCols elements: 12 independent chains at most.
template <class T, int kRows, int kCols>
[[gnu::noinline]] void dot_tile(const Product<T>& product) {
  const Product<T> p = product;
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
    for (int j = 0; j < kCols; ++j) {
      const T total = merge_lanes<SumOf>(sum[r][j][0] + sum[r][j][1]);
      T& c = p.c[r * p.c_row + j];
      c = p.start ? p.start[r * p.start_row + j] + total : total;
    }
}

template <class T>
void narrow(const GemmArgs& g) {
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  T* c = static_cast<T*>(g.c);
  const T* start = static_cast<const T*>(g.start);
  Product<T> p = {g.k, a, g.a_row, 1, g.a_row, b, g.b_row, c, g.c_row, 0, 0, start, g.start_row};
  constexpr int kTall = 4;  // rows at a time for a single column
  for (ptrdiff_t j = 0; j < g.n;) {
    const int cols = int(g.n - j < kNarrowCols ? g.n - j : kNarrowCols);
    p.b = b + j * g.b_row;
    for (ptrdiff_t i = 0; i < g.m;) {
      p.a = a + i * g.a_row;
      p.c = c + i * g.c_row + j;
      if (start) p.start = start + i * g.start_row + j;
      const ptrdiff_t left = g.m - i;
      if (cols == 1) {
        left >= kTall ? dot_tile<T, kTall, 1>(p) : dot_tile<T, 1, 1>(p);
        i += left >= kTall ? kTall : 1;
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
