// c[m, n] (+)= a[m, k] b[k, n]: column panels of B outermost, row tiles of A inside, the sum over k innermost, in registers.
//
// B is read a few vectors of a row at a time, A one element at a time and broadcast, so any strides of A do: A B and A^T B are one
// kernel. A is never packed, B only where its stride hurts: at the sizes of layers that costs more than it gives.
// Every element is one chain of fused multiply-adds over ascending k; how C is cut never changes a bit.
#pragma once

#include "kernels/rows.inl"
#include "kernels/table.h"

LAMINA_KERNELS_BEGIN

// The register tile: rows x vectors accumulators + one row of B + one broadcast element of A must fit the registers.
constexpr int kTileRows = 6;
constexpr int kTileVectors = kRegisters == 32 ? 4 : 2;  // 6x4 + 4 + 1 <= 32, 6x2 + 2 + 1 <= 16
constexpr int kAccumulators = kTileRows * kTileVectors;
constexpr int kWidest = 8;    // vectors of a tile of few rows: 8 chains hide the latency of a fused multiply-add
constexpr int kThinRows = 8;  // rows of a tile of one vector, for the same reason

// Vectors a tile of that many rows may take. On x86 an operand of a multiply-add may stay in memory; on ARM the row of B and the
// element of A take registers of their own.
constexpr int widest(int rows) {
  int vectors = kAccumulators / rows < kWidest ? kAccumulators / rows : kWidest;
#if defined(__aarch64__)
  while ((rows + 1) * vectors + 1 > kRegisters) --vectors;
#endif
  return vectors;
}

// A panel of B is reused by every row tile, so k is taken in pieces whose panel stays near: within half of a 32 KB L1 for the
// narrow tiles, in L2 for the wide ones, which do 24 multiply-adds for each 4 loads of B.
constexpr ptrdiff_t kPanelBytes = kRegisters == 32 ? 131072 : 16384;

// Rows of B that lie some power of two apart fall into a few sets of the cache and push each other out, each on a page of its own.
// A dense copy of the panel pays from about five row tiles on (measured with 6x2 tiles: 91 % of the ceiling instead of 80; at
// strides under 1 KB it costs 5 %). The wide tiles reached 98 % without.
constexpr bool kPacks = kRegisters == 16;
constexpr ptrdiff_t kPackRows = 32;
constexpr ptrdiff_t kPackStride = 1024;

template <class T>
struct Product {
  ptrdiff_t k;
  const T* a;
  ptrdiff_t a_row, a_col;
  const T* b;
  ptrdiff_t b_row;
  T* c;
  ptrdiff_t c_row;
  ptrdiff_t b_last, c_last;  // the columns of B and of C where the tile's last vector starts
  bool accumulate;
};

