// dst[c, r] = src[r, c]
//
// In blocks of (lanes rows) x (16 bytes of columns): each 16-byte group of a vector takes 4 (f64: 2) columns of another row, the
// groups are transposed all at once, and every vector then holds `lanes` rows of one column.
#pragma once

#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// 16 bytes from each of up to four rows, `step` elements apart, as the groups of one vector.
template <class T>
LAMINA_INLINE Vec<T> load_groups(const T* p, [[maybe_unused]] ptrdiff_t step) {
  using Group = typename Shape<T>::Group;
  const auto group = [p, step](int i) { return *reinterpret_cast<const Group*>(p + i * step); };
#if LAMINA_VECTOR_BYTES == 64
  const auto low = __builtin_shufflevector(group(0), group(1), 0, 1, 2, 3),
             high = __builtin_shufflevector(group(2), group(3), 0, 1, 2, 3);
  return typename Shape<T>::Raw(__builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7));
#elif LAMINA_VECTOR_BYTES == 32
  return typename Shape<T>::Raw(__builtin_shufflevector(group(0), group(1), 0, 1, 2, 3));
#else
  return typename Shape<T>::Raw(group(0));
#endif
}

// Within each group, the low or high halves of a and b: zipped (a0 b0 a1 b1) or one after the other (a0 a1 b0 b1).
template <bool kZip, bool kHigh, class T, int... kIndex>
LAMINA_INLINE Vec<T> merged(Vec<T> a, Vec<T> b, Indices<kIndex...>) {
  constexpr int kGroup = 16 / int(sizeof(T)), kHalf = kGroup / 2;
  constexpr auto source = [](int i) {
    const int group = i / kGroup * kGroup, at = i % kGroup;
    const bool from_b = kZip ? at % 2 : at / kHalf;
    return group + (kHigh ? kHalf : 0) + (kZip ? at / 2 : at % kHalf) + (from_b ? kLanes<T> : 0);
  };
  return __builtin_shufflevector(a.raw, b.raw, source(kIndex)...);
}
template <bool kZip, bool kHigh, class T>
LAMINA_INLINE Vec<T> merged(Vec<T> a, Vec<T> b) {
  return merged<kZip, kHigh>(a, b, typename CountUp<kLanes<T>>::Result());
}

// kLanes rows x 4 columns (f64: 2), a vector for each column
LAMINA_INLINE void turn(Vec<float>* columns, const float* from, ptrdiff_t from_row) {
  using V = Vec<float>;
  const V x0 = load_groups(from, 4 * from_row), x1 = load_groups(from + from_row, 4 * from_row);
  const V x2 = load_groups(from + 2 * from_row, 4 * from_row), x3 = load_groups(from + 3 * from_row, 4 * from_row);
  const V low01 = merged<true, false>(x0, x1), high01 = merged<true, true>(x0, x1);
  const V low23 = merged<true, false>(x2, x3), high23 = merged<true, true>(x2, x3);
  columns[0] = merged<false, false>(low01, low23);
  columns[1] = merged<false, true>(low01, low23);
  columns[2] = merged<false, false>(high01, high23);
  columns[3] = merged<false, true>(high01, high23);
}
LAMINA_INLINE void turn(Vec<double>* columns, const double* from, ptrdiff_t from_row) {
  const Vec<double> x0 = load_groups(from, 2 * from_row), x1 = load_groups(from + from_row, 2 * from_row);
  columns[0] = merged<true, false>(x0, x1);
  columns[1] = merged<true, true>(x0, x1);
}

template <class T>
constexpr int kTurned = 16 / int(sizeof(T));  // columns that turn at once

template <class T>
LAMINA_INLINE void transpose_block(T* to, ptrdiff_t to_row, const T* from, ptrdiff_t from_row) {
  Vec<T> columns[kTurned<T>];
  turn(columns, from, from_row);
#pragma GCC unroll 4
  for (int c = 0; c < kTurned<T>; ++c) store(to + c * to_row, columns[c]);
}

template <class T>
void transpose_plain(T* to, ptrdiff_t to_row, const T* from, ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t cols) {
  for (ptrdiff_t c = 0; c < cols; ++c)
    for (ptrdiff_t r = 0; r < rows; ++r) to[c * to_row + r] = from[r * from_row + c];
}

// Bands of 64 bytes of columns, one cache line: it is used up while it is near. Within a band down the rows, so the stores run on.
template <class T>
void transpose(void* dst, ptrdiff_t dst_row, const void* src, ptrdiff_t src_row, ptrdiff_t rows, ptrdiff_t cols) {
  constexpr ptrdiff_t kBand = 64 / sizeof(T), kCols = kTurned<T>, kRows = kLanes<T>;
  const T* from = static_cast<const T*>(src);
  T* to = static_cast<T*>(dst);
  const ptrdiff_t full_rows = rows - rows % kRows, full_cols = cols - cols % kCols;
  for (ptrdiff_t band = 0; band < full_cols; band += kBand)
    for (ptrdiff_t r = 0; r < full_rows; r += kRows)
      for (ptrdiff_t c = band; c < full_cols && c < band + kBand; c += kCols)
        transpose_block(to + c * dst_row + r, dst_row, from + r * src_row + c, src_row);
  transpose_plain(to + full_rows, dst_row, from + full_rows * src_row, src_row, rows - full_rows, full_cols);
  transpose_plain(to + full_cols * dst_row, dst_row, from + full_cols, src_row, rows, cols - full_cols);
}

LAMINA_KERNELS_END
