// Few rows of C: B is used once, so what counts is how it is read.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/transpose.inl"

LAMINA_KERNELS_BEGIN

// The most rows of C: where B's columns are dense, so that it is transposed; and where its rows are, along which it is read.
constexpr int kMostRowsOfTransposed = 4, kMostRowsAlong = 2;
constexpr int kWays = 8;                             // of an L1 of 32 KB, each with room for one line of those that lie 4 KB apart
constexpr int kStreams = kWays;                      // rows of B at a time
constexpr int kFactors = kRegisters == 32 ? 16 : 8;  // elements of A in registers
constexpr ptrdiff_t kAlongBytes = 32768;  // of a B that is not near: narrow panels of it would be read a few lines a page

// How many of `most` elements side by side to take first, at most `run`: where lines are a multiple of a run apart, up to where a run
// begins in memory. A run that does not begin there has parts of two lines, and the rest of each line would be read again with the next
// run: lines a power of two apart do not stay in the cache until then.
template <class T>
ptrdiff_t first_run(const T* from, ptrdiff_t apart, ptrdiff_t run, ptrdiff_t most) {
  const ptrdiff_t at = apart % run == 0 ? ptrdiff_t(reinterpret_cast<uintptr_t>(from) / sizeof(T) % size_t(run)) : 0;
  return smaller(run - at, most);
}

// c[kRows, n] = start + a[kRows, kDeep] b[kDeep, n] along the rows of B.
template <class T, int kRows, int kDeep>
[[gnu::noinline]] void add_rows(const Product<T>& product, ptrdiff_t n) {
  const Product<T> p = product;
  Vec<T> factor[kRows][kDeep];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int d = 0; d < kDeep; ++d) factor[r][d] = Vec<T>(p.a[r * p.a_row + d * p.a_col]);
  const auto add = [&](ptrdiff_t j, auto read, auto write) {
    Vec<T> sum[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) sum[r] = p.start ? read(p.start + r * p.start_row + j) : Vec<T>(0.0);
#pragma GCC unroll 16
    for (int d = 0; d < kDeep; ++d) {
      const Vec<T> row = read(p.b + d * p.b_row + j);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sum[r] = fma(factor[r][d], row, sum[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) write(p.c + r * p.c_row + j, sum[r]);
  };
  for (ptrdiff_t j = 0, count = first_run(p.b, p.b_row, kLanes<T>, n); j < n; count = smaller(n - j, kLanes<T>)) {
    if (count == kLanes<T>) {
      for (; j + count <= n; j += count) add(j, [](const T* x) { return load(x); }, [](T* x, Vec<T> v) { store(x, v); });
    } else {
      add(j, [count](const T* x) { return load(x, count); }, [count](T* x, Vec<T> v) { store(x, v, count); });
      j += count;
    }
  }
}

// All of k: some rows of B at a time, which come from far side by side.
template <class T, int kRows>
void run_along_rows(Product<T> p, ptrdiff_t n) {
  constexpr int kDeep = kFactors / kRows < kStreams ? kFactors / kRows : kStreams;
  for (; p.k >= kDeep; p.k -= kDeep, p.a += kDeep * p.a_col, p.b += kDeep * p.b_row, p.go_on()) add_rows<T, kRows, kDeep>(p, n);
  for (; p.k > 0; --p.k, p.a += p.a_col, p.b += p.b_row, p.go_on()) add_rows<T, kRows, 1>(p, n);
}

// sum[kRows, kVectors vectors] += a[kRows, i to i + count] b[i to i + count, ..]: the dense columns of B are transposed in registers.
template <class T, int kRows, int kVectors, bool kWhole>
LAMINA_INLINE void add_transposed(Vec<T> (&sum)[kRows][kVectors], const Product<T>& p, const T* const (&b)[kVectors],
                                  ptrdiff_t b_col, ptrdiff_t i, ptrdiff_t count) {
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    Vec<T> row[kAtOnce<T>];
    transpose_lanes<T, kWhole>(row, b[v] + i, b_col, count);
#pragma GCC unroll 16
    for (int d = 0; d < kAtOnce<T>; ++d) {
      if (!kWhole && d == count) break;
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r][v] = fma(Vec<T>(p.a[r * p.a_row + (i + d) * p.a_col]), row[d], sum[r][v]);
    }
  }
}

