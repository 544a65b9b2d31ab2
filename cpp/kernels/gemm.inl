// c[m, n] (+)= a[m, k] b[k, n]: pieces of k outermost, blocks of rows inside, column panels of B inside those, then row tiles of A, and
// the sum over the piece innermost, in registers (the order of Goto and van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication", 2008).
//
// B is read a few vectors of a row at a time, A one element at a time and broadcast, so any strides of A do: A B and A^T B are one
// kernel. A is packed where the caller gives room for it; B as a whole where there is room, else a few panels at a time where its
// stride hurts: at the sizes of small layers that costs more than it gives.
// Every element is one chain of fused multiply-adds over ascending k; how C is cut never changes a bit.
#pragma once

#include "kernels/gemm_few_rows.inl"
#include "kernels/gemm_narrow.inl"
#include "kernels/gemm_tiles.inl"
#include "kernels/table.h"
#include "kernels/transpose.inl"

LAMINA_KERNELS_BEGIN

// A panel of B is reused by every row tile, so k is taken in pieces whose panel stays near: within an L1 of 32 KB for the narrow tiles
// (a quarter to three quarters of it were 1 to 2 % slower: C is read and written once a piece), in L2 for the wide ones, which do 24
// multiply-adds for each 4 loads of B.
constexpr ptrdiff_t kPanelBytes = kRegisters == 32 ? 131072 : 32768;

// Rows of A, a piece of k of which stays in L2. (144 to 384 were as fast where B is packed as a whole.)
constexpr ptrdiff_t kBlockRows = 256;

// Rows of B that lie some power of two apart fall into a few sets of the cache and push each other out, each on a page of its own.
// Dense copies of panels pay from about five row tiles on (measured with 6x2 tiles: 91 % of the ceiling instead of 80; at strides
// under 1 KB they cost 5 %). The wide tiles have four lines of each row, and reached 98 % without at strides up to 2 KB.
// Several panels are copied at once: a row's lines lie side by side, and come from memory together.
constexpr ptrdiff_t kPackRows = 32;
constexpr ptrdiff_t kPackStride = kRegisters == 32 ? 4096 : 1024;
constexpr ptrdiff_t kPackedPanels = kRegisters == 32 ? 1 : 4;
constexpr ptrdiff_t kPackedCols = 8;  // columns of A that are copied for one tile before the next tile has its turn
constexpr ptrdiff_t kPackedRun = 64;  // rows of B that are copied for one panel before the next panel has its turn

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

// `tiles` tiles of A, each k by k: the kRows numbers that meet one row of B lie side by side. Where the columns of A are dense, all
// tiles take from a few of them before the next few have their turn: a line has numbers of several tiles, and lines that are a power
// of two apart do not stay.
template <class T, int kRows>
T* pack_tiles(T* to, const T* a, ptrdiff_t a_row, ptrdiff_t a_col, ptrdiff_t k, ptrdiff_t tiles) {
  const ptrdiff_t run = a_row == 1 ? kPackedCols : k;
  for (ptrdiff_t k0 = 0; k0 < k; k0 += run) {
    const ptrdiff_t count = k - k0 < run ? k - k0 : run;
    for (ptrdiff_t tile = 0; tile < tiles; ++tile) {
      const T* column = a + tile * kRows * a_row + k0 * a_col;
      T* out = to + (tile * k + k0) * kRows;
      if (a_row == 1) {
        for (ptrdiff_t i = 0; i < count; ++i, column += a_col, out += kRows) __builtin_memcpy(out, column, kRows * sizeof(T));
        continue;
      }
      for (ptrdiff_t i = 0; i < count; ++i, column += a_col, out += kRows)
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) out[r] = column[r * a_row];
    }
  }
  return to + tiles * k * kRows;
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

// All columns, panel by panel; `ready` are the panels of B, where they are packed already.
template <class T>
void run_panels(const Product<T>& whole, ptrdiff_t m, const Panels<T>& panels, ptrdiff_t b_col, ptrdiff_t diagonal,
                const T* ready) {
  alignas(64) T packed[kPackedPanels * kPanelBytes / ptrdiff_t(sizeof(T))];
  const bool packs = !ready && (b_col != 1 || (m >= kPackRows && whole.b_row * ptrdiff_t(sizeof(T)) >= kPackStride));
  const T* from = ready;
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
    if (from) {
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

// All rows, block by block.
template <class T>
void run_blocks(const Product<T>& whole, const GemmArgs& g, const Panels<T>& panels) {
  T *packed_a = static_cast<T*>(g.packed_a), *packed_b = static_cast<T*>(g.packed_b);
  if (packed_b) pack_panels(packed_b, whole, g.b_col, panels, 0, panels.count);
  const ptrdiff_t blocks = parts_of(g.m, kBlockRows);
  for (ptrdiff_t i = 0, row = 0; i < blocks; ++i) {
    const ptrdiff_t next = g.m * (i + 1) / blocks;
    Product<T> p = whole;
    p.a += row * whole.a_row;
    p.c += row * whole.c_row;
    if (packed_a) p = with_packed_rows(p, packed_a, next - row);
    run_panels<T>(p, next - row, panels, g.b_col, g.diagonal - row, packed_b);
    row = next;
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
      run_blocks(p, g, panels);
    at = next;
  }
}

LAMINA_KERNELS_END
