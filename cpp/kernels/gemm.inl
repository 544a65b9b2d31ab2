// c[m, n] (+)= a[m, k] b[k, n]: pieces of k outermost, column panels of B inside, row tiles of A inside those, and the sum over the
// piece innermost, in registers.
//
// B is read a few vectors of a row at a time, A one element at a time and broadcast, so any strides of A do: A B and A^T B are one
// kernel. A is packed where the caller gives room for it, B where its stride hurts: at the sizes of small layers that costs more than
// it gives.
// Every element is one chain of fused multiply-adds over ascending k; how C is cut never changes a bit.
#pragma once

#include "kernels/rows.inl"
#include "kernels/table.h"
#include "kernels/transpose.inl"

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

// A panel of B is reused by every row tile, so k is taken in pieces whose panel stays near: within an L1 of 32 KB for the narrow tiles
// (a quarter to three quarters of it were 1 to 2 % slower: C is read and written once a piece), in L2 for the wide ones, which do 24
// multiply-adds for each 4 loads of B.
constexpr ptrdiff_t kPanelBytes = kRegisters == 32 ? 131072 : 32768;

// Rows of B that lie some power of two apart fall into a few sets of the cache and push each other out, each on a page of its own.
// Dense copies of panels pay from about five row tiles on (measured with 6x2 tiles: 91 % of the ceiling instead of 80; at strides
// under 1 KB they cost 5 %). The wide tiles have four lines of each row, and reached 98 % without at strides up to 2 KB.
// Several panels are copied at once: a row's lines lie side by side, and come from memory together.
constexpr ptrdiff_t kPackRows = 32;
constexpr ptrdiff_t kPackStride = kRegisters == 32 ? 4096 : 1024;
constexpr ptrdiff_t kPackedPanels = kRegisters == 32 ? 1 : 4;
constexpr ptrdiff_t kPackedRun = 64;  // rows of B that are copied for one panel before the next panel has its turn

template <class T>
struct Product {
  ptrdiff_t k;
  const T* a;
  ptrdiff_t a_row, a_col;
  ptrdiff_t a_step;  // the same from tile to tile, for each row: a_row, and k where A is packed
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
    top += kRows * p.a_step;
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

// Rows [0, m) as tiles: the `taller` ones of rows + 1 come first, then those of `rows`.
struct RowTiles {
  ptrdiff_t rows, taller, others;

  RowTiles(ptrdiff_t m, ptrdiff_t most) {
    const ptrdiff_t tiles = parts_of(m, most);
    rows = m / tiles;
    taller = m % tiles;
    others = tiles - taller;
  }
};

// The tiles of one panel of columns, as far as they have some of the first `wanted` rows.
template <class T>
void run_panel(Product<T> p, ptrdiff_t m, ptrdiff_t wanted, int vectors) {
  const RowTiles tiles(m, kTileRows);
  const bool packed = p.a_step != p.a_row;
  const auto run = [&](ptrdiff_t rows, ptrdiff_t count) {
    const ptrdiff_t some = parts_of(wanted, rows) < count ? parts_of(wanted, rows) : count;
    if (some <= 0) return;
    if (packed) p.a_col = rows;
    run_rows(p, int(rows), vectors, some);
    p.a += some * rows * p.a_step;
    p.c += some * rows * p.c_row;
    wanted -= some * rows;
  };
  run(tiles.rows + 1, tiles.taller);
  run(tiles.rows, tiles.others);
}

// n columns, fewer than a vector has lanes.
template <class T>
void run_thin_panel(Product<T> p, ptrdiff_t m, ptrdiff_t n, ptrdiff_t b_col) {
  alignas(64) T packed[kPanelBytes / ptrdiff_t(sizeof(T))];
  if (b_col != 1) {
    for (ptrdiff_t i = 0; i < p.k; ++i)
      for (ptrdiff_t j = 0; j < n; ++j) packed[i * n + j] = p.b[i * p.b_row + j * b_col];
    p.b = packed;
    p.b_row = n;
  }
  const RowTiles tiles(m, kThinRows);
  for (ptrdiff_t i = 0; i < tiles.taller + tiles.others; ++i) {
    const ptrdiff_t rows = i < tiles.taller ? tiles.rows + 1 : tiles.rows;
    run_thin(p, int(rows), n);
    p.a += rows * p.a_row;
    p.c += rows * p.c_row;
  }
}

// ---- Packing ----

// `tiles` tiles of A, each k by k: the kRows numbers that meet one row of B lie side by side.
template <class T, int kRows>
T* pack_tiles(T* to, const T* a, ptrdiff_t a_row, ptrdiff_t a_col, ptrdiff_t k, ptrdiff_t tiles) {
  for (; tiles > 0; --tiles, a += kRows * a_row) {
    const T* column = a;
    if (a_row == 1) {
      for (ptrdiff_t i = 0; i < k; ++i, column += a_col, to += kRows) __builtin_memcpy(to, column, kRows * sizeof(T));
      continue;
    }
    for (ptrdiff_t i = 0; i < k; ++i, column += a_col, to += kRows)
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) to[r] = column[r * a_row];
  }
  return to;
}

