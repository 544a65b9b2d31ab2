// Outer products of the rows of matrices, summed over several pairs of them.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/table.h"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

constexpr int kOuterVectors = 4;

// out[j] (+)= x[0] p[0][j] + x[1] p[1][j] for j < m
template <class T, int kPairs, bool kAdds>
LAMINA_INLINE void outer_row(T* out, const T (&x)[kPairs], const T* const (&p)[kPairs], ptrdiff_t m) {
  const auto total = [&](auto read, ptrdiff_t j) {
    Vec<T> sum = kAdds ? fma(Vec<T>(x[0]), read(p[0] + j), read(out + j)) : Vec<T>(x[0]) * read(p[0] + j);
    if constexpr (kPairs == 2) sum = fma(Vec<T>(x[1]), read(p[1] + j), sum);
    return sum;
  };
  ptrdiff_t j = 0;
  for (; j + kLanes<T> <= m; j += kLanes<T>) store(out + j, total([](const T* at) { return load(at); }, j));
  if (const ptrdiff_t left = m - j; left > 0) store(out + j, total([left](const T* at) { return load(at, left); }, j), left);
}

// Of one row r, the products with a[first..last), each of kVectors vectors, the last of which may run on into what comes after it.
template <class T, int kPairs, int kVectors>
LAMINA_INLINE T* outer_rows(T* out, const T* const (&a)[kPairs], const T* const (&b)[kPairs], ptrdiff_t first, ptrdiff_t last,
                            ptrdiff_t m, bool triangle) {
  for (ptrdiff_t i = first; i < last; ++i) {
    const ptrdiff_t from = triangle ? i : 0;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const ptrdiff_t j = v * kLanes<T>;
      Vec<T> sum = Vec<T>(a[0][i]) * load(b[0] + from + j);
      if constexpr (kPairs == 2) sum = fma(Vec<T>(a[1][i]), load(b[1] + from + j), sum);
      store(out + j, sum);
    }
    out += m - from;
  }
  return out;
}

template <class T, int kPairs, bool kAdds>
void outer_pass(const OuterArgs& g, ptrdiff_t first) {
  T* out = static_cast<T*>(g.out);
  for (ptrdiff_t r = 0; r < g.rows; ++r) {
    const T *a[kPairs], *b[kPairs];
    for (int k = 0; k < kPairs; ++k) {
      a[k] = static_cast<const T*>(g.a[first + k]) + r * g.n;
      b[k] = static_cast<const T*>(g.b[first + k]) + r * g.m;
    }
    // A last vector may run on into what comes after it; not where sums stand there, nor over the end of b.
    const bool free = !kAdds && (g.rows - 1 - r) * g.m >= kLanes<T>;
    for (ptrdiff_t i = 0; i < g.n;) {
      const ptrdiff_t from = g.triangle ? i : 0, numbers = g.m - from, vectors = parts_of(numbers, kLanes<T>);
      if (free && vectors <= kOuterVectors) {
        const ptrdiff_t last = g.triangle ? g.m - (vectors - 1) * kLanes<T> : g.n;  // those that need as many vectors
        out = with_number<kOuterVectors>(
            vectors, [&](auto count) { return outer_rows<T, kPairs, count()>(out, a, b, i, last, g.m, g.triangle); });
        i = last;
        continue;
      }
      T x[kPairs];
      const T* p[kPairs];
      for (int k = 0; k < kPairs; ++k) {
        x[k] = a[k][i];
        p[k] = b[k] + from;
      }
      outer_row<T, kPairs, kAdds>(out, x, p, numbers);
      out += numbers;
      ++i;
    }
  }
}

// The sum is one chain over ascending pairs, two of them in a pass.
template <class T>
void outer(const OuterArgs& g) {
  for (ptrdiff_t k = 0; k < g.pairs; k += 2) {
    const bool two = k + 2 <= g.pairs;
    if (k == 0)
      two ? outer_pass<T, 2, false>(g, k) : outer_pass<T, 1, false>(g, k);
    else
      two ? outer_pass<T, 2, true>(g, k) : outer_pass<T, 1, true>(g, k);
  }
}

LAMINA_KERNELS_END
