// dst[c, r] = src[r, c]
//
// In blocks of `lanes` rows: 16-byte groups of four columns (f64: two) are loaded from where they belong and transposed within
// themselves, all groups of a vector at once. Long vectors may take whole lines instead, of which the groups are then transposed: twice
// as many shuffles, a quarter of the loads. On Emerald Rapids groups take 1 to 2 % off a small step, and few rows (gemm_few_rows.inl),
// which have so much else to load, would take 5 to 19 % longer by them.
#pragma once

#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

template <class T>
constexpr int kGroup = 16 / int(sizeof(T));
template <class T>
constexpr int kGroups = kVectorBytes / 16;

// Within each group, the low or high halves of a and b: zipped (a0 b0 a1 b1) or one after the other (a0 a1 b0 b1).
template <bool kZip, bool kHigh, class T, int... kIndex>
LAMINA_INLINE Vec<T> merged(Vec<T> a, Vec<T> b, Indices<kIndex...>) {
  constexpr int kHalf = kGroup<T> / 2;
  constexpr auto source = [](int i) {
    const int group = i / kGroup<T> * kGroup<T>, at = i % kGroup<T>;
    const bool from_b = kZip ? at % 2 : at / kHalf;
    return group + (kHigh ? kHalf : 0) + (kZip ? at / 2 : at % kHalf) + (from_b ? kLanes<T> : 0);
  };
  return shuffled<source(kIndex)...>(a.raw, b.raw);
}
template <bool kZip, bool kHigh, class T>
LAMINA_INLINE Vec<T> merged(Vec<T> a, Vec<T> b) {
  return merged<kZip, kHigh>(a, b, typename CountUp<kLanes<T>>::Result());
}

// Every second group of a, then of b, from the first or the second on.
template <bool kSecond, class T, int... kIndex>
LAMINA_INLINE Vec<T> every_second(Vec<T> a, Vec<T> b, Indices<kIndex...>) {
  return shuffled<((2 * (kIndex / kGroup<T>)+kSecond) * kGroup<T> + kIndex % kGroup<T>)...>(a.raw, b.raw);
}
template <bool kSecond, class T>
LAMINA_INLINE Vec<T> every_second(Vec<T> a, Vec<T> b) {
  return every_second<kSecond>(a, b, typename CountUp<kLanes<T>>::Result());
}

// Four rows (f64: two), of which vector i then has columns i, i + 4, i + 8, .., a group each.
LAMINA_INLINE void transpose_groups(Vec<float>* rows) {
  using V = Vec<float>;
  const V low01 = merged<true, false>(rows[0], rows[1]), high01 = merged<true, true>(rows[0], rows[1]);
  const V low23 = merged<true, false>(rows[2], rows[3]), high23 = merged<true, true>(rows[2], rows[3]);
  rows[0] = merged<false, false>(low01, low23);
  rows[1] = merged<false, true>(low01, low23);
  rows[2] = merged<false, false>(high01, high23);
  rows[3] = merged<false, true>(high01, high23);
}
LAMINA_INLINE void transpose_groups(Vec<double>* rows) {
  const Vec<double> low = merged<true, false>(rows[0], rows[1]);
  rows[1] = merged<true, true>(rows[0], rows[1]);
  rows[0] = low;
}

template <class T>
LAMINA_INLINE auto load_group(const T* p) {
  return *reinterpret_cast<const typename VecTraits<T>::Group*>(p);
}

// 16 bytes from each of the rows that fill a vector, `step` elements apart; or `count` numbers, and zeros.
template <class T, class... Count>
LAMINA_INLINE Vec<T> load_groups(const T* p, [[maybe_unused]] ptrdiff_t step, Count... count) {
  const auto group = [=](int i) { return load_group(p + i * step, count...); };
#if LAMINA_VECTOR_BYTES == 64
  return typename VecTraits<T>::Raw(groups(group(0), group(1), group(2), group(3)));
#elif LAMINA_VECTOR_BYTES == 32
  return typename VecTraits<T>::Raw(groups(group(0), group(1)));
#else
  return typename VecTraits<T>::Raw(group(0));
#endif
}

template <class T>
constexpr int kAtOnce = kVectorBytes == 64 ? kLanes<T> : kGroup<T>;  // columns that are transposed at once

// A square of rows becomes one of columns.
template <class T>
LAMINA_INLINE void transpose_square(Vec<T> (&x)[kLanes<T>]) {
#pragma GCC unroll 4
  for (int g = 0; g < kGroups<T>; ++g) transpose_groups(x + g * kGroup<T>);
  // Vectors i, i + 4, .. have groups of the same columns: a transposition of groups, by halving the distance of columns.
#pragma GCC unroll 4
  for (int step = 1; step < kGroups<T>; step *= 2) {
    Vec<T> y[kLanes<T>];
#pragma GCC unroll 4
    for (int g = 0; g < kGroups<T>; g += 2)
#pragma GCC unroll 4
      for (int i = 0; i < kGroup<T>; ++i) {
        const Vec<T> a = x[g * kGroup<T> + i], b = x[(g + 1) * kGroup<T> + i];
        y[g / 2 * kGroup<T> + i] = every_second<false>(a, b);
        y[(g / 2 + kGroups<T> / 2) * kGroup<T> + i] = every_second<true>(a, b);
      }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) x[i] = y[i];
  }
}

