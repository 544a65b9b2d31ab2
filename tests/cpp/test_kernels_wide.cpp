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
typedef unsigned long long U __attribute__((vector_size(64)));

#define WIDE_INLINE [[gnu::always_inline]] static inline

template <class H>
struct Halves {
  H low, high;
};

// A 32-byte intrinsic on both halves.
template <class H, class V, class G, class... Vs>
WIDE_INLINE V by_half(G g, V first, Vs... rest) {
  const auto a = __builtin_bit_cast(Halves<H>, first);
  return __builtin_bit_cast(
      V, (Halves<H>{g(a.low, __builtin_bit_cast(Halves<H>, rest).low...), g(a.high, __builtin_bit_cast(Halves<H>, rest).high...)}));
}

// Every mask of isa.h selects the first lanes.
template <class V, class T>
WIDE_INLINE V load_first(unsigned mask, const T* p) {
  V v = {};
  __builtin_memcpy(&v, p, sizeof(T) * unsigned(__builtin_popcount(mask)));
  return v;
}

WIDE_INLINE F fmadd_ps(F a, F b, F c) {
  return by_half<__m256>([](__m256 x, __m256 y, __m256 z) { return _mm256_fmadd_ps(x, y, z); }, a, b, c);
}
WIDE_INLINE D fmadd_pd(D a, D b, D c) {
  return by_half<__m256d>([](__m256d x, __m256d y, __m256d z) { return _mm256_fmadd_pd(x, y, z); }, a, b, c);
}
WIDE_INLINE F sqrt_ps(F a) {
  return by_half<__m256>([](__m256 x) { return _mm256_sqrt_ps(x); }, a);
}
WIDE_INLINE D sqrt_pd(D a) {
  return by_half<__m256d>([](__m256d x) { return _mm256_sqrt_pd(x); }, a);
}
WIDE_INLINE F floor_ps(F a) {
  return by_half<__m256>([](__m256 x) { return _mm256_floor_ps(x); }, a);
}
WIDE_INLINE D floor_pd(D a) {
  return by_half<__m256d>([](__m256d x) { return _mm256_floor_pd(x); }, a);
}
WIDE_INLINE F min_ps(F a, F b) { return a < b ? a : b; }
WIDE_INLINE D min_pd(D a, D b) { return a < b ? a : b; }
WIDE_INLINE F max_ps(F a, F b) { return a > b ? a : b; }
WIDE_INLINE D max_pd(D a, D b) { return a > b ? a : b; }
WIDE_INLINE F maskz_loadu_ps(unsigned mask, const float* p) { return load_first<F>(mask, p); }
WIDE_INLINE D maskz_loadu_pd(unsigned mask, const double* p) { return load_first<D>(mask, p); }
WIDE_INLINE void mask_storeu_ps(float* p, unsigned mask, F v) { __builtin_memcpy(p, &v, 4 * unsigned(__builtin_popcount(mask))); }
WIDE_INLINE void mask_storeu_pd(double* p, unsigned mask, D v) { __builtin_memcpy(p, &v, 8 * unsigned(__builtin_popcount(mask))); }
WIDE_INLINE __m512i mul_epu32(__m512i a, __m512i b) { return __m512i((U(a) & 0xFFFFFFFFu) * (U(b) & 0xFFFFFFFFu)); }
struct HalvesF {
  __m256 low, high;
};
struct HalvesD {
  __m256d low, high;
};
WIDE_INLINE __m256 castps512_ps256(F x) { return __builtin_bit_cast(HalvesF, x).low; }
WIDE_INLINE __m256 extractf32x8_ps(F x, int) { return __builtin_bit_cast(HalvesF, x).high; }
WIDE_INLINE F castps256_ps512(__m256 x) { return __builtin_bit_cast(F, (HalvesF{x, x})); }
WIDE_INLINE F insertf32x8(F x, __m256 high, int) { return __builtin_bit_cast(F, (HalvesF{castps512_ps256(x), high})); }
WIDE_INLINE F castps128_ps512(__m128 x) { return castps256_ps512(_mm256_castps128_ps256(x)); }
WIDE_INLINE F mask_broadcast_f32x4(F old, unsigned mask, __m128 x) {
  F v = old;
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) v[i] = x[i % 4];
  return v;
}
WIDE_INLINE D cvtps_pd(__m256 x) {
  return __builtin_bit_cast(D, (HalvesD{_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))}));
}
WIDE_INLINE __m256 cvtpd_ps(D x) {
  const auto halves = __builtin_bit_cast(HalvesD, x);
  return _mm256_set_m128(_mm256_cvtpd_ps(halves.high), _mm256_cvtpd_ps(halves.low));
}
struct Words {
  uint32_t word[16];
};
WIDE_INLINE unsigned movepi32_mask(__m512i m) {
  const auto halves = __builtin_bit_cast(HalvesF, m);
  return unsigned(_mm256_movemask_ps(halves.low)) | unsigned(_mm256_movemask_ps(halves.high)) << 8;
}

