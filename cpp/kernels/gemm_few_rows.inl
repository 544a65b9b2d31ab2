// Few rows of C: B is used once, so what counts is how it is read.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/transpose.inl"

LAMINA_KERNELS_BEGIN

constexpr ptrdiff_t kFewRows = 4;    // where B's columns are dense, so that it has to turn
constexpr ptrdiff_t kFewerRows = 2;  // where its rows are
constexpr int kStreams = 8;          // rows of B at a time: L1 has as many ways, and they may lie a power of two apart
constexpr int kFactors = kRegisters == 32 ? 16 : 8;  // elements of A in registers
constexpr ptrdiff_t kFarBytes = 32768;               // a B that is not near: narrow panels of it would be read a few lines a page

// c[kRows, n] (+)= a[kRows, kDeep] b[kDeep, n] along the rows of B.
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
    for (int r = 0; r < kRows; ++r) sum[r] = p.accumulate ? read(p.c + r * p.c_row + j) : Vec<T>(0.0);
#pragma GCC unroll 16
    for (int d = 0; d < kDeep; ++d) {
      const Vec<T> row = read(p.b + d * p.b_row + j);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sum[r] = fma(factor[r][d], row, sum[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) write(p.c + r * p.c_row + j, sum[r]);
  };
  ptrdiff_t j = 0;
  for (; j + kLanes<T> <= n; j += kLanes<T>) add(j, [](const T* x) { return load(x); }, [](T* x, Vec<T> v) { store(x, v); });
  if (j < n) add(j, [rest = n - j](const T* x) { return load(x, rest); }, [rest = n - j](T* x, Vec<T> v) { store(x, v, rest); });
}

// All of k: some rows of B at a time, which come from far side by side.
template <class T, int kRows>
void run_along_rows(Product<T> p, ptrdiff_t n) {
  constexpr int kDeep = kFactors / kRows < kStreams ? kFactors / kRows : kStreams;
  for (; p.k >= kDeep; p.k -= kDeep, p.a += kDeep * p.a_col, p.b += kDeep * p.b_row, p.accumulate = true)
    add_rows<T, kRows, kDeep>(p, n);
  for (; p.k > 0; --p.k, p.a += p.a_col, p.b += p.b_row, p.accumulate = true) add_rows<T, kRows, 1>(p, n);
}

// c[kRows, kVectors vectors] for a B whose columns are dense: a few of them turn in registers.
template <class T, int kRows, int kVectors>
[[gnu::noinline]] void turned_tile(const Product<T>& product, ptrdiff_t b_col) {
  const Product<T> p = product;
  const T* b[kVectors];
  T* c[kVectors];
  Vec<T> sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    b[v] = p.b + (v == kVectors - 1 ? p.b_last : v * kLanes<T>)*b_col;
    c[v] = p.c + (v == kVectors - 1 ? p.c_last : v * kLanes<T>);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r][v] = p.accumulate ? load(c[v] + r * p.c_row) : Vec<T>(0.0);
  }
  const auto add = [&](ptrdiff_t i, int v, Vec<T> column) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r][v] = fma(Vec<T>(p.a[r * p.a_row + i * p.a_col]), column, sum[r][v]);
  };
  ptrdiff_t i = 0;
  for (; i + kTurned<T> <= p.k; i += kTurned<T>)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      Vec<T> column[kTurned<T>];
      turn(column, b[v] + i, b_col);
#pragma GCC unroll 4
      for (int d = 0; d < kTurned<T>; ++d) add(i + d, v, column[d]);
    }
  for (; i < p.k; ++i)
    for (int v = 0; v < kVectors; ++v) {
      alignas(64) T column[kLanes<T>];
      for (int lane = 0; lane < kLanes<T>; ++lane) column[lane] = b[v][lane * b_col + i];
      add(i, v, load(column));
    }
  for (int v = 0; v < kVectors; ++v)
    for (int r = 0; r < kRows; ++r) store(c[v] + r * p.c_row, sum[r][v]);
}

// Vectors of a tile that reads as many columns of B side by side as they have lanes: lines that lie a power of two apart must find room
// in an L1 of 8 ways of 4 KB. Where old values of C are read, no vector may overlap another panel: two at least.
template <class T>
ptrdiff_t most_turned(const Product<T>& p, ptrdiff_t n, ptrdiff_t b_col) {
  constexpr ptrdiff_t kWay = 4096, kWays = 8;
  const ptrdiff_t stride = b_col * ptrdiff_t(sizeof(T)) | kWay, power = stride & -stride;  // the largest that divides both
  const ptrdiff_t vectors = kWays * kWay / power / kLanes<T>;
  const ptrdiff_t least = p.accumulate && n % kLanes<T> != 0 ? 2 : 1;
  return vectors < least ? least : vectors;
}

template <class T, int kRows>
void run_turned(Product<T> p, ptrdiff_t n, ptrdiff_t b_col) {
  constexpr ptrdiff_t kWide = kRows == 1 ? 4 : 2;
  const ptrdiff_t most = most_turned(p, n, b_col);
  const Panels<T> panels(n, kWide < most ? kWide : most);
  const T* b = p.b;
  T* c = p.c;
  for (ptrdiff_t i = 0; i < panels.count; ++i) {
    const auto at = panels[i];
    p.b = b + at.column * b_col;
    p.c = c + at.column;
    p.b_last = p.c_last = at.last;
    switch (at.vectors) {
      case 1: turned_tile<T, kRows, 1>(p, b_col); break;
      case 2: turned_tile<T, kRows, 2>(p, b_col); break;
      case 3: turned_tile < T, kRows, kWide<3 ? 1 : 3>(p, b_col); break;
      default: turned_tile < T, kRows, kWide<4 ? 1 : 4>(p, b_col); break;
    }
  }
}

template <class T, int kRows>
bool run_few_rows(const Product<T>& p, ptrdiff_t n, ptrdiff_t b_col) {
  if constexpr (kRows <= kFewerRows) {
    const bool several_panels = n > widest(kRows) * kLanes<T>, far = p.k * n * ptrdiff_t(sizeof(T)) >= kFarBytes;
    if (b_col == 1 && several_panels && far) return run_along_rows<T, kRows>(p, n), true;
  }
  if (b_col != 1 && p.b_row == 1) return run_turned<T, kRows>(p, n, b_col), true;
  return false;
}

template <class T>
bool run_few_rows(const GemmArgs& g) {
  if (g.m > kFewRows || g.n < kLanes<T>) return false;
  const Product<T> p = {g.k,     static_cast<const T*>(g.a), g.a_row, g.a_col, g.a_row, static_cast<const T*>(g.b),
                        g.b_row, static_cast<T*>(g.c),       g.c_row, 0,       0,       g.accumulate};
  switch (g.m) {
    case 1: return run_few_rows<T, 1>(p, g.n, g.b_col);
    case 2: return run_few_rows<T, 2>(p, g.n, g.b_col);
    case 3: return run_few_rows<T, 3>(p, g.n, g.b_col);
    default: return run_few_rows<T, 4>(p, g.n, g.b_col);
  }
}

LAMINA_KERNELS_END
