// Factors of a product side by side: A in row tiles, B in panels of columns.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/transpose.inl"

LAMINA_KERNELS_BEGIN

constexpr ptrdiff_t kPackedCols = 8;  // columns of A that are copied for one tile before the next tile is copied
constexpr ptrdiff_t kPackedRun = 64;  // rows of B that are copied for one panel before the next panel is copied

// `tiles` tiles of A, each k by k: the kRows numbers that meet one row of B lie side by side. Where the columns of A are dense, all
// tiles take from a few of them before the next few have their turn: a line has numbers of several tiles, and lines that are a power
// of two apart do not stay.
template <class T, int kRows>
[[gnu::noinline]] T* pack_tiles(T* to, const T* a, ptrdiff_t a_row, ptrdiff_t a_col, ptrdiff_t k, ptrdiff_t tiles) {
  const ptrdiff_t run = a_row == 1 ? kPackedCols : k;
  for (ptrdiff_t k0 = 0; k0 < k; k0 += run) {
    const ptrdiff_t count = smaller(k - k0, run);
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
T* pack_tiles(T* to, const Product<T>& p, const T* a, int rows, ptrdiff_t tiles) {
  return with_number<kTileRows>(rows, [&](auto count) { return pack_tiles<T, count()>(to, a, p.a_row, p.a_col, p.k, tiles); });
}

// m rows of A.
template <class T>
void pack_rows(T* to, const Product<T>& p, ptrdiff_t m) {
  const RowTiles tiles(m, kTileRows);
  T* rest = pack_tiles(to, p, p.a, int(tiles.rows + 1), tiles.taller);
  pack_tiles(rest, p, p.a + tiles.taller * (tiles.rows + 1) * p.a_row, int(tiles.rows), tiles.others);
}

// Panels from `first` on that are whole: as wide as the main tile, each column once.
template <class T>
ptrdiff_t whole_panels(const Panels<T>& panels, ptrdiff_t first, ptrdiff_t last) {
  ptrdiff_t i = first;
  while (i < last && panels[i].vectors == kTileVectors && panels[i].last == (kTileVectors - 1) * kLanes<T>) ++i;
  return i - first;
}

// Rows [k0, k) of panels [first, last) of a B whose rows are dense, a row of all panels at a time.
template <class T>
void copy_rows(T* to, const Product<T>& p, const Panels<T>& panels, ptrdiff_t first, ptrdiff_t last, ptrdiff_t k0) {
  const ptrdiff_t left = panels[first].column, bytes = (panels[last - 1].end - left) * ptrdiff_t(sizeof(T));
  const T* b = p.b + k0 * p.b_row + left;
  constexpr ptrdiff_t kWidth = kTileVectors * kLanes<T>;
  const ptrdiff_t whole = whole_panels(panels, first, last);  // for whose rows nothing is worked out: 3 to 13 %
  for (ptrdiff_t k = k0; k < p.k; ++k, b += p.b_row) {
    for (ptrdiff_t at = 0; at < bytes; at += kStripBytes)
      ask_for_strip(reinterpret_cast<const char*>(b + kCopiedAhead * p.b_row) + at);
    T* panel = to;
    for (ptrdiff_t i = 0; i < whole; ++i, panel += p.k * kWidth)
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) store(panel + k * kWidth + v * kLanes<T>, load(b + i * kWidth + v * kLanes<T>));
    for (ptrdiff_t i = first + whole; i < last; ++i) {
      const auto at = panels[i];
      const T* from = b + at.column - left;
      T* out = panel + k * at.vectors * kLanes<T>;
      for (ptrdiff_t v = 0; v + 1 < at.vectors; ++v) store(out + v * kLanes<T>, load(from + v * kLanes<T>));
      store(out + (at.vectors - 1) * kLanes<T>, load(from + at.last));
      panel += p.k * at.vectors * kLanes<T>;
    }
  }
}

// The same where they are not: a vector of columns at a time.
template <class T>
void transpose_rows(T* to, const T* b, ptrdiff_t b_row, ptrdiff_t b_col, ptrdiff_t vectors, ptrdiff_t last, ptrdiff_t k) {
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

// Rows [k0, k) of panels [first, last) of B, one panel behind the other, each of k rows.
template <class T>
void pack_panels(T* to, const Product<T>& p, ptrdiff_t b_col, const Panels<T>& panels, ptrdiff_t first, ptrdiff_t last,
                 ptrdiff_t k0) {
  if (first == last) return;
  if (b_col == 1) return copy_rows(to, p, panels, first, last, k0);
  for (; k0 < p.k; k0 += kPackedRun) {
    const ptrdiff_t k = smaller(p.k - k0, kPackedRun);
    T* panel = to;
    for (ptrdiff_t i = first; i < last; ++i) {
      const auto at = panels[i];
      const ptrdiff_t width = at.vectors * kLanes<T>;
      transpose_rows(panel + k0 * width, p.b + k0 * p.b_row + at.column * b_col, p.b_row, b_col, at.vectors, at.last, k);
      panel += p.k * width;
    }
  }
}

LAMINA_KERNELS_END