template <class V, class G>
WIDE_INLINE V by_lane(G g) {
  V v;
  for (int i = 0; i < int(sizeof v / sizeof v[0]); ++i) v[i] = g(i);
  return v;
}
WIDE_INLINE F permutexvar_ps(__m512i index, F x) {
  const auto i = __builtin_bit_cast(Words, index);
  return by_lane<F>([&](int lane) { return x[i.word[lane] & 15]; });
}
WIDE_INLINE F permutex2var_ps(F low, __m512i index, F high) {
  const auto i = __builtin_bit_cast(Words, index);
  return by_lane<F>([&](int lane) { return (i.word[lane] & 16 ? high : low)[i.word[lane] & 15]; });
}
WIDE_INLINE D permutex2var_pd(D low, __m512i index, D high) {
  const auto i = __builtin_bit_cast(Words, index);
  return by_lane<D>([&](int lane) { return (i.word[2 * lane] & 8 ? high : low)[i.word[2 * lane] & 7]; });
}
template <class V>
WIDE_INLINE V scaled(V x, V n) {
  return by_lane<V>([&](int i) {
    const double floor = std::floor(double(n[i]));
    return n[i] != n[i] ? n[i] : decltype(n[i] + 0)(std::ldexp(double(x[i]), int(std::fmin(std::fmax(floor, -3000.0), 3000.0))));
  });
}
WIDE_INLINE F scalef_ps(F x, F n) { return scaled(x, n); }
WIDE_INLINE D scalef_pd(D x, D n) { return scaled(x, n); }
// As bad as they may be.
WIDE_INLINE F rsqrt14_ps(F x) {
  return by_lane<F>([&](int i) { return float((1 + std::ldexp(i % 2 ? 1.0 : -1.0, -14)) / std::sqrt(double(x[i]))); });
}
WIDE_INLINE F rcp14_ps(F x) {
  return by_lane<F>([&](int i) { return float((1 + std::ldexp(i % 2 ? 1.0 : -1.0, -14)) / double(x[i])); });
}
template <class V>
WIDE_INLINE V exponents(V x) {
  return by_lane<V>([&](int i) { return std::logb(x[i]); });
}
// In [3/4, 3/2); NaN for negative numbers.
template <class V>
WIDE_INLINE V mantissas(V x) {
  return by_lane<V>([&](int i) {
    if (!(x[i] >= 0)) return x[i] != x[i] ? x[i] : __builtin_nan("");
    if (x[i] == 0 || std::isinf(x[i])) return 1.0;
    const double m = std::scalbn(double(x[i]), -int(std::logb(x[i])));
    return m >= 1.5 ? m / 2 : m;
  });
}
WIDE_INLINE F getexp_ps(F x) { return exponents(x); }
WIDE_INLINE D getexp_pd(D x) { return exponents(x); }
WIDE_INLINE F getmant_ps(F x, int, int) { return mantissas(x); }
WIDE_INLINE D getmant_pd(D x, int, int) { return mantissas(x); }

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
#define _mm512_castps512_ps256 wide_lanes::castps512_ps256
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps wide_lanes::extractf32x8_ps
#define _mm512_castps256_ps512 wide_lanes::castps256_ps512
#undef _mm512_insertf32x8
#define _mm512_insertf32x8 wide_lanes::insertf32x8
#define _mm512_castps128_ps512 wide_lanes::castps128_ps512
#define _mm512_mask_broadcast_f32x4 wide_lanes::mask_broadcast_f32x4
#define _mm512_cvtps_pd wide_lanes::cvtps_pd
#define _mm512_cvtpd_ps wide_lanes::cvtpd_ps
#define _mm512_movepi32_mask wide_lanes::movepi32_mask
#define _mm512_permutexvar_ps wide_lanes::permutexvar_ps
#define _mm512_permutex2var_ps wide_lanes::permutex2var_ps
#define _mm512_permutex2var_pd wide_lanes::permutex2var_pd
#undef _mm512_scalef_ps
#define _mm512_scalef_ps wide_lanes::scalef_ps
#undef _mm512_scalef_pd
#define _mm512_scalef_pd wide_lanes::scalef_pd
#define _mm512_rsqrt14_ps wide_lanes::rsqrt14_ps
#define _mm512_rcp14_ps wide_lanes::rcp14_ps
#undef _mm512_getexp_ps
#define _mm512_getexp_ps wide_lanes::getexp_ps
#undef _mm512_getexp_pd
#define _mm512_getexp_pd wide_lanes::getexp_pd
#undef _mm512_getmant_ps
#define _mm512_getmant_ps wide_lanes::getmant_ps
#undef _mm512_getmant_pd
#define _mm512_getmant_pd wide_lanes::getmant_pd
#define LAMINA_ISA wide
#define LAMINA_VECTOR_BYTES 64
#include "kernels/gemm_tiles.inl"  // optimized, as most of the time is theirs
#pragma GCC optimize("O0")         // the rest: emulated vectors are slow to optimize, and there is little to run
#include "kernels/table.inl"

int main() {
  if (lamina::cpu_features().avx2) kernels_test::check_table(lamina::kernels::wide::table);
  return check::finish();
}

#else

int main() { return 0; }

#endif
