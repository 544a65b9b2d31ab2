// One instruction set: its namespace, the width of its vectors, and the few operations that vector extensions cannot say.
//
// An isa_<name>.cpp names its compiler flags in its first line, defines LAMINA_ISA (the namespace) and LAMINA_VECTOR_BYTES, and
// includes table.inl.
// Everything but the table lives in an anonymous namespace: an inline function that two such files exported would be merged by the
// linker, and an old processor could end up in the copy of a new one.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 says so of its own _mm512_undefined_ps()
#endif
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define LAMINA_KERNELS_BEGIN              \
  namespace lamina::kernels::LAMINA_ISA { \
  namespace {
#define LAMINA_KERNELS_END \
  }                        \
  }
#define LAMINA_INLINE [[gnu::always_inline]] inline

// Before a function whose independent chains of instructions the compiler is to mix before it assigns registers. Clang does so by
// itself. Not for the products, whose sums would no longer fit the registers.
#if defined(__clang__)
#define LAMINA_MIXED
#else
#define LAMINA_MIXED [[gnu::optimize("schedule-insns", "sched-pressure")]]
#endif

LAMINA_KERNELS_BEGIN

constexpr int kVectorBytes = LAMINA_VECTOR_BYTES;

typedef float F32 __attribute__((vector_size(LAMINA_VECTOR_BYTES)));
typedef double F64 __attribute__((vector_size(LAMINA_VECTOR_BYTES)));
typedef uint32_t U32 __attribute__((vector_size(LAMINA_VECTOR_BYTES)));
typedef uint64_t U64 __attribute__((vector_size(LAMINA_VECTOR_BYTES)));

// The lanes that the indices name, of those of a and then those of b.
template <int... kIndex, class Raw>
LAMINA_INLINE Raw shuffled(Raw a, Raw b) {
#if __has_builtin(__builtin_shufflevector)
  return __builtin_shufflevector(a, b, kIndex...);
#else  // GCC 11
  return __builtin_shuffle(a, b, decltype(a < b){kIndex...});
#endif
}

// Every section below defines, for F32 and F64:
//   fused(a, b, c)            a b + c, rounded once where the machine can
//   root(x), floored(x)       square root; largest integer <= x
//   first_if_less(a, b)       a < b ? a : b, so b when either is NaN
//   first_if_greater(a, b)    a > b ? a : b, so b as well
//   load_some(p, n)           n elements of p, 0 < n < lanes (64 bytes: up to all), zeros above; reads nothing beyond
//   store_some(p, v, n)       the first n elements of v, as many; writes nothing beyond
//   lower_half(x)             half of the lanes of an F32 as an F64; upper_half(x) the others
//   joined(a, b)              both again, rounded
// and for U64:
//   multiply_low(a, b)        the full product of the low halves of each lane
// and for U32, of lanes that are all ones or all zeros:
//   every(m)                  whether no lane is zero
// and where a vector has more than 16 bytes:
//   groups(a, b, ..)          16 bytes each, one behind the other
// and where kHasTables says so:
//   chosen(table, i)          lane by lane the number at i % 16, or % 32, of so many in one or two vectors
//   scaled(x, n)              x 2^floor(n), rounded once
//   exponent(x), mantissa(x)  of |x| = m 2^e with m in [3/4, 3/2): e, less by one where m < 1; m, NaN for negative x. Subnormals are
//                             numbers like others; 0, infinity and NaN have exponents -infinity, infinity and NaN.
//   near_root(x)              1 / sqrt(x), and near_inverse(x), 1 / x, off by at most 2^-14; of an F32
// and kRegisters, how many vector registers there are; kFused, whether fused() rounds once.

#if LAMINA_VECTOR_BYTES == 64

constexpr int kRegisters = 32;
constexpr bool kFused = true;
constexpr bool kHasTables = true;

LAMINA_INLINE __mmask16 first16(ptrdiff_t n) { return __mmask16((1u << n) - 1); }
LAMINA_INLINE __mmask8 first8(ptrdiff_t n) { return __mmask8((1u << n) - 1); }