template <class T>
T* pack_rows(T* to, const Product<T>& p, const T* a, int rows, ptrdiff_t tiles) {
  switch (rows) {
    case 1: return pack_tiles<T, 1>(to, a, p.a_row, p.a_col, p.k, tiles);
    case 2: return pack_tiles<T, 2>(to, a, p.a_row, p.a_col, p.k, tiles);
    case 3: return pack_tiles<T, 3>(to, a, p.a_row, p.a_col, p.k, tiles);
    case 4: return pack_tiles<T, 4>(to, a, p.a_row, p.a_col, p.k, tiles);
    case 5: return pack_tiles<T, 5>(to, a, p.a_row, p.a_col, p.k, tiles);
    default: return pack_tiles<T, 6>(to, a, p.a_row, p.a_col, p.k, tiles);
  }
}

// The product with A packed.
template <class T>
Product<T> with_packed_rows(Product<T> p, T* to, ptrdiff_t m) {
  const RowTiles tiles(m, kTileRows);
  T* rest = pack_rows(to, p, p.a, int(tiles.rows + 1), tiles.taller);
  pack_rows(rest, p, p.a + tiles.taller * (tiles.rows + 1) * p.a_row, int(tiles.rows), tiles.others);
  p.a = to;
  p.a_row = 1;
  p.a_step = p.k;
  return p;
}

// k rows of a panel of B whose rows are dense. What follows the panels that are copied at once is asked for: it comes while these are
// multiplied.
template <class T>
void copy_rows(T* to, const T* b, ptrdiff_t b_row, ptrdiff_t vectors, ptrdiff_t last, ptrdiff_t k) {
  for (ptrdiff_t i = 0; i < k; ++i, b += b_row, to += kLanes<T>) {
    __builtin_prefetch(b + kPackedPanels * vectors * kLanes<T>, 0, 2);
    for (ptrdiff_t v = 0; v + 1 < vectors; ++v, to += kLanes<T>) store(to, load(b + v * kLanes<T>));
    store(to, load(b + last));
  }
}

// The same where they are not: a vector of columns at a time.
template <class T>
void turn_rows(T* to, const T* b, ptrdiff_t b_row, ptrdiff_t b_col, ptrdiff_t vectors, ptrdiff_t last, ptrdiff_t k) {
  const ptrdiff_t to_row = vectors * kLanes<T>;
  for (ptrdiff_t v = 0; v < vectors; ++v, to += kLanes<T>) {
    const T* from = b + (v == vectors - 1 ? last : v * kLanes<T>)*b_col;
    if (b_row == 1) {
      transpose<T>(to, to_row, from, b_col, kLanes<T>, k);
    } else {
      for (ptrdiff_t i = 0; i < k; ++i)
        for (int lane = 0; lane < kLanes<T>; ++lane) to[i * to_row + lane] = from[i * b_row + lane * b_col];
    }
  }
}

// The columns of C in panels of near-equal numbers of vectors. The last vector of a panel starts at `last`. With two vectors or
// more, the last panel has two or more (parts grow towards the end): the vector that is moved back to end at column n overlaps only
// its neighbour in the same tile, whose old values were read before either is stored.
template <class T>
struct Panels {
  ptrdiff_t n, vectors, count;

  struct Panel {
    ptrdiff_t column, end, vectors, last;
  };
  Panel operator[](ptrdiff_t i) const {
    const ptrdiff_t at = vectors * i / count, next = vectors * (i + 1) / count;
    const ptrdiff_t end = next * kLanes<T> < n ? next * kLanes<T> : n;
    return {at * kLanes<T>, end, next - at, end - kLanes<T> - at * kLanes<T>};
  }
};

// Panels [first, last) of B, one behind the other, each dense.
template <class T>
void pack_panels(T* to, const Product<T>& p, ptrdiff_t b_col, const Panels<T>& panels, ptrdiff_t first, ptrdiff_t last) {
  for (ptrdiff_t k0 = 0; k0 < p.k; k0 += kPackedRun) {
    const ptrdiff_t k = p.k - k0 < kPackedRun ? p.k - k0 : kPackedRun;
    T* panel = to;
    for (ptrdiff_t i = first; i < last; ++i) {
      const auto at = panels[i];
      const ptrdiff_t width = at.vectors * kLanes<T>;
      const T* from = p.b + k0 * p.b_row + at.column * b_col;
      if (b_col == 1)
        copy_rows(panel + k0 * width, from, p.b_row, at.vectors, at.last, k);
      else
        turn_rows(panel + k0 * width, from, p.b_row, b_col, at.vectors, at.last, k);
      panel += p.k * width;
    }
  }
}