// The first columns of `lanes` rows, as many as are transposed at once, from groups; or `count` of a group, and zeros.
template <class T, class... Count>
LAMINA_INLINE void transpose_by_groups(Vec<T> (&columns)[kAtOnce<T>], const T* from, ptrdiff_t from_row, Count... count) {
#pragma GCC unroll 8
  for (int c = 0; c < kAtOnce<T>; c += kGroup<T>) {
#pragma GCC unroll 4
    for (int r = 0; r < kGroup<T>; ++r) columns[c + r] = load_groups(from + r * from_row + c, kGroup<T> * from_row, count...);
    transpose_groups(columns + c);
  }
}

// The same from lines, where vectors are as long; or the first `count`, and zeros.
template <class T, bool kWhole>
LAMINA_INLINE void transpose_lanes(Vec<T> (&columns)[kAtOnce<T>], const T* from, ptrdiff_t from_row,
                                   [[maybe_unused]] ptrdiff_t count) {
  if constexpr (kAtOnce<T> == kLanes<T>) {
#pragma GCC unroll 16
    for (int r = 0; r < kLanes<T>; ++r) columns[r] = kWhole ? load(from + r * from_row) : load(from + r * from_row, count);
    transpose_square(columns);
  } else if constexpr (kWhole) {
    transpose_by_groups(columns, from, from_row);
  } else {
    transpose_by_groups(columns, from, from_row, count);
  }
}

template <class T>
LAMINA_INLINE void transpose_block(T* to, ptrdiff_t to_row, const T* from, ptrdiff_t from_row) {
  Vec<T> columns[kAtOnce<T>];
  transpose_by_groups(columns, from, from_row);
#pragma GCC unroll 16
  for (int c = 0; c < kAtOnce<T>; ++c) store(to + c * to_row, columns[c]);
}

// What is left beside whole blocks: at most `lanes` rows, and as many columns as are transposed at once. Long vectors are filled in part.
template <class T>
void transpose_part(T* to, ptrdiff_t to_row, const T* from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t cols) {
  if constexpr (kVectorBytes == 64) {
    Vec<T> x[kLanes<T>];
#pragma GCC unroll 16
    for (int r = 0; r < kLanes<T>; ++r) x[r] = r < rows ? load(from + r * from_row, cols) : Vec<T>(0.0);
    transpose_square(x);
#pragma GCC unroll 16
    for (int c = 0; c < kLanes<T>; ++c)
      if (c < cols) store(to + c * to_row, x[c], rows);
  } else if (rows == kLanes<T>) {
    Vec<T> columns[kAtOnce<T>];
    transpose_lanes<T, false>(columns, from, from_row, cols);
#pragma GCC unroll 4
    for (int c = 0; c < kAtOnce<T>; ++c)
      if (c < cols) store(to + c * to_row, columns[c]);
  } else {
    for (ptrdiff_t c = 0; c < cols; ++c)
      for (ptrdiff_t r = 0; r < rows; ++r) to[c * to_row + r] = from[r * from_row + c];
  }
}

// Bands of columns, one cache line wide: it is used up while it is near. Within a band down the rows, so the stores run on.
template <class T>
void transpose(void* dst, ptrdiff_t dst_row, const void* src, ptrdiff_t src_row, ptrdiff_t rows, ptrdiff_t cols) {
  constexpr ptrdiff_t kBand = kLineBytes / sizeof(T), kCols = kAtOnce<T>, kRows = kLanes<T>;
  const T* from = static_cast<const T*>(src);
  T* to = static_cast<T*>(dst);
  const ptrdiff_t full_rows = rows - rows % kRows, full_cols = cols - cols % kCols;
  for (ptrdiff_t band = 0; band < full_cols; band += kBand)
    for (ptrdiff_t r = 0; r < full_rows; r += kRows)
      for (ptrdiff_t c = band; c < full_cols && c < band + kBand; c += kCols)
        transpose_block(to + c * dst_row + r, dst_row, from + r * src_row + c, src_row);
  const auto rest = [&](ptrdiff_t r, ptrdiff_t c) {
    transpose_part(to + c * dst_row + r, dst_row, from + r * src_row + c, src_row, smaller(rows - r, kRows),
                   smaller(cols - c, kCols));
  };
  if (full_rows < rows)
    for (ptrdiff_t c = 0; c < full_cols; c += kCols) rest(full_rows, c);
  if (full_cols < cols)
    for (ptrdiff_t r = 0; r < rows; r += kRows) rest(r, full_cols);
}

LAMINA_KERNELS_END