// c[kRows, kVectors vectors] for a B whose columns are dense.
template <class T, int kRows, int kVectors>
[[gnu::noinline]] void transposed_tile(const Product<T>& product, ptrdiff_t b_col) {
  const Product<T> p = product;
  const T* b[kVectors];
  T* c[kVectors];
  Vec<T> sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    b[v] = p.b + (v == kVectors - 1 ? p.b_last : v * kLanes<T>)*b_col;
    const ptrdiff_t column = v == kVectors - 1 ? p.c_last : v * kLanes<T>;
    c[v] = p.c + column;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r][v] = p.start ? load(p.start + r * p.start_row + column) : Vec<T>(0.0);
  }
  for (ptrdiff_t i = 0, count = first_run(p.b, b_col, kAtOnce<T>, p.k); i < p.k; count = smaller(p.k - i, kAtOnce<T>)) {
    if (count == kAtOnce<T>) {
      for (; i + count <= p.k; i += count) add_transposed<T, kRows, kVectors, true>(sum, p, b, b_col, i, count);
    } else {
      add_transposed<T, kRows, kVectors, false>(sum, p, b, b_col, i, count);
      i += count;
    }
  }
  for (int v = 0; v < kVectors; ++v)
    for (int r = 0; r < kRows; ++r) store(c[v] + r * p.c_row, sum[r][v]);
}

// A long vector's square has work for the time that one chain of multiply-adds takes; of shorter ones, some are to be mixed.
template <class T, int kRows>
constexpr int kAtOnceVectors = kVectorBytes == 64 ? (sizeof(T) == 8 && kRows == 1 ? 2 : 1)
                               : kRows == 1       ? 4
                                                  : 2;

// As many columns of B as a tile has lanes are read side by side: lines that lie a power of two apart must find room in L1. Where old
// values of C are read, no vector may overlap another panel: two at least.
template <class T, int kRows>
ptrdiff_t vectors_of_transposed(const Product<T>& p, ptrdiff_t n, ptrdiff_t b_col) {
  constexpr ptrdiff_t kWay = 4096;
  const ptrdiff_t stride = b_col * ptrdiff_t(sizeof(T)) | kWay, power = stride & -stride;  // the largest that divides both
  const ptrdiff_t vectors = smaller(kWays * kWay / power / kLanes<T>, kAtOnceVectors<T, kRows>);
  const ptrdiff_t fewest = p.start == p.c && n % kLanes<T> != 0 ? 2 : 1;
  return vectors < fewest ? fewest : vectors;
}

template <class T, int kRows>
void run_transposed(Product<T> p, ptrdiff_t n, ptrdiff_t b_col) {
  constexpr int kMost = kAtOnceVectors<T, kRows> < 2 ? 2 : kAtOnceVectors<T, kRows>;
  const Panels<T> panels(n, vectors_of_transposed<T, kRows>(p, n, b_col));
  const T *b = p.b, *start = p.start;
  T* c = p.c;
  for (ptrdiff_t i = 0; i < panels.count; ++i) {
    const auto at = panels[i];
    p.b = b + at.column * b_col;
    p.c = c + at.column;
    if (start) p.start = start + at.column;
    p.b_last = p.c_last = at.last;
    with_number<kMost>(at.vectors, [&](auto vectors) { transposed_tile<T, kRows, vectors()>(p, b_col); });
  }
}

template <class T, int kRows>
bool run_few_rows(const Product<T>& p, ptrdiff_t n, ptrdiff_t b_col) {
  if constexpr (kRows <= kMostRowsAlong) {
    const bool several_panels = n > widest(kRows) * kLanes<T>, far = p.k * n * ptrdiff_t(sizeof(T)) >= kAlongBytes;
    if (b_col == 1 && several_panels && far) return run_along_rows<T, kRows>(p, n), true;
  }
  if (b_col != 1 && p.b_row == 1) return run_transposed<T, kRows>(p, n, b_col), true;
  return false;
}

template <class T>
bool run_few_rows(const GemmArgs& g) {
  if (g.m > kMostRowsOfTransposed || g.n < kLanes<T>) return false;
  const Product<T> p = product_of<T>(g);
  return with_number<kMostRowsOfTransposed>(g.m, [&](auto rows) { return run_few_rows<T, rows()>(p, g.n, g.b_col); });
}

LAMINA_KERNELS_END
