// c[m, n] = start[m, n] + a[m, k] b[k, n]: pieces of k outermost, blocks of rows inside, then gemm_block.inl; the sum over the piece is
// innermost, in registers (after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).
//
// B is read a few vectors of a row at a time, A one element at a time and broadcast, so any strides of A do: A B and A^T B are one
// kernel. A and B are packed where their strides hurt: B before it is multiplied, or, by tiles that have time, its next strip while this
// one is (gemm_aside.inl).
// Every element is one chain of fused multiply-adds over ascending k; how C is cut never changes a bit.
#pragma once

#include "kernels/gemm_block.inl"
#include "kernels/gemm_few_rows.inl"
#include "kernels/gemm_narrow.inl"
#include "kernels/gemm_policy.inl"
#include "kernels/table.h"

LAMINA_KERNELS_BEGIN

// n columns, fewer than a vector has lanes.
template <class T>
void run_thin_panel(Product<T> p, ptrdiff_t m, ptrdiff_t n, ptrdiff_t b_col, T* room) {
  if (b_col != 1) {
    for (ptrdiff_t i = 0; i < p.k; ++i)
      for (ptrdiff_t j = 0; j < n; ++j) room[i * n + j] = p.b[i * p.b_row + j * b_col];
    p.b = room;
    p.b_row = n;
  }
  const RowTiles tiles(m, kThinRows);
  for (ptrdiff_t i = 0; i < tiles.taller + tiles.others; ++i) {
    const ptrdiff_t rows = i < tiles.taller ? tiles.rows + 1 : tiles.rows;
    run_thin(p, int(rows), n);
    p.a += rows * p.a_row;
    p.c += rows * p.c_row;
    if (p.start) p.start += rows * p.start_row;
  }
}

// k = 1 and n < a vector: the rows of a dense C are vectors that run on into the next row, which is written after it.
template <class T>
void run_thin_outer(const GemmArgs& args) {
  const GemmArgs g = args;  // a copy: see VecTraits
  const T* a = static_cast<const T*>(g.a);
  T* c = static_cast<T*>(g.c);
  const Vec<T> row = load(static_cast<const T*>(g.b), g.n);
  ptrdiff_t i = 0;
  for (const ptrdiff_t last = g.m * g.n - kLanes<T>; i * g.n <= last; ++i)
    store(c + i * g.n, fma(Vec<T>(a[i * g.a_row]), row, Vec<T>(0.0)));
  for (; i < g.m; ++i) store(c + i * g.n, fma(Vec<T>(a[i * g.a_row]), row, Vec<T>(0.0)), g.n);
}

// k = 1, as in the gradients of a batch of one: each row of C is the row of B times a number, stored once and read never.
// Sums begin at zero, or at one row for all.
template <class T>
void run_outer(const GemmArgs& args) {
  const GemmArgs g = args;  // a copy: see VecTraits
  const T *a = static_cast<const T*>(g.a), *b = static_cast<const T*>(g.b);
  const T* start = static_cast<const T*>(g.start);
  T* c = static_cast<T*>(g.c);
  for (ptrdiff_t i = 0; i < g.m; ++i, a += g.a_row, c += g.c_row) {
    const Vec<T> factor(*a);
    const auto at = [&](ptrdiff_t j) { store(c + j, fma(factor, load(b + j), start ? load(start + j) : Vec<T>(0.0))); };
    for (ptrdiff_t j = 0; j + kLanes<T> < g.n; j += kLanes<T>) at(j);
    at(g.n - kLanes<T>);
  }
}

template <class T>
void multiply(const GemmArgs& g) {
  if (!g.adds && run_few_rows<T>(g)) return;
  const bool is_outer = g.k == 1 && !g.adds && g.b_col == 1;
  if (is_outer && g.n < kLanes<T> && !g.start && g.c_row == g.n) return run_thin_outer<T>(g);
  if (is_outer && g.n >= kLanes<T> && g.start != g.c) return run_outer<T>(g);
  const RowTiles tiles(g.m, most_rows(g.m));
  const Panels<T> panels(g.n, widest(int(tiles.rows + (tiles.taller > 0))));
  const bool plain = is_plain<T>(g);
  // In pieces of k, so that a panel of B stays near while the row tiles pass over it. C carries the chains across.
  const ptrdiff_t pieces = pieces_of<T>(g);
  Product<T> whole = product_of<T>(g);
  if (asks_ahead<T>(g)) whole.ahead = kAskedRows * whole.b_row;
  whole.asks_a = whole.ahead == 0 && g.far_a;
  for (ptrdiff_t i = 0, at = 0; i < pieces; ++i) {
    const ptrdiff_t next = pieces == 1 ? g.k : g.k * (i + 1) / pieces;
    Product<T> p = whole;
    p.k = next - at;
    p.a += at * g.a_col;
    p.b += at * g.b_row;
    if (i > 0) p.go_on();
    if (g.n < kLanes<T>) {
      run_thin_panel(p, g.m, g.n, g.b_col, static_cast<T*>(g.room));
    } else if (plain) {
      run_plain(p, g, panels);
    } else {
      for (ptrdiff_t block = 0; block < parts_of(g.m, block_rows<T>(g)); ++block) {
        const ptrdiff_t row = block_start<T>(g, block), rows = block_start<T>(g, block + 1) - row;
        if (rows > 0) Block<T>(p, g, panels, row, rows, i + 1 == pieces).run();
      }
    }
    at = next;
  }
}

// Whichever way it is multiplied, all of C is handed out: nobody else needs to know what has parts.
template <class T>
void block(const GemmArgs& g) {
  if (g.m == 0 || g.n == 0) return;
  if (!g.finished || has_parts<T>(g)) return multiply<T>(g);
  GemmArgs whole = g;
  whole.finished = nullptr;
  whole.in_parts = false;
  if (g.in_parts) whole.c_row = g.n;
  multiply<T>(whole);
  g.finished(g.context, {0, g.m, 0, g.n, g.c, whole.c_row, false});
}

LAMINA_KERNELS_END
