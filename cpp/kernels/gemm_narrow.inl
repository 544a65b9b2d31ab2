// Products of few columns, or few rows, as dot products: c[i, j] = start[i, j] + sum over k of a[i, k] bt[j, k], both rows dense.
//
// A tile's sums stay in registers, lane by lane and one chain each, and are merged a vector at a time: every element is added up in an
// order that k alone decides, whichever tile it is in.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/rows.inl"

LAMINA_KERNELS_BEGIN

constexpr int kDotSums = kRegisters == 32 ? 16 : 8;  // of a tile: two multiply-adds a cycle wait for each other some four cycles
constexpr int kDotCols = 4, kDotRows = kDotSums / kDotCols;
constexpr int kWideCols = 8;             // of two rows, or one where there are 16 registers
constexpr int kColumnRows = 8;           // of a single column, at once
constexpr ptrdiff_t kAskedAhead = 4096;  // bytes of A

// sum[r * kCols + j] = the products of row r and column j, lane by lane.
template <class T, int kRows, int kCols>
LAMINA_INLINE void dot_lanes(const Product<T>& p, Vec<T>* sum) {
  Vec<T> at[kRows][kCols];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) at[r][j] = Vec<T>(0.0);
  const auto multiply = [&](ptrdiff_t i, auto read) {
    Vec<T> column[kCols];
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) column[j] = read(p.b + j * p.b_row + i);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec<T> row = read(p.a + r * p.a_row + i);
#pragma GCC unroll 8
      for (int j = 0; j < kCols; ++j) at[r][j] = fma(row, column[j], at[r][j]);
    }
  };
  ptrdiff_t i = 0;
  for (; i + kLanes<T> <= p.k; i += kLanes<T>) multiply(i, [](const T* x) { return kCols == 1 ? load(x) : held(load(x)); });
  if (i < p.k) multiply(i, [n = p.k - i](const T* x) { return load(x, n); });
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) sum[r * kCols + j] = at[r][j];
}

// to[i] = the merged lanes of sum[i]: a vector of sums at once, or one by one where less than a third of it would be wanted.
template <class T, int kCount>
LAMINA_INLINE void merge_sums(const Vec<T>* sum, T* to) {
  constexpr int kRest = kCount % kLanes<T>, kMerged = kRest * 3 < kLanes<T> ? kCount - kRest : kCount;
#pragma GCC unroll 8
  for (int i = 0; i < kMerged; i += kLanes<T>)
    store(to + i, merge_rows<SumOf, T>([&](int r) { return sum[i + r < kCount ? i + r : kCount - 1]; }));
#pragma GCC unroll 8
  for (int i = kMerged; i < kCount; ++i) to[i] = merge_lanes<SumOf>(sum[i]);
}

// A row of C: start + total, or total alone.
template <int kCols, class T>
LAMINA_INLINE void put_row(T* c, const T* start, const T* total) {
  if constexpr (kCols & (kCols - 1)) {
    for (int j = 0; j < kCols; ++j) c[j] = start ? start[j] + total[j] : total[j];
  } else {
    typedef T Row __attribute__((vector_size(kCols * sizeof(T)), aligned(sizeof(T)), may_alias));
    const auto at = [](const T* x) { return reinterpret_cast<const Row*>(x); };
    *reinterpret_cast<Row*>(c) = start ? *at(start) + *at(total) : *at(total);
  }
}

template <class T, int kRows, int kCols, int kAtOnce = kRows>
[[gnu::noinline]] void dot_tile(const Product<T>& product) {
  constexpr int kCount = kRows * kCols;
  Product<T> p = product;
  Vec<T> sum[kCount];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; r += kAtOnce, p.a += kAtOnce * p.a_row) dot_lanes<T, kAtOnce, kCols>(p, sum + r * kCols);
  alignas(kVectorBytes) T total[(kCount + kLanes<T> - 1) / kLanes<T> * kLanes<T>];
  merge_sums<T, kCount>(sum, total);
  if (kCols == 1 && p.c_row == 1 && (!p.start || p.start_row <= 1)) {
    T same[kRows];  // a bias, for each row
    const bool bias = p.start && p.start_row == 0;
    for (int r = 0; bias && r < kRows; ++r) same[r] = *p.start;
    return put_row<kRows>(p.c, bias ? same : p.start, total);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r, p.c += p.c_row, p.start += p.start ? p.start_row : 0)
    put_row<kCols>(p.c, p.start, total + r * kCols);
}

