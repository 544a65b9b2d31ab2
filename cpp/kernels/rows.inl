// Reductions. Along a row: out[r] = op over c of in[r, c]. Down a column: out[c] = op(out[c], in[r, c]) for r = 0, 1, ...
// The order of every sum depends on the number of columns alone.
#pragma once

#include "kernels/elementwise.inl"

LAMINA_KERNELS_BEGIN

struct SumOf {
  static constexpr double kEmpty = 0.0;
  template <class V>
  static V merge(V a, V b) {
    return a + b;
  }
};

struct MaxOf {
  static constexpr double kEmpty = -__builtin_inf();
  template <class V>
  static V merge(V a, V b) {
    return max(a, b);
  }
};

struct MinOf {
  static constexpr double kEmpty = __builtin_inf();
  template <class V>
  static V merge(V a, V b) {
    return min(a, b);
  }
};

// Lane i with lane i + half, until one is left.
template <class Op, class T, int kHalf = kLanes<T> / 2>
LAMINA_INLINE T merge_lanes(Vec<T> x) {
  if constexpr (kHalf == 0)
    return x.raw[0];
  else
    return merge_lanes<Op, T, kHalf / 2>(Op::merge(x, rotated<kHalf>(x)));
}

// Four accumulators: one addition waits 3 to 5 cycles for the one before.
template <class Op, class T>
LAMINA_INLINE T reduce_row(const T* x, ptrdiff_t cols) {
  constexpr int kChains = 4;
  constexpr ptrdiff_t kStep = kChains * kLanes<T>;
  Vec<T> chain[kChains];
  for (Vec<T>& a : chain) a = Vec<T>(Op::kEmpty);
  ptrdiff_t c = 0;
  for (; c + kStep <= cols; c += kStep)
    for (int i = 0; i < kChains; ++i) chain[i] = Op::merge(chain[i], load(x + c + i * kLanes<T>));
  for (; c + kLanes<T> <= cols; c += kLanes<T>) chain[0] = Op::merge(chain[0], load(x + c));
  if (c < cols) chain[1] = Op::merge(chain[1], first_lanes(load(x + c, cols - c), cols - c, Vec<T>(Op::kEmpty)));
  return merge_lanes<Op>(Op::merge(Op::merge(chain[0], chain[1]), Op::merge(chain[2], chain[3])));
}

// A row of one value: the same tree over a buffer would do, but a row that short or that constant is rare.
template <class Op, class T>
T reduce_splat(T x, ptrdiff_t cols) {
  Vec<T> all(Op::kEmpty);
  for (ptrdiff_t c = 0; c < cols; ++c) all = Op::merge(all, Vec<T>(x));
  return all.raw[0];
}

template <class T, class Op>
[[gnu::flatten]] void row_reduce(const TileArgs& t) {
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const T* x = static_cast<const T*>(t.in[0].data) + r * t.in[0].row;
    static_cast<T*>(t.out)[r * t.out_row] = t.in[0].col ? reduce_row<Op>(x, t.cols) : reduce_splat<Op>(*x, t.cols);
  }
}

// The first column that holds the extreme (or the first NaN): one pass to find the value, one to find where.
template <class T, class Op>
[[gnu::flatten]] void row_arg(const TileArgs& t) {
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const T* x = static_cast<const T*>(t.in[0].data) + r * t.in[0].row;
    ptrdiff_t at = 0;
    if (t.in[0].col) {
      const T best = reduce_row<Op>(x, t.cols);
      const bool nan = best != best;
      while (nan ? x[at] == x[at] : x[at] != best) ++at;
    }
    static_cast<T*>(t.out)[r * t.out_row] = T(at);
  }
}

template <class T, class Op, int kVectors, bool kDense>
LAMINA_INLINE void column_block(const TileArgs& t, ptrdiff_t c) {
  T* out = static_cast<T*>(t.out) + c;
  const T* x = static_cast<const T*>(t.in[0].data) + (kDense ? c : 0);
  Vec<T> sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = load(out + v * kLanes<T>);
  for (ptrdiff_t r = 0; r < t.rows; ++r, x += t.in[0].row)
    for (int v = 0; v < kVectors; ++v) sum[v] = Op::merge(sum[v], kDense ? load(x + v * kLanes<T>) : Vec<T>(*x));
  for (int v = 0; v < kVectors; ++v) store(out + v * kLanes<T>, sum[v]);
}

template <class T, class Op, bool kDense>
LAMINA_INLINE void column_tail(const TileArgs& t, ptrdiff_t c) {
  const ptrdiff_t n = t.cols - c;
  T* out = static_cast<T*>(t.out) + c;
  const T* x = static_cast<const T*>(t.in[0].data) + (kDense ? c : 0);
  Vec<T> sum = load(out, n);
  for (ptrdiff_t r = 0; r < t.rows; ++r, x += t.in[0].row) sum = Op::merge(sum, kDense ? load(x, n) : Vec<T>(*x));
  store(out, sum, n);
}

template <class T, class Op, bool kDense>
LAMINA_INLINE void column_reduce_all(const TileArgs& t) {
  constexpr int kVectors = 4;
  ptrdiff_t c = 0;
  for (; c + kVectors * kLanes<T> <= t.cols; c += kVectors * kLanes<T>) column_block<T, Op, kVectors, kDense>(t, c);
  for (; c + kLanes<T> <= t.cols; c += kLanes<T>) column_block<T, Op, 1, kDense>(t, c);
  if (c < t.cols) column_tail<T, Op, kDense>(t, c);
}

template <class T, class Op>
[[gnu::flatten]] void column_reduce(const TileArgs& t) {
  t.in[0].col ? column_reduce_all<T, Op, true>(t) : column_reduce_all<T, Op, false>(t);
}

LAMINA_KERNELS_END
