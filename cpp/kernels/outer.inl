// Outer products of the rows of matrices, summed over several pairs of them.
#pragma once

#include "kernels/gemm_tiles.inl"
#include "kernels/table.h"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// out[j] (+)= x[0] p[0][j] + x[1] p[1][j] for j < m. kFree: a last vector may run on behind them, in `out` and in p.
template <class T, int kPairs, bool kAdds, bool kFree>
LAMINA_INLINE void outer_row(T* out, const T (&x)[kPairs], const T* const (&p)[kPairs], ptrdiff_t m) {
  const auto total = [&](auto read, ptrdiff_t j) {
    Vec<T> sum = kAdds ? fma(Vec<T>(x[0]), read(p[0] + j), read(out + j)) : Vec<T>(x[0]) * read(p[0] + j);
    if constexpr (kPairs == 2) sum = fma(Vec<T>(x[1]), read(p[1] + j), sum);
    return sum;
  };
  ptrdiff_t j = 0;
  for (; kFree ? j < m : j + kLanes<T> <= m; j += kLanes<T>) store(out + j, total([](const T* at) { return load(at); }, j));
  if constexpr (kFree) return;
  if (const ptrdiff_t left = m - j; left > 0) store(out + j, total([left](const T* at) { return load(at, left); }, j), left);
}

// The sum's numbers of rows [begin, end).
template <class T, int kPairs, bool kAdds, bool kFree>
LAMINA_INLINE void outer_rows(const OuterArgs& g, ptrdiff_t first, ptrdiff_t begin, ptrdiff_t end) {
  T* out = static_cast<T*>(g.out) + begin * (g.triangle ? g.n * (g.n + 1) / 2 : g.n * g.m);
  const ptrdiff_t n = g.n, m = g.m, step = g.triangle ? 1 : 0;
  for (ptrdiff_t r = begin; r < end; ++r) {
    const T *a[kPairs], *b[kPairs];
    for (int k = 0; k < kPairs; ++k) {
      a[k] = static_cast<const T*>(g.a[first + k]) + r * n;
      b[k] = static_cast<const T*>(g.b[first + k]) + r * m;
    }
    for (ptrdiff_t i = 0, numbers = m; i < n; ++i, numbers -= step) {
      T x[kPairs];
      for (int k = 0; k < kPairs; ++k) x[k] = a[k][i];
      outer_row<T, kPairs, kAdds, kFree>(out, x, b, numbers);
      out += numbers;
      for (int k = 0; k < kPairs; ++k) b[k] += step;
    }
  }
}

template <class T, int kPairs, bool kAdds>
void outer_pass(const OuterArgs& g, ptrdiff_t first) {
  // A vector may run on into what comes after it; not where sums stand there, nor over the end of b.
  const ptrdiff_t free = kAdds || g.m == 0 ? 0 : larger(0, g.rows - parts_of(kLanes<T>, g.m));
  if constexpr (!kAdds) outer_rows<T, kPairs, kAdds, true>(g, first, 0, free);
  outer_rows<T, kPairs, kAdds, false>(g, first, free, g.rows);
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