// All columns, panel by panel.
template <class T>
void run_panels(const Product<T>& whole, ptrdiff_t m, const Panels<T>& panels, ptrdiff_t b_col, ptrdiff_t diagonal) {
  alignas(64) T packed[kPackedPanels * kPanelBytes / ptrdiff_t(sizeof(T))];
  const bool packs = b_col != 1 || (m >= kPackRows && whole.b_row * ptrdiff_t(sizeof(T)) >= kPackStride);
  const T* from = packed;
  Product<T> p = whole;
  for (ptrdiff_t i = 0; i < panels.count; ++i) {
    const auto at = panels[i];
    if (packs && i % kPackedPanels == 0) {
      const ptrdiff_t last = i + kPackedPanels < panels.count ? i + kPackedPanels : panels.count;
      pack_panels(packed, whole, b_col, panels, i, last);
      from = packed;
    }
    p.c = whole.c + at.column;
    p.c_last = at.last;
    if (packs) {
      p.b = from;
      p.b_row = at.vectors * kLanes<T>;
      p.b_last = p.b_row - kLanes<T>;
      from += p.k * p.b_row;
    } else {
      p.b = whole.b + at.column;
      p.b_last = at.last;
    }
    const ptrdiff_t rows = at.end + diagonal;  // those that have an element in these columns
    run_panel(p, m, rows < m ? rows : m, int(at.vectors));
  }
}

// k = 1, as in the gradients of a batch of one: each row of C is the row of B times a number, stored once and read never.
template <class T>
void run_outer(const GemmArgs& g) {
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  T* c = static_cast<T*>(g.c);
  for (ptrdiff_t i = 0; i < g.m; ++i, a += g.a_row, c += g.c_row) {
    const Vec<T> factor(*a);
    const auto at = [&](ptrdiff_t j) { store(c + j, fma(factor, load(b + j), Vec<T>(0.0))); };
    for (ptrdiff_t j = 0; j + kLanes<T> < g.n; j += kLanes<T>) at(j);
    at(g.n - kLanes<T>);
  }
}

// ---- Few rows of C: B is used once, so what counts is how it is read ----

constexpr ptrdiff_t kFewRows = 4;                    // where B's columns are dense, so that it has to turn
constexpr ptrdiff_t kFewerRows = 2;                  // where its rows are
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

// All of k: kFactors / kRows rows of B at a time, which come from far side by side.
template <class T, int kRows>
void run_along_rows(Product<T> p, ptrdiff_t n) {
  constexpr int kDeep = kFactors / kRows;
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
  const ptrdiff_t stride = b_col * ptrdiff_t(sizeof(T)), power = stride & -stride;
  const ptrdiff_t vectors = kWays * kWay / (power < kWay ? power : kWay) / kLanes<T>;
  const ptrdiff_t least = p.accumulate && n % kLanes<T> != 0 ? 2 : 1;
  return vectors < least ? least : vectors;
}

template <class T, int kRows>
void run_turned(Product<T> p, ptrdiff_t n, ptrdiff_t b_col) {
  constexpr ptrdiff_t kWide = kRows == 1 ? 4 : 2;
  const ptrdiff_t vectors = parts_of(n, kLanes<T>), most = most_turned(p, n, b_col);
  const Panels<T> panels = {n, vectors, parts_of(vectors, kWide < most ? kWide : most)};
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
  if constexpr (kRows <= kFewerRows)
    if (b_col == 1 && p.k * n * ptrdiff_t(sizeof(T)) >= kFarBytes) return run_along_rows<T, kRows>(p, n), true;
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

template <class T>
void block(const GemmArgs& g) {
  if (g.m == 0 || g.n == 0) return;
  if (run_few_rows<T>(g)) return;
  if (g.k == 1 && g.n >= kLanes<T> && g.b_col == 1 && !g.accumulate) return run_outer<T>(g);
  const ptrdiff_t vectors = parts_of(g.n, kLanes<T>);
  const ptrdiff_t tallest = parts_of(g.m, parts_of(g.m, kTileRows));
  const Panels<T> panels = {g.n, vectors, parts_of(vectors, widest(int(tallest)))};

  // In pieces of k, so that a panel of B stays in L1 while the row tiles pass over it, and a piece of A in L2 while the panels do.
  // C carries the chains across. A single row tile uses nothing twice.
  const ptrdiff_t most = kPanelBytes / (parts_of(vectors, panels.count) * kVectorBytes);
  const ptrdiff_t pieces = g.k > most && (g.m > kTileRows || g.b_col != 1) ? parts_of(g.k, most) : 1;
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  T* c = static_cast<T*>(g.c);
  for (ptrdiff_t i = 0, at = 0; i < pieces; ++i) {
    const ptrdiff_t next = g.k * (i + 1) / pieces;
    const Product<T> p = {next - at, a + at * g.a_col, g.a_row, g.a_col, g.a_row,          b + at * g.b_row, g.b_row,
                          c,         g.c_row,          0,       0,       g.accumulate || i};
    if (g.n < kLanes<T>)
      run_thin_panel(p, g.m, g.n, g.b_col);
    else
      run_panels(g.packed ? with_packed_rows(p, static_cast<T*>(g.packed), g.m) : p, g.m, panels, g.b_col, g.diagonal);
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
  Product<T> p = {g.k, a, g.a_row, 1, g.a_row, b, g.b_row, c, g.c_row, 0, 0, g.accumulate};
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
