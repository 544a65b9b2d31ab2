// Outer products of the rows of matrices, summed over several pairs of them.
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// out[j] (+)= x[0] p[0][j] + x[1] p[1][j] for j < m; what lies between m and `room` may be written too, and read.
template <class T, int kPairs, bool kAdds>
LAMINA_INLINE void outer_row(T* out, const T (&x)[kPairs], const T* const (&p)[kPairs], ptrdiff_t m, ptrdiff_t room) {
  const auto total = [&](auto read, ptrdiff_t j) {
    Vec<T> sum = kAdds ? fma(Vec<T>(x[0]), read(p[0] + j), read(out + j)) : Vec<T>(x[0]) * read(p[0] + j);
    if constexpr (kPairs == 2) sum = fma(Vec<T>(x[1]), read(p[1] + j), sum);
    return sum;
  };
  ptrdiff_t j = 0;
  for (; j < m && j + kLanes<T> <= room; j += kLanes<T>) store(out + j, total([](const T* at) { return load(at); }, j));
  if (const ptrdiff_t left = m - j; left > 0) store(out + j, total([left](const T* at) { return load(at, left); }, j), left);
}

template <class T, int kPairs, bool kAdds>
void outer_pass(const OuterArgs& g, ptrdiff_t first) {
  T* out = static_cast<T*>(g.out);
  const ptrdiff_t size = g.triangle ? g.n * (g.n + 1) / 2 : g.n * g.m;
  for (ptrdiff_t r = 0; r < g.rows; ++r, out += size)
    for (ptrdiff_t i = 0, at = 0; i < g.n; ++i) {
      const ptrdiff_t from = g.triangle ? i : 0;
      T x[kPairs];
      const T* p[kPairs];
      for (int k = 0; k < kPairs; ++k) {
        x[k] = static_cast<const T*>(g.a[first + k])[r * g.n + i];
        p[k] = static_cast<const T*>(g.b[first + k]) + r * g.m + from;
      }
      // A last vector may run on into what the next i makes after it; not where sums stand there, nor over the end of b.
      const bool free = !kAdds && (g.rows - 1 - r) * g.m >= kLanes<T>;
      outer_row<T, kPairs, kAdds>(out + at, x, p, g.m - from, free ? size - at : g.m - from);
      at += g.m - from;
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