// The first of `rows` rows; how many that were.
template <class T, int kCols>
ptrdiff_t dot_rows(const Product<T>& p, [[maybe_unused]] ptrdiff_t rows) {
  constexpr int kAtOnce = kCols == 1 ? kColumnRows : kDotSums / (kCols == 3 ? 4 : kCols);
  constexpr int kMost = kCols == 1 && kAtOnce < kLanes<T> ? kLanes<T> : kAtOnce;
  if (rows >= kMost) return dot_tile<T, kMost, kCols, kAtOnce>(p), kMost;
  if constexpr (kMost > 4)
    if (rows >= 4) return dot_tile<T, 4, kCols>(p), 4;
  if constexpr (kMost > 3)
    if (rows == 3) return dot_tile<T, 3, kCols>(p), 3;
  if constexpr (kMost > 2)
    if (rows == 2) return dot_tile<T, 2, kCols>(p), 2;
  return dot_tile<T, 1, kCols>(p), 1;
}

template <class T>
void dot_block(Product<T> p, ptrdiff_t rows, ptrdiff_t cols) {
  for (ptrdiff_t i = 0, done; i < rows; i += done) {
    switch (cols) {
      case 1: done = dot_rows<T, 1>(p, rows - i); break;
      case 2: done = dot_rows<T, 2>(p, rows - i); break;
      case 3: done = dot_rows<T, 3>(p, rows - i); break;
      case 4: done = dot_rows<T, 4>(p, rows - i); break;
      default: done = dot_rows<T, kWideCols>(p, rows - i);
    }
    p.a += done * p.a_row;
    p.c += done * p.c_row;
    if (p.start) p.start += done * p.start_row;
  }
}

// Whichever of A and B has more rows passes by once, a tile's at a time, so that they are near for all of the other's.
template <class T>
void narrow(const GemmArgs& g) {
  const Product<T> whole = product_of<T>(g);
  const auto block = [&](ptrdiff_t i, ptrdiff_t j, ptrdiff_t rows, ptrdiff_t cols) {
    Product<T> p = whole;
    p.a += i * p.a_row;
    p.b += j * p.b_row;
    p.c += i * p.c_row + j;
    if (p.start) p.start += i * p.start_row + j;
    dot_block(p, rows, cols);
  };
  if (g.m < g.n) {
    const ptrdiff_t most = g.m == kDotSums / kWideCols ? kWideCols : kDotCols;
    for (ptrdiff_t j = 0, cols, rest; j < g.n; j += cols) {
      rest = g.n - j;
      cols = rest == kDotCols + 1 ? kDotCols - 1 : rest >= most ? most : smaller(rest, kDotCols);
      block(0, j, g.m, cols);
    }
    return;
  }
  const ptrdiff_t parts = parts_of(g.n, kDotCols), fewer = g.n > 0 ? g.n / parts : 0, more = g.n - fewer * parts;
  const ptrdiff_t most = g.n <= 2 ? kDotSums : kDotRows, run = most * g.a_row;
  const ptrdiff_t ahead = g.far_a ? parts_of(kAskedAhead / ptrdiff_t(sizeof(T)), run) * run : 0;
  for (ptrdiff_t i = 0; i < g.m; i += most) {
    if (ahead)
      for (ptrdiff_t at = i * g.a_row + ahead, end = smaller(at + run, g.m * g.a_row); at < end; at += kLineBytes / sizeof(T))
        __builtin_prefetch(whole.a + at);
    for (ptrdiff_t part = 0, j = 0, cols; part < parts; ++part, j += cols) {
      cols = fewer + (part < more);
      block(i, j, smaller(g.m - i, most), cols);
    }
  }
}

LAMINA_KERNELS_END
