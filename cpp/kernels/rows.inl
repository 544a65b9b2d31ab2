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

// The columns from c on, fewer than a vector. An extreme may count a column twice; a sum wants zeros.
template <class Op, bool kDense, class T>
LAMINA_INLINE Vec<T> rest_of_row(const T* x, ptrdiff_t c, ptrdiff_t cols) {
  if constexpr (!kDense) return first_lanes(Vec<T>(*x), cols - c, Vec<T>(Op::kEmpty));
  if constexpr (Op::kEmpty == 0) return load(x + c, cols - c);
  if (cols >= kLanes<T>) return load(x + cols - kLanes<T>);
  return first_lanes(load(x, cols), cols, Vec<T>(Op::kEmpty));
}

// kCount vectors of a row from column c on; vector i is merged with chain[i].
template <class Op, int kCount, class T, class At, class Done>
LAMINA_INLINE void vectors_of_row(Vec<T>* chain, ptrdiff_t c, At at, Done done) {
  Vec<T> x[kCount];
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) x[i] = at(c + i * kLanes<T>);
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) chain[i] = Op::merge(chain[i], x[i]);
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) done(c + i * kLanes<T>, x[i]);
}

// A row in one vector, whose lanes are still to be merged; it is read by at(c), and by rest(c) the columns from c on, fewer than a
// vector. Four accumulators: one addition waits 3 to 5 cycles for the one before. done(c, x) gets what at(c) gave, after all four have
// been read: a call between them would keep the compiler from mixing their instructions.
template <class Op, class T, class At, class Rest, class Done>
LAMINA_INLINE Vec<T> in_lanes(ptrdiff_t cols, At at, Rest rest, Done done) {
  constexpr int kChains = 4;
  constexpr ptrdiff_t kStep = kChains * kLanes<T>;
  if (cols > 0 && cols < kLanes<T>) return rest(0);
  Vec<T> chain[kChains];
  for (Vec<T>& a : chain) a = Vec<T>(Op::kEmpty);
  ptrdiff_t c = 0;
  for (; c + kStep <= cols; c += kStep) vectors_of_row<Op, kChains>(chain, c, at, done);
  for (; c + kLanes<T> <= cols; c += kLanes<T>) vectors_of_row<Op, 1>(chain, c, at, done);
  if (c < cols) chain[1] = Op::merge(chain[1], rest(c));
  const Vec<T> first = Op::merge(chain[0], chain[1]);
  return cols < kStep ? first : Op::merge(first, Op::merge(chain[2], chain[3]));
}

// A row of one value is added up as if it were written out.
template <class Op, bool kDense, class T>
LAMINA_INLINE Vec<T> row_in_lanes(const T* x, ptrdiff_t cols) {
  return in_lanes<Op, T>(
      cols, [x](ptrdiff_t c) { return kDense ? load(x + c) : Vec<T>(*x); },
      [x, cols](ptrdiff_t c) { return rest_of_row<Op, kDense>(x, c, cols); }, [](ptrdiff_t, Vec<T>) {});
}

// Each half of every group of 2 kHalf lanes of x, and then of y, merged with the other half: groups of kHalf, of x and y by turns.
template <class Op, int kHalf, class T, int... kIndex>
LAMINA_INLINE Vec<T> merge_halves(Vec<T> x, Vec<T> y, Indices<kIndex...>) {
  constexpr int kAll = kLanes<T>;
  constexpr auto from = [](int lane) { return lane / kHalf % 2 * kAll + lane / kHalf / 2 * 2 * kHalf + lane % kHalf; };
  return Op::merge(Vec<T>(shuffled<from(kIndex)...>(x.raw, y.raw)), Vec<T>(shuffled<(from(kIndex) + kHalf)...>(x.raw, y.raw)));
}

// Lane i: merge_lanes() of row(first + i * kEvery), for as many rows as there are lanes.
template <class Op, class T, int kEvery = 1, class Row>
LAMINA_INLINE Vec<T> merge_rows(Row row, int first = 0) {
  if constexpr (kEvery == kLanes<T>)
    return row(first);
  else
    return merge_halves<Op, kEvery>(merge_rows<Op, T, 2 * kEvery>(row, first), merge_rows<Op, T, 2 * kEvery>(row, first + kEvery),
                                    typename CountUp<kLanes<T>>::Result());
}

