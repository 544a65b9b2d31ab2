// Register tiles of a matrix product, and how rows and columns of C are shared out among them.
#pragma once

#include "kernels/gemm_aside.inl"
#include "kernels/table.h"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// The register tile: rows x vectors accumulators + one row of B + one broadcast element of A must fit the registers.
constexpr int kTileRows = 6;
constexpr int kTileVectors = kRegisters == 32 ? 4 : 2;  // 6x4 + 4 + 1 <= 32, 6x2 + 2 + 1 <= 16
constexpr int kAccumulators = kTileRows * kTileVectors;
constexpr bool is_main_tile(int rows, int vectors) {
  return (rows == kTileRows || rows == kTileRows - 1) && vectors == kTileVectors;
}
constexpr bool kWholeLines = kVectorBytes == 64;           // in a vector
constexpr int kOneTileRows = kWholeLines ? 8 : kTileRows;  // of a tile that is the only one, so that B passes by once
constexpr int kRowsAtOnce = kVectorBytes == 32 ? 4 : 1;    // of B, by the main tile: where each has 12 multiply-adds
constexpr ptrdiff_t most_rows(ptrdiff_t m) { return m <= kOneTileRows ? kOneTileRows : kTileRows; }  // of a tile, for C's m
constexpr int kStripPanels = int(kStripBytes) / (kTileVectors * kVectorBytes);
static_assert(kStripBytes == kStripPanels * kTileVectors * kVectorBytes);
constexpr bool kWide = kStripPanels == 1;                 // A is read once for four lines of B
constexpr int kCopiedVectors = kWide ? kTileVectors : 0;  // of a row of B, beside a tile's multiply-adds
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
  const T* start;            // where the sums of C begin; nullptr: zero
  ptrdiff_t start_row;
  bool adds = false;    // the sums are added to C
  ptrdiff_t ahead = 0;  // how far behind an element of B lies the one to be asked for with it
  bool asks_a = false;  // instead, the next tile's rows of A are asked for
  bool asks_c = false;  // the next tile of C is asked for, where rows of B are taken several at once

  // The rest of a sum whose first part is in C.
  void go_on() {
    start = c;
    start_row = c_row;
  }
};

template <class T>
Product<T> product_of(const GemmArgs& g) {
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b), *start = static_cast<const T*>(g.start);
  return {g.k, a, g.a_row, g.a_col, g.a_row, b, g.b_row, static_cast<T*>(g.c), g.c_row, 0, 0, start, g.start_row, g.adds};
}

// How the elements of A lie that meet a row of B, and those that meet the next row.
enum class Layout { any, rows, columns, tile };  // anyhow; dense rows; dense columns; dense columns, one behind the other

template <class T>
LAMINA_INLINE void step(const T*& pointer, ptrdiff_t by) {
  pointer += by;
  asm("" : "+r"(pointer));  // or the compiler gathers steps in registers of their own, of which a tile has left none
}

// sum += a b over the first `count` rows of B, kAtOnce of them at a time. Of a tile's instructions a tenth steps and counts then, not a
// quarter: a tenth of the time where the core is shared, and nothing where not.
template <Layout kLayout, int kAtOnce, class T, int kRows, int kVectors>
LAMINA_INLINE void add_products(Vec<T> (&sum)[kRows][kVectors], const T*& a, const T*& b, const Product<T>& p, ptrdiff_t count) {
  constexpr bool kFarRows = kLayout == Layout::any || kLayout == Layout::rows;  // apart
  constexpr bool kEach = kLayout == Layout::any || kLayout == Layout::columns;  // a step for each row of B
  constexpr int kUpper = (kRows + 1) / 2;  // rows; with a pointer to the others, one distance reaches all of them
  const ptrdiff_t a_row = kFarRows ? p.a_row : 1, a_col = kEach ? p.a_col : kLayout == Layout::rows ? 1 : kRows;
  const T* lower = a;
  step(lower, kUpper * a_row);
  for (; count >= kAtOnce; count -= kAtOnce) {
#pragma GCC unroll 8
    for (int i = 0; i < kAtOnce; ++i) {
      Vec<T> row[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) row[v] = load(b + (v == kVectors - 1 ? p.b_last : ptrdiff_t(v * kLanes<T>)));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const T* const at = kFarRows && r >= kUpper ? lower + (r - kUpper) * a_row : a + r * a_row;
        const Vec<T> factor(at[kEach ? 0 : i * a_col]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) add_product(sum[r][v], factor, row[v]);
      }
      step(b, p.b_row);
      if (kEach) step(a, a_col);
      if (kEach && kFarRows) step(lower, a_col);
    }
    if (!kEach) step(a, kAtOnce * a_col);
    if (!kEach && kFarRows) step(lower, kAtOnce * a_col);
  }
}

