// Softmax along rows as one instruction: the maximum, the exponentials with their sum, the division, row by row while the row is near.
// The bits are those of row_max, exp_minus, row_sum and div one after the other.
#pragma once

#include "kernels/math.inl"
#include "kernels/rows.inl"

LAMINA_KERNELS_BEGIN

// MaxOf in one operation: of a NaN it may take no notice, which the exponential of that NaN does.
struct MaxOfNumbers : MaxOf {
  template <class V>
  static V merge(V a, V b) {
    return first_if_greater(a.raw, b.raw);
  }
};

// x / y by 1 / y, rounded as a division is: what is missing of the first quotient is exact, where x is not so small that it would be
// subnormal, and its quotient is added with one rounding (Markstein 1990, theorem 8.2). Only a subnormal result may be off by one unit.
template <class T>
LAMINA_INLINE Vec<T> quotient(Vec<T> x, Vec<T> y, Vec<T> inverse) {
  if constexpr (!kFused) return x / y;
  const Vec<T> q = x * inverse;
  return fma(fma(-q, y, x), inverse, q);
}

// result[r] = merge_lanes() of row(r), r < rows <= kLanes
template <class Op, class T, class Row>
LAMINA_INLINE void merge_some(T* result, ptrdiff_t rows, Row row) {
  if (rows == kLanes<T>)
    store(result, merge_rows<Op, T>(row));
  else
    for (ptrdiff_t r = 0; r < rows; ++r) result[r] = merge_lanes<Op>(row(r));
}

// Exponentials and their sum are multiplied by two to this power: the quotient is the same, and what is missing of it is not subnormal.
template <class T>
constexpr int kUp = sizeof(T) == 4 ? 64 : 128;

// Rows [0, rows), at most kLanes of them, each step for all: a row's steps wait for each other, those of other rows do not.
template <class T, bool kDense>
LAMINA_INLINE void softmax_rows(const T* x, ptrdiff_t x_row, T* out, ptrdiff_t out_row, ptrdiff_t rows, ptrdiff_t cols) {
  constexpr ptrdiff_t kLane = kLanes<T>;
  alignas(kVectorBytes) T most[kLane], sum[kLane], inverse[kLane];
  alignas(kVectorBytes) T sums[kLane][kLane];
  const auto read = [](const T* from) { return kDense ? load(from) : Vec<T>(*from); };
  merge_some<MaxOfNumbers>(most, rows, [&](ptrdiff_t r) { return row_in_lanes<MaxOfNumbers, kDense>(x + r * x_row, cols); });
  const auto exp = exp_of_negatives<T, kUp<T>>([](Vec<T> c) { return held(c); });
  for (ptrdiff_t r = 0; r < rows; ++r) {
    const T* from = x + r * x_row;
    T* to = out + r * out_row;
    const Vec<T> m(most[r]);
    const auto exp_at = [&](ptrdiff_t c) { return exp(read(from + (kDense ? c : 0)) - m); };
    const auto put = [&](ptrdiff_t c, Vec<T> e) { store(to + c, e); };
    const auto exp_rest = [&](ptrdiff_t c) {
      const Vec<T> e = exp((kDense ? load(from + c, cols - c) : Vec<T>(*from)) - m);
      store(to + c, e, cols - c);
      return first_lanes(e, cols - c, Vec<T>(0.0));
    };
    store(sums[r], in_lanes<SumOf, T>(cols, exp_at, exp_rest, put));
  }
  store(sum, Vec<T>(1.0));  // behind the last row
  merge_some<SumOf>(sum, rows, [&](ptrdiff_t r) { return load(sums[r]); });
  store(inverse, 1.0 / load(sum));
  const ptrdiff_t full = cols - cols % kLane;
  for (ptrdiff_t r = 0; r < rows; ++r) {
    const Vec<T> s(sum[r]), i(inverse[r]);
    T* to = out + r * out_row;
    for (T* end = to + full; to != end; to += kLane) store(to, quotient(load(to), s, i));
  }
  // The rest afterwards: a processor takes a vector in part for a whole one, and what follows in the next row would wait for it.
  for (ptrdiff_t r = 0; r < rows && full < cols; ++r) {
    T* to = out + r * out_row + full;
    store(to, quotient(load(to, cols - full), Vec<T>(sum[r]), Vec<T>(inverse[r])), cols - full);
  }
}

template <class T>
LAMINA_MIXED [[gnu::flatten]] void softmax(const TileArgs& t) {
  constexpr ptrdiff_t kNear = 16384 / sizeof(T);  // elements of a group of rows
  const ptrdiff_t fit = kNear / (t.cols < 1 ? 1 : t.cols), most = fit < 1 ? 1 : fit < kLanes<T> ? fit : kLanes<T>;
  const Operand& in = t.in[0];
  for (ptrdiff_t r = 0; r < t.rows; r += most) {
    const ptrdiff_t rows = smaller(most, t.rows - r);
    const T* x = static_cast<const T*>(in.data) + r * in.row;
    T* out = static_cast<T*>(t.out) + r * t.out_row;
    in.col ? softmax_rows<T, true>(x, in.row, out, t.out_row, rows, t.cols)
           : softmax_rows<T, false>(x, in.row, out, t.out_row, rows, t.cols);
  }
}

// Of one dense row, a value for each row of x: log(sum of e^(x - m)) + m, or an m that is infinite, where e^(x - m) is not a number.
template <class T>
void plus_max(const TileArgs& t) {
  const T *logarithm = static_cast<const T*>(t.in[0].data), *m = static_cast<const T*>(t.in[1].data);
  T* out = static_cast<T*>(t.out);
  const auto add = [=](ptrdiff_t c, auto... count) {
    const Vec<T> top = load(m + c, count...);
    store(out + c, where(abs(top) < kInfinity<T>, load(logarithm + c, count...) + top, top), count...);
  };
  ptrdiff_t c = 0;
  for (; c + kLanes<T> <= t.cols; c += kLanes<T>) add(c);
  if (c < t.cols) add(c, t.cols - c);
}

LAMINA_KERNELS_END