LAMINA_INLINE F32 fused(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
LAMINA_INLINE F64 fused(F64 a, F64 b, F64 c) { return _mm512_fmadd_pd(a, b, c); }
LAMINA_INLINE F32 root(F32 x) { return _mm512_sqrt_ps(x); }
LAMINA_INLINE F64 root(F64 x) { return _mm512_sqrt_pd(x); }
LAMINA_INLINE F32 floored(F32 x) { return _mm512_floor_ps(x); }
LAMINA_INLINE F64 floored(F64 x) { return _mm512_floor_pd(x); }
LAMINA_INLINE F32 first_if_less(F32 a, F32 b) { return _mm512_min_ps(a, b); }
LAMINA_INLINE F64 first_if_less(F64 a, F64 b) { return _mm512_min_pd(a, b); }
LAMINA_INLINE F32 first_if_greater(F32 a, F32 b) { return _mm512_max_ps(a, b); }
LAMINA_INLINE F64 first_if_greater(F64 a, F64 b) { return _mm512_max_pd(a, b); }
LAMINA_INLINE F32 load_some(const float* p, ptrdiff_t n) { return _mm512_maskz_loadu_ps(first16(n), p); }
LAMINA_INLINE F64 load_some(const double* p, ptrdiff_t n) { return _mm512_maskz_loadu_pd(first8(n), p); }
LAMINA_INLINE void store_some(float* p, F32 v, ptrdiff_t n) { _mm512_mask_storeu_ps(p, first16(n), v); }
LAMINA_INLINE void store_some(double* p, F64 v, ptrdiff_t n) { _mm512_mask_storeu_pd(p, first8(n), v); }
LAMINA_INLINE F64 lower_half(F32 x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
LAMINA_INLINE F64 upper_half(F32 x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)); }
LAMINA_INLINE F32 joined(F64 a, F64 b) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a)), _mm512_cvtpd_ps(b), 1);
}
LAMINA_INLINE U64 multiply_low(U64 a, U64 b) { return U64(_mm512_mul_epu32(__m512i(a), __m512i(b))); }
LAMINA_INLINE bool every(U32 m) { return _mm512_movepi32_mask(__m512i(m)) == 0xFFFF; }
LAMINA_INLINE F32 exponent(F32 x) { return _mm512_getexp_ps(x); }
LAMINA_INLINE F64 exponent(F64 x) { return _mm512_getexp_pd(x); }
LAMINA_INLINE F32 mantissa(F32 x) { return _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan); }
LAMINA_INLINE F64 mantissa(F64 x) { return _mm512_getmant_pd(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan); }
LAMINA_INLINE F32 scaled(F32 x, F32 n) { return _mm512_scalef_ps(x, n); }
LAMINA_INLINE F64 scaled(F64 x, F64 n) { return _mm512_scalef_pd(x, n); }
template <class Group>
LAMINA_INLINE F32 groups(Group a, Group b, Group c, Group d) {
  const F32 ab = _mm512_mask_broadcast_f32x4(_mm512_castps128_ps512(__m128(a)), 0x00F0, __m128(b));
  return _mm512_mask_broadcast_f32x4(_mm512_mask_broadcast_f32x4(ab, 0x0F00, __m128(c)), 0xF000, __m128(d));
}
LAMINA_INLINE F32 near_root(F32 x) { return _mm512_rsqrt14_ps(x); }
LAMINA_INLINE F32 near_inverse(F32 x) { return _mm512_rcp14_ps(x); }
LAMINA_INLINE F32 chosen(const F32 (&table)[1], U32 i) { return _mm512_permutexvar_ps(__m512i(i), table[0]); }
LAMINA_INLINE F32 chosen(const F32 (&table)[2], U32 i) { return _mm512_permutex2var_ps(table[0], __m512i(i), table[1]); }
LAMINA_INLINE F64 chosen(const F64 (&table)[2], U64 i) { return _mm512_permutex2var_pd(table[0], __m512i(i), table[1]); }

#elif LAMINA_VECTOR_BYTES == 32

constexpr int kRegisters = 16;
constexpr bool kFused = true;
constexpr bool kHasTables = false;

// A window of 8 (4) lanes that starts n lanes before the zeros selects the first n.
alignas(64) constexpr int32_t kFirst32[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
alignas(64) constexpr int64_t kFirst64[8] = {-1, -1, -1, -1};

LAMINA_INLINE __m256i first32(ptrdiff_t n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirst32 + 8 - n)); }
LAMINA_INLINE __m256i first64(ptrdiff_t n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirst64 + 4 - n)); }