// c[tiles * kRows, kVectors vectors], a register tile at a time. The last vector starts at `c_last`, which may overlap the one
// before: columns that do not fill a vector are covered by a second computation of their neighbours (the same chain, so the same
// bits) and the loop knows no tails. With `aside`, other memory is moved meanwhile.
template <class T, int kRows, int kVectors, bool kAside = false>
[[gnu::noinline]] void tile(const Product<T>& product, ptrdiff_t tiles, [[maybe_unused]] Aside<T>* aside = nullptr) {
  const Product<T> p = product;                                 // a copy: the stores to C cannot change it
  constexpr bool kAsks = kWholeLines && kRows >= 3 && !kAside;  // of fewer rows, loads take longest
  constexpr bool kSeveral = kRowsAtOnce > 1 && is_main_tile(kRows, kVectors);
  const auto column = [](int v, ptrdiff_t last) { return v == kVectors - 1 ? last : ptrdiff_t(v * kLanes<T>); };
  const T *top = p.a, *start = p.start;
  T* c = p.c;
  do {
    Vec<T> sum[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Vec<T>(0.0);
    if (start) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[r][v] = load(start + r * p.start_row + column(v, p.c_last));
      start += kRows * p.start_row;
    }
    const T *a = top, *b = p.b, *next = p.asks_a ? top + kRows * p.a_step : p.b + p.ahead;
    const ptrdiff_t next_row = p.asks_a ? kRows : p.b_row;
    if (kSeveral && p.asks_c) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) __builtin_prefetch(c + (kRows + r) * p.c_row + p.c_last);
    }
    ptrdiff_t i = p.k;
    if constexpr (kSeveral) {
      while (i >= kRowsAtOnce) {
        const ptrdiff_t some = kAside && i > kAsideEvery ? kAsideEvery : i - i % kRowsAtOnce;
        if constexpr (kAside) aside->template step<kCopiedVectors>(p.k);
        if (p.a_row == 1 && p.a_col == kRows)
          add_products<Layout::tile, kRowsAtOnce>(sum, a, b, p, some);
        else if (p.a_row == 1)
          add_products<Layout::columns, kRowsAtOnce>(sum, a, b, p, some);
        else if (p.a_col == 1)
          add_products<Layout::rows, kRowsAtOnce>(sum, a, b, p, some);
        else
          break;
        i -= some;
      }
      add_products<Layout::any, 1>(sum, a, b, p, i);
    }
    for (; !kSeveral && i > 0; --i, a += p.a_col, b += p.b_row, next += next_row) {
      if constexpr (kAside) {
        if (i % kAsideEvery == 0) {
          if (i <= kAsideEvery * kRows && aside->far_c) ask_for_strip(c + (kRows - 1 + i / kAsideEvery) * p.c_row);
          aside->template step<kCopiedVectors>(p.k);
        }
      }
      Vec<T> row[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        row[v] = load(b + column(v, p.b_last));
        if (kAsks) __builtin_prefetch(next + v * kLanes<T>);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vec<T> factor(a[r * p.a_row]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(factor, row[v], sum[r][v]);
      }
    }
    if (p.adds) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[r][v] = sum[r][v] + load(c + r * p.c_row + column(v, p.c_last));
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
  if (p.start) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = load(p.start + r * p.start_row, n);
  }
  const T *a = p.a, *b = p.b, *next = p.asks_a ? a + kRows * p.a_row : b;
  const ptrdiff_t next_row = p.asks_a ? kRows : p.b_row;
  for (ptrdiff_t i = p.k; i > 0; --i, a += p.a_col, b += p.b_row, next += next_row) {
    const Vec<T> row = load(b, n);
    if (kWholeLines) __builtin_prefetch(next);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = fma(Vec<T>(a[r * p.a_row]), row, sum[r]);
  }
  if (p.adds) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = sum[r] + load(p.c + r * p.c_row, n);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) store(p.c + r * p.c_row, sum[r], n);
}

template <class T, int kRows>
void run_tile(const Product<T>& p, int vectors, ptrdiff_t tiles, Aside<T>* aside) {
  if constexpr (is_main_tile(kRows, kTileVectors))
    if (vectors == kTileVectors && aside && aside->busy()) return tile<T, kRows, kTileVectors, true>(p, tiles, aside);
  with_number<widest(kRows)>(vectors, [&](auto count) { tile<T, kRows, count()>(p, tiles); });
}

template <class T>
void run_rows(const Product<T>& p, int rows, int vectors, ptrdiff_t tiles, Aside<T>* aside) {
  with_number<kOneTileRows>(rows, [&](auto count) { run_tile<T, count()>(p, vectors, tiles, aside); });
}

template <class T>
void run_thin(const Product<T>& p, int rows, ptrdiff_t n) {
  with_number<kThinRows>(rows, [&](auto count) { thin_tile<T, count()>(p, n); });
}

LAMINA_INLINE ptrdiff_t parts_of(ptrdiff_t total, ptrdiff_t most) { return (total + most - 1) / most; }

// Rows [0, m) as tiles of at most `most`, near-equal: the `taller` ones of rows + 1 come first, then those of `rows`. A last tile of
// one row would leave the pipes empty; 61 rows are better 6 x 6 + 5 x 5 than 10 x 6 + 1.
struct RowTiles {
  ptrdiff_t rows, taller, others;

  RowTiles(ptrdiff_t m, ptrdiff_t most) {
    const ptrdiff_t tiles = parts_of(m, most);
    rows = m / tiles;
    taller = m % tiles;
    others = tiles - taller;
  }
};

// The columns of C in panels of `most` vectors, the last two as even as can be. The last vector of a panel starts at `last`. With two
// vectors or more, the last panel has two or more: the vector that is moved back to end at column n overlaps only its neighbour in
// the same tile, whose old values were read before either is stored.
template <class T>
struct Panels {
  ptrdiff_t n, vectors, most, count;

  Panels(ptrdiff_t n_, ptrdiff_t most_) : n(n_), vectors(parts_of(n_, kLanes<T>)), most(most_), count(parts_of(vectors, most_)) {}

  struct Panel {
    ptrdiff_t column, end, vectors, last;
  };
  Panel operator[](ptrdiff_t i) const {
    const ptrdiff_t at = start(i), next = start(i + 1);
    const ptrdiff_t end = next * kLanes<T> < n ? next * kLanes<T> : n;
    return {at * kLanes<T>, end, next - at, end - kLanes<T> - at * kLanes<T>};
  }

 private:
  ptrdiff_t start(ptrdiff_t i) const {
    if (i == count) return vectors;
    if (i + 1 < count || i == 0) return i * most;
    return (vectors - (i - 1) * most) / 2 + (i - 1) * most;
  }
};

LAMINA_KERNELS_END
