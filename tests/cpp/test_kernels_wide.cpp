// The kernels in the shape of AVX-512 (64-byte vectors, masks), built for AVX2: the logic of isa_avx512 on any AVX2 machine.
// Each _mm512 intrinsic that isa.h calls is replaced by plain loops over its lanes.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

// For the whole file: templates are instantiated at its end.
#pragma GCC target("avx2,fma")
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the registers as arguments: all inlined

#include <immintrin.h>

#include "base/cpu.h"
#include "kernels_all.h"

namespace wide_lanes {

typedef float F __attribute__((vector_size(64)));
typedef double D __attribute__((vector_size(64)));
typedef long long I __attribute__((vector_size(64), may_alias));  // __m512i
typedef unsigned long long U __attribute__((vector_size(64)));

#define WIDE_INLINE [[gnu::always_inline]] static inline

template <class V, class G>
WIDE_INLINE V by_lane(G g) {
  V v;
  for (int i = 0; i < int(sizeof(v) / sizeof(v[0])); ++i) v[i] = g(i);
  return v;
}

WIDE_INLINE F fmadd_ps(F a, F b, F c) { return by_lane<F>([&](int i) { return __builtin_fmaf(a[i], b[i], c[i]); }); }
WIDE_INLINE D fmadd_pd(D a, D b, D c) { return by_lane<D>([&](int i) { return __builtin_fma(a[i], b[i], c[i]); }); }
WIDE_INLINE F sqrt_ps(F a) { return by_lane<F>([&](int i) { return __builtin_sqrtf(a[i]); }); }
WIDE_INLINE D sqrt_pd(D a) { return by_lane<D>([&](int i) { return __builtin_sqrt(a[i]); }); }
WIDE_INLINE F floor_ps(F a) { return by_lane<F>([&](int i) { return __builtin_floorf(a[i]); }); }
WIDE_INLINE D floor_pd(D a) { return by_lane<D>([&](int i) { return __builtin_floor(a[i]); }); }
WIDE_INLINE F min_ps(F a, F b) { return a < b ? a : b; }
WIDE_INLINE D min_pd(D a, D b) { return a < b ? a : b; }
WIDE_INLINE F max_ps(F a, F b) { return a > b ? a : b; }
WIDE_INLINE D max_pd(D a, D b) { return a > b ? a : b; }
WIDE_INLINE F maskz_loadu_ps(unsigned m, const float* p) { return by_lane<F>([&](int i) { return m >> i & 1 ? p[i] : 0.0f; }); }
WIDE_INLINE D maskz_loadu_pd(unsigned m, const double* p) { return by_lane<D>([&](int i) { return m >> i & 1 ? p[i] : 0.0; }); }
WIDE_INLINE void mask_storeu_ps(float* p, unsigned m, F v) {
  for (int i = 0; i < 16; ++i)
    if (m >> i & 1) p[i] = v[i];
}
WIDE_INLINE void mask_storeu_pd(double* p, unsigned m, D v) {
  for (int i = 0; i < 8; ++i)
    if (m >> i & 1) p[i] = v[i];
}
WIDE_INLINE I mul_epu32(I a, I b) { return I((U(a) & 0xFFFFFFFFu) * (U(b) & 0xFFFFFFFFu)); }

}  // namespace wide_lanes

#define _mm512_fmadd_ps wide_lanes::fmadd_ps
#define _mm512_fmadd_pd wide_lanes::fmadd_pd
#undef _mm512_sqrt_ps
#define _mm512_sqrt_ps wide_lanes::sqrt_ps
#define _mm512_sqrt_pd wide_lanes::sqrt_pd
#define _mm512_floor_ps wide_lanes::floor_ps
#define _mm512_floor_pd wide_lanes::floor_pd
#define _mm512_min_ps wide_lanes::min_ps
#define _mm512_min_pd wide_lanes::min_pd
#define _mm512_max_ps wide_lanes::max_ps
#define _mm512_max_pd wide_lanes::max_pd
#define _mm512_maskz_loadu_ps wide_lanes::maskz_loadu_ps
#define _mm512_maskz_loadu_pd wide_lanes::maskz_loadu_pd
#define _mm512_mask_storeu_ps wide_lanes::mask_storeu_ps
#define _mm512_mask_storeu_pd wide_lanes::mask_storeu_pd
#define _mm512_mul_epu32 wide_lanes::mul_epu32
#define LAMINA_ISA wide
#define LAMINA_VECTOR_BYTES 64
#include "kernels/table.inl"


int main() {
  if (lamina::cpu_features().avx2) kernels_test::check_table(lamina::kernels::wide::table);
  return check::finish();
}

#else

int main() { return 0; }

#endif