LAMINA_INLINE F32 fused(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
LAMINA_INLINE F64 fused(F64 a, F64 b, F64 c) { return _mm256_fmadd_pd(a, b, c); }
LAMINA_INLINE F32 root(F32 x) { return _mm256_sqrt_ps(x); }
LAMINA_INLINE F64 root(F64 x) { return _mm256_sqrt_pd(x); }
LAMINA_INLINE F32 floored(F32 x) { return _mm256_floor_ps(x); }
LAMINA_INLINE F64 floored(F64 x) { return _mm256_floor_pd(x); }
LAMINA_INLINE F32 first_if_less(F32 a, F32 b) { return _mm256_min_ps(a, b); }
LAMINA_INLINE F64 first_if_less(F64 a, F64 b) { return _mm256_min_pd(a, b); }
LAMINA_INLINE F32 first_if_greater(F32 a, F32 b) { return _mm256_max_ps(a, b); }
LAMINA_INLINE F64 first_if_greater(F64 a, F64 b) { return _mm256_max_pd(a, b); }
LAMINA_INLINE F32 load_some(const float* p, ptrdiff_t n) { return _mm256_maskload_ps(p, first32(n)); }
LAMINA_INLINE F64 load_some(const double* p, ptrdiff_t n) { return _mm256_maskload_pd(p, first64(n)); }

// In pieces of 4, 2 and 1: a masked store takes 20 to 60 cycles on AMD's cores.
LAMINA_INLINE void store_some(float* p, F32 v, ptrdiff_t n) {
  __m128 part = _mm256_castps256_ps128(v);
  if (n & 4) {
    _mm_storeu_ps(p, part);
    part = _mm256_extractf128_ps(v, 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storeu_si64(p, _mm_castps_si128(part));
    part = _mm_movehl_ps(part, part);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, part);
}
LAMINA_INLINE void store_some(double* p, F64 v, ptrdiff_t n) {
  __m128d part = _mm256_castpd256_pd128(v);
  if (n & 2) {
    _mm_storeu_pd(p, part);
    part = _mm256_extractf128_pd(v, 1);
    p += 2;
  }
  if (n & 1) _mm_store_sd(p, part);
}
LAMINA_INLINE F64 lower_half(F32 x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x)); }
LAMINA_INLINE F64 upper_half(F32 x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)); }
LAMINA_INLINE F32 joined(F64 a, F64 b) { return _mm256_set_m128(_mm256_cvtpd_ps(b), _mm256_cvtpd_ps(a)); }
LAMINA_INLINE U64 multiply_low(U64 a, U64 b) { return U64(_mm256_mul_epu32(__m256i(a), __m256i(b))); }
LAMINA_INLINE bool every(U32 m) { return _mm256_movemask_ps(__m256(m)) == 0xFF; }
template <class Group>
LAMINA_INLINE F32 groups(Group a, Group b) {
  return _mm256_set_m128(__m128(b), __m128(a));
}
// The first n numbers of 16 bytes, fewer than all, and zeros.
LAMINA_INLINE __m128 load_group(const float* p, ptrdiff_t n) {
  return _mm_maskload_ps(p, _mm_loadu_si128(reinterpret_cast<const __m128i*>(kFirst32 + 8 - n)));
}
LAMINA_INLINE __m128d load_group(const double* p, ptrdiff_t) { return _mm_load_sd(p); }

#elif defined(__x86_64__)

constexpr int kRegisters = 16;
constexpr bool kFused = false;
constexpr bool kHasTables = false;