// c[tiles * kRows, kVectors vectors], a register tile at a time. The last vector starts at `c_last`, which may overlap the one
// before: columns that do not fill a vector are covered by a second computation of their neighbours (the same chain, so the same
// bits) and the loop knows no tails.
template <class T, int kRows, int kVectors>
[[gnu::noinline]] void tile(const Product<T>& product, ptrdiff_t tiles) {
  const Product<T> p = product;  // a copy: the stores to C cannot change it
  const auto column = [](int v, ptrdiff_t last) { return v == kVectors - 1 ? last : ptrdiff_t(v * kLanes<T>); };
  const T* top = p.a;
  T* c = p.c;
  do {
    Vec<T> sum[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Vec<T>(0.0);
    if (p.accumulate) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[r][v] = load(c + r * p.c_row + column(v, p.c_last));
    }
    const T *a = top, *b = p.b;
    for (ptrdiff_t i = p.k; i > 0; --i, a += p.a_col, b += p.b_row) {
      Vec<T> row[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) row[v] = load(b + column(v, p.b_last));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vec<T> factor(a[r * p.a_row]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(factor, row[v], sum[r][v]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) store(c + r * p.c_row + column(v, p.c_last), sum[r][v]);
    top += kRows * p.a_row;
    c += kRows * p.c_row;
  } while (--tiles > 0);
}

// c[kRows, n] for n under one vector.
template <class T, int kRows>
[[gnu::noinline]] void thin_tile(const Product<T>& product, ptrdiff_t n) {
  const Product<T> p = product;
  Vec<T> sum[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sum[r] = Vec<T>(0.0);
  if (p.accumulate) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = load(p.c + r * p.c_row, n);
  }
  const T *a = p.a, *b = p.b;
  for (ptrdiff_t i = p.k; i > 0; --i, a += p.a_col, b += p.b_row) {
    const Vec<T> row = load(b, n);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = fma(Vec<T>(a[r * p.a_row]), row, sum[r]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) store(p.c + r * p.c_row, sum[r], n);
}

template <class T, int kRows>
void run_tile(const Product<T>& p, int vectors, ptrdiff_t tiles) {
  constexpr int kMost = widest(kRows);
  switch (vectors) {
    case 1: return tile<T, kRows, 1>(p, tiles);
    case 2: return tile<T, kRows, 2>(p, tiles);
    case 3: return tile < T, kRows, kMost<3 ? 1 : 3>(p, tiles);
    case 4: return tile < T, kRows, kMost<4 ? 1 : 4>(p, tiles);
    case 5: return tile < T, kRows, kMost<5 ? 1 : 5>(p, tiles);
    case 6: return tile < T, kRows, kMost<6 ? 1 : 6>(p, tiles);
    case 7: return tile < T, kRows, kMost<7 ? 1 : 7>(p, tiles);
    default: return tile < T, kRows, kMost<8 ? 1 : 8>(p, tiles);
  }
}

template <class T>
void run_rows(const Product<T>& p, int rows, int vectors, ptrdiff_t tiles) {
  switch (rows) {
    case 1: return run_tile<T, 1>(p, vectors, tiles);
    case 2: return run_tile<T, 2>(p, vectors, tiles);
    case 3: return run_tile<T, 3>(p, vectors, tiles);
    case 4: return run_tile<T, 4>(p, vectors, tiles);
    case 5: return run_tile<T, 5>(p, vectors, tiles);
    default: return run_tile<T, 6>(p, vectors, tiles);
  }
}

template <class T>
void run_thin(const Product<T>& p, int rows, ptrdiff_t n) {
  switch (rows) {
    case 1: return thin_tile<T, 1>(p, n);
    case 2: return thin_tile<T, 2>(p, n);
    case 3: return thin_tile<T, 3>(p, n);
    case 4: return thin_tile<T, 4>(p, n);
    case 5: return thin_tile<T, 5>(p, n);
    case 6: return thin_tile<T, 6>(p, n);
    case 7: return thin_tile<T, 7>(p, n);
    default: return thin_tile<T, 8>(p, n);
  }
}

// `total` in near-equal parts of at most `most`: part i starts at total * i / parts. A last tile of one row would leave the pipes
// empty; 61 rows are better 6 x 6 + 5 x 5 than 10 x 6 + 1.
LAMINA_INLINE ptrdiff_t parts_of(ptrdiff_t total, ptrdiff_t most) { return (total + most - 1) / most; }

// Rows [0, m) of one panel of columns: the tiles of one row more first, then the others.
template <class T>
void run_panel(Product<T> p, ptrdiff_t m, int vectors, ptrdiff_t thin) {
  const ptrdiff_t tiles = parts_of(m, thin ? kThinRows : kTileRows);
  const ptrdiff_t rows = m / tiles, taller = m % tiles;
  if (thin) {
    for (ptrdiff_t i = 0; i < tiles; ++i) {
      const ptrdiff_t r = i < taller ? rows + 1 : rows;
      run_thin(p, int(r), thin);
      p.a += r * p.a_row;
      p.c += r * p.c_row;
    }
    return;
  }
  if (taller > 0) {
    run_rows(p, int(rows + 1), vectors, taller);
    p.a += taller * (rows + 1) * p.a_row;
    p.c += taller * (rows + 1) * p.c_row;
  }
  run_rows(p, int(rows), vectors, tiles - taller);
}

// Copies the panel's part of B to one dense run, and asks for the next panel's part: it comes while this one is multiplied.
template <class T, int kVectors>
void pack(T* to, const Product<T>& p) {
  const T* b = p.b;
  for (ptrdiff_t i = 0; i < p.k; ++i, b += p.b_row) {
    __builtin_prefetch(b + kVectors * kLanes<T>, 0, 2);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v, to += kLanes<T>) store(to, load(v == kVectors - 1 ? b + p.b_last : b + v * kLanes<T>));
  }
}

// All columns, panel by panel.
template <class T>
void run_panels(Product<T> p, ptrdiff_t m, ptrdiff_t n, ptrdiff_t vectors, ptrdiff_t panels, ptrdiff_t diagonal) {
  alignas(64) T packed[kPacks ? kPanelBytes / sizeof(T) : 1];
  const T* b = p.b;
  T* c = p.c;
  const ptrdiff_t b_row = p.b_row;
  const bool packs = kPacks && m >= kPackRows && b_row * ptrdiff_t(sizeof(T)) >= kPackStride;
  // With two vectors or more, the last panel has two or more (parts grow towards the end): the vector that is moved back to end
  // at column n overlaps only its neighbour in the same tile, whose old values were read before either is stored.
  for (ptrdiff_t i = 0, at = 0; i < panels; ++i) {
    const ptrdiff_t next = vectors * (i + 1) / panels;
    const ptrdiff_t column = at * kLanes<T>;
    const ptrdiff_t end = next * kLanes<T> < n ? next * kLanes<T> : n;
    const ptrdiff_t rows = end + diagonal < m ? end + diagonal : m;  // those that have an element in these columns
    if (rows <= 0) {
      at = next;
      continue;
    }
    p.b = b + column;
    p.b_row = b_row;
    p.c = c + column;
    p.b_last = p.c_last = end - kLanes<T> - column;
    if (packs) {
      next - at == 1 ? pack<T, 1>(packed, p) : pack<T, kTileVectors>(packed, p);  // rows enough that the tiles are the tallest
      p.b = packed;
      p.b_row = (next - at) * kLanes<T>;
      p.b_last = p.b_row - kLanes<T>;
    }
    run_panel(p, rows, int(next - at), 0);
    at = next;
  }
}

template <class T>
void block(const GemmArgs& g) {
  if (g.m == 0 || g.n == 0) return;
  const ptrdiff_t vectors = parts_of(g.n, kLanes<T>);
  const ptrdiff_t tallest = parts_of(g.m, parts_of(g.m, kTileRows));
  const ptrdiff_t panels = parts_of(vectors, widest(int(tallest)));

  // In pieces of k, so that a panel of B stays in L1 while the row tiles pass over it, and a piece of A in L2 while the panels do.
  // C carries the chains across. A single row tile uses nothing twice.
  const ptrdiff_t most = kPanelBytes / (parts_of(vectors, panels) * kVectorBytes);
  const ptrdiff_t pieces = g.k > most && g.m > kTileRows ? parts_of(g.k, most) : 1;
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  T* c = static_cast<T*>(g.c);
  for (ptrdiff_t i = 0, at = 0; i < pieces; ++i) {
    const ptrdiff_t next = g.k * (i + 1) / pieces;
    const Product<T> p = {next - at, a + at * g.a_col, g.a_row, g.a_col, b + at * g.b_row, g.b_row,
                          c,         g.c_row,          0,       0,       g.accumulate || i};
    if (g.n < kLanes<T>)
      run_panel(p, g.m, 1, g.n);
    else
      run_panels(p, g.m, g.n, vectors, panels, g.diagonal);
    at = next;
  }
}

// ---- narrow: c[i, j] (+)= sum over k of a[i, k] bt[j, k], both rows dense ----

constexpr int kNarrowRows = 2;
constexpr int kNarrowCols = 3;

// Two lane-wise sums for each of kRows x kCols elements: 12 independent chains at most.
template <class T, int kRows, int kCols>
[[gnu::noinline]] void dot_tile(const Product<T>& p) {
  constexpr int kChains = 2;
  Vec<T> sum[kRows][kCols][kChains];
  for (int r = 0; r < kRows; ++r)
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
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kCols; ++j) {
      const T total = merge_lanes<SumOf>(sum[r][j][0] + sum[r][j][1]);
      T& c = p.c[r * p.c_row + j];
      c = p.accumulate ? c + total : total;
    }
}

template <class T>
void narrow(const GemmArgs& g) {
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  T* c = static_cast<T*>(g.c);
  Product<T> p = {g.k, a, g.a_row, 1, b, g.b_row, c, g.c_row, 0, 0, g.accumulate};
  constexpr int kTall = 4;  // rows at a time for a single column
  for (ptrdiff_t j = 0; j < g.n;) {
    const int cols = int(g.n - j < kNarrowCols ? g.n - j : kNarrowCols);
    p.b = b + j * g.b_row;
    for (ptrdiff_t i = 0; i < g.m;) {
      p.a = a + i * g.a_row;
      p.c = c + i * g.c_row + j;
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