template <class T, class Op, bool kDense>
LAMINA_INLINE void row_reduce_all(const TileArgs& t) {
  const T* x = static_cast<const T*>(t.in[0].data);
  T* out = static_cast<T*>(t.out);
  const auto row = [&](ptrdiff_t r) { return row_in_lanes<Op, kDense>(x + r * t.in[0].row, t.cols); };
  ptrdiff_t r = 0;
  if (t.out_row == 1)
    for (; r + kLanes<T> <= t.rows; r += kLanes<T>) store(out + r, merge_rows<Op, T>([&](int i) { return row(r + i); }));
  for (; r < t.rows; ++r) out[r * t.out_row] = merge_lanes<Op>(row(r));
}

template <class T, class Op>
[[gnu::flatten]] void row_reduce(const TileArgs& t) {
  t.in[0].col ? row_reduce_all<T, Op, true>(t) : row_reduce_all<T, Op, false>(t);
}

// The first column that holds the extreme (or the first NaN): one pass to find the value, one to find where.
template <class T, class Op>
[[gnu::flatten]] void row_arg(const TileArgs& t) {
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const T* x = static_cast<const T*>(t.in[0].data) + r * t.in[0].row;
    ptrdiff_t at = 0;
    if (t.in[0].col) {
      const T best = merge_lanes<Op>(row_in_lanes<Op, true>(x, t.cols));
      const bool nan = best != best;
      const auto lacks_it = [&](Vec<T> v) { return nan ? all(v == v) : all(v != Vec<T>(best)); };
      while (at + kLanes<T> <= t.cols && lacks_it(load(x + at))) at += kLanes<T>;
      while (nan ? x[at] == x[at] : x[at] != best) ++at;
    }
    static_cast<T*>(t.out)[r * t.out_row] = T(at);
  }
}

// Columns [c, c + kVectors vectors) of out, merged with every row. Where the rows are the first, out is not read: what has just been
// written there in smaller pieces would be waited for.
template <class T, class Op, int kVectors, bool kDense, class Load>
LAMINA_INLINE void column_block(const TileArgs& t, ptrdiff_t c, Vec<T>* sum, Load load_at) {
  const T* out = static_cast<const T*>(t.out) + c;
  const T* x = static_cast<const T*>(t.in[0].data) + (kDense ? c : 0);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] = Vec<T>(Op::kEmpty);
  if (!t.fresh)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[v] = load_at(out + v * kLanes<T>);
  for (ptrdiff_t r = 0; r < t.rows; ++r, x += t.in[0].row)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[v] = Op::merge(sum[v], kDense ? load_at(x + v * kLanes<T>) : Vec<T>(*x));
}

// As elementwise_row: what does not fill a vector is computed first and stored last.
template <class T, class Op, bool kDense>
LAMINA_INLINE void column_reduce_all(const TileArgs& t) {
  constexpr ptrdiff_t kLane = kLanes<T>;
  constexpr int kVectors = 4;
  const auto full = [](const T* p) { return load(p); };
  const ptrdiff_t cols = t.cols;
  const bool ragged = cols % kLane != 0, wide = cols >= kLane;
  T* out = static_cast<T*>(t.out);
  Vec<T> last[1] = {Vec<T>(0.0)}, sum[kVectors];
  if (ragged && wide) column_block<T, Op, 1, kDense>(t, cols - kLane, last, full);
  if (ragged && !wide) column_block<T, Op, 1, kDense>(t, 0, last, [cols](const T* p) { return load(p, cols); });
  ptrdiff_t c = 0;
  for (; c + kVectors * kLane <= cols; c += kVectors * kLane) {
    column_block<T, Op, kVectors, kDense>(t, c, sum, full);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(out + c + v * kLane, sum[v]);
  }
  for (; c + kLane <= cols; c += kLane) {
    column_block<T, Op, 1, kDense>(t, c, sum, full);
    store(out + c, sum[0]);
  }
  if (ragged) wide ? store(out + cols - kLane, last[0]) : store(out, last[0], cols);
}

template <class T, class Op>
[[gnu::flatten]] void column_reduce(const TileArgs& t) {
  t.in[0].col ? column_reduce_all<T, Op, true>(t) : column_reduce_all<T, Op, false>(t);
}

LAMINA_KERNELS_END