// SSE has no fused multiply-add: two roundings, so the bits of `base` differ from those of the wider sets.
LAMINA_INLINE F32 fused(F32 a, F32 b, F32 c) { return a * b + c; }
LAMINA_INLINE F64 fused(F64 a, F64 b, F64 c) { return a * b + c; }
LAMINA_INLINE F32 root(F32 x) { return _mm_sqrt_ps(x); }
LAMINA_INLINE F64 root(F64 x) { return _mm_sqrt_pd(x); }
LAMINA_INLINE F32 floored(F32 x) { return _mm_floor_ps(x); }
LAMINA_INLINE F64 floored(F64 x) { return _mm_floor_pd(x); }
LAMINA_INLINE F32 first_if_less(F32 a, F32 b) { return _mm_min_ps(a, b); }
LAMINA_INLINE F64 first_if_less(F64 a, F64 b) { return _mm_min_pd(a, b); }
LAMINA_INLINE F32 first_if_greater(F32 a, F32 b) { return _mm_max_ps(a, b); }
LAMINA_INLINE F64 first_if_greater(F64 a, F64 b) { return _mm_max_pd(a, b); }
LAMINA_INLINE F32 load_some(const float* p, ptrdiff_t n) {
  if (n == 1) return _mm_load_ss(p);
  const __m128 two = _mm_castsi128_ps(_mm_loadu_si64(p));
  return n == 2 ? two : _mm_movelh_ps(two, _mm_load_ss(p + 2));
}
LAMINA_INLINE F64 load_some(const double* p, ptrdiff_t) { return _mm_load_sd(p); }
LAMINA_INLINE void store_some(float* p, F32 v, ptrdiff_t n) {
  __m128 part = v;
  if (n & 2) {
    _mm_storeu_si64(p, _mm_castps_si128(part));
    part = _mm_movehl_ps(part, part);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, part);
}
LAMINA_INLINE void store_some(double* p, F64 v, ptrdiff_t) { _mm_store_sd(p, v); }
LAMINA_INLINE F64 lower_half(F32 x) { return _mm_cvtps_pd(x); }
LAMINA_INLINE F64 upper_half(F32 x) { return _mm_cvtps_pd(_mm_movehl_ps(x, x)); }
LAMINA_INLINE F32 joined(F64 a, F64 b) { return _mm_movelh_ps(_mm_cvtpd_ps(a), _mm_cvtpd_ps(b)); }
LAMINA_INLINE U64 multiply_low(U64 a, U64 b) { return U64(_mm_mul_epu32(__m128i(a), __m128i(b))); }
LAMINA_INLINE bool every(U32 m) { return _mm_movemask_ps(__m128(m)) == 0xF; }

#elif defined(__aarch64__)

constexpr int kRegisters = 32;
constexpr bool kFused = true;
constexpr bool kHasTables = false;

LAMINA_INLINE F32 fused(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
LAMINA_INLINE F64 fused(F64 a, F64 b, F64 c) { return vfmaq_f64(c, a, b); }
LAMINA_INLINE F32 root(F32 x) { return vsqrtq_f32(x); }
LAMINA_INLINE F64 root(F64 x) { return vsqrtq_f64(x); }
LAMINA_INLINE F32 floored(F32 x) { return vrndmq_f32(x); }
LAMINA_INLINE F64 floored(F64 x) { return vrndmq_f64(x); }
// Not vminq: it returns a NaN for a NaN in either place.
LAMINA_INLINE F32 first_if_less(F32 a, F32 b) { return a < b ? a : b; }
LAMINA_INLINE F64 first_if_less(F64 a, F64 b) { return a < b ? a : b; }
LAMINA_INLINE F32 first_if_greater(F32 a, F32 b) { return a > b ? a : b; }
LAMINA_INLINE F64 first_if_greater(F64 a, F64 b) { return a > b ? a : b; }
LAMINA_INLINE F32 load_some(const float* p, ptrdiff_t n) {
  const float32x4_t zero = vdupq_n_f32(0);
  if (n == 1) return vld1q_lane_f32(p, zero, 0);
  const float32x4_t two = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
  return n == 2 ? two : vld1q_lane_f32(p + 2, two, 2);
}
LAMINA_INLINE F64 load_some(const double* p, ptrdiff_t) { return vcombine_f64(vld1_f64(p), vdup_n_f64(0)); }
LAMINA_INLINE void store_some(float* p, F32 v, ptrdiff_t n) {
  if (n == 1) return vst1q_lane_f32(p, v, 0);
  vst1_f32(p, vget_low_f32(v));
  if (n == 3) vst1q_lane_f32(p + 2, v, 2);
}
LAMINA_INLINE void store_some(double* p, F64 v, ptrdiff_t) { vst1q_lane_f64(p, v, 0); }
LAMINA_INLINE F64 lower_half(F32 x) { return vcvt_f64_f32(vget_low_f32(x)); }
LAMINA_INLINE F64 upper_half(F32 x) { return vcvt_high_f64_f32(x); }
LAMINA_INLINE F32 joined(F64 a, F64 b) { return vcvt_high_f32_f64(vcvt_f32_f64(a), b); }
LAMINA_INLINE U64 multiply_low(U64 a, U64 b) { return U64(vmull_u32(vmovn_u64(uint64x2_t(a)), vmovn_u64(uint64x2_t(b)))); }
LAMINA_INLINE bool every(U32 m) { return vminvq_u32(m) != 0; }

#else
#error "no kernels for this machine"
#endif

LAMINA_KERNELS_END
