// Vec<T>: one register of numbers that is calculated with like one number; Mask<T>: what a comparison gives.
#pragma once

#include <type_traits>

#include "kernels/isa.h"

LAMINA_KERNELS_BEGIN

constexpr ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
constexpr ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a < b ? b : a; }

constexpr ptrdiff_t kLineBytes = 64;  // of a cache

template <int kNumber>
using Number = std::integral_constant<int, kNumber>;

// What is compiled for each number: run(Number<number>()), of 1 to kMost.
template <int kMost, class Run>
LAMINA_INLINE auto with_number(ptrdiff_t number, Run run) {
  static_assert(kMost <= 8);
  switch (number) {
    case 1: return run(Number<1>());
    case 2: return run(Number<smaller(2, kMost)>());
    case 3: return run(Number<smaller(3, kMost)>());
    case 4: return run(Number<smaller(4, kMost)>());
    case 5: return run(Number<smaller(5, kMost)>());
    case 6: return run(Number<smaller(6, kMost)>());
    case 7: return run(Number<smaller(7, kMost)>());
    default: return run(Number<smaller(8, kMost)>());
  }
}

// The vector types that belong to T. Loads and stores go through `Loose`, a type that is allowed to be unaligned: GCC 12 sends a
// 32-byte memcpy through the stack. Group: 16 bytes of memory, whatever they hold.
// For all that a compiler knows such a store may change anything, and whatever a kernel reads through a reference to its arguments is
// read again after each: loops over rows work on a copy of them (a bias added to 64 rows of 64 took 1.4 times as long).
template <class T>
struct VecTraits;

template <>
struct VecTraits<float> {
  using Raw = F32;
  using Uint = uint32_t;
  typedef float Loose __attribute__((vector_size(LAMINA_VECTOR_BYTES), aligned(4), may_alias));
  typedef double Group __attribute__((vector_size(16), aligned(4), may_alias));
  typedef int32_t Compared __attribute__((vector_size(LAMINA_VECTOR_BYTES)));
  using Bits = U32;
  static constexpr int kMantissaBits = 23;
  static constexpr int kBias = 127;
};

template <>
struct VecTraits<double> {
  using Raw = F64;
  using Uint = uint64_t;
  typedef double Loose __attribute__((vector_size(LAMINA_VECTOR_BYTES), aligned(8), may_alias));
  typedef double Group __attribute__((vector_size(16), aligned(8), may_alias));
  typedef int64_t Compared __attribute__((vector_size(LAMINA_VECTOR_BYTES)));
  using Bits = U64;
  static constexpr int kMantissaBits = 52;
  static constexpr int kBias = 1023;
};

template <class T>
constexpr int kLanes = kVectorBytes / int(sizeof(T));

template <class T>
struct Vec;

template <class T>
struct Mask {
  typename VecTraits<T>::Compared raw;

  LAMINA_INLINE friend Mask operator&(Mask a, Mask b) { return {a.raw & b.raw}; }
  LAMINA_INLINE friend Mask operator|(Mask a, Mask b) { return {a.raw | b.raw}; }
  LAMINA_INLINE friend bool all(Mask m) { return every(U32(m.raw)); }
};

template <class T>
struct Vec {
  using Number = T;
  using Raw = typename VecTraits<T>::Raw;
  using Bits = typename VecTraits<T>::Bits;

  Raw raw;

  Vec() = default;
  LAMINA_INLINE Vec(Raw r) : raw(r) {}
  LAMINA_INLINE Vec(float s) : raw(T(s) - Raw{}) {}  // every lane s; s - 0 and not s + 0, which would turn -0 into 0
  LAMINA_INLINE Vec(double s) : raw(T(s) - Raw{}) {}

  LAMINA_INLINE friend Vec operator+(Vec a, Vec b) { return a.raw + b.raw; }
  LAMINA_INLINE friend Vec operator-(Vec a, Vec b) { return a.raw - b.raw; }
  LAMINA_INLINE friend Vec operator*(Vec a, Vec b) { return a.raw * b.raw; }
  LAMINA_INLINE friend Vec operator/(Vec a, Vec b) { return a.raw / b.raw; }
  LAMINA_INLINE friend Vec operator-(Vec a) { return -a.raw; }
  LAMINA_INLINE friend Mask<T> operator<(Vec a, Vec b) { return {a.raw < b.raw}; }
  LAMINA_INLINE friend Mask<T> operator<=(Vec a, Vec b) { return {a.raw <= b.raw}; }
  LAMINA_INLINE friend Mask<T> operator>(Vec a, Vec b) { return {a.raw > b.raw}; }
  LAMINA_INLINE friend Mask<T> operator>=(Vec a, Vec b) { return {a.raw >= b.raw}; }
  LAMINA_INLINE friend Mask<T> operator==(Vec a, Vec b) { return {a.raw == b.raw}; }
  LAMINA_INLINE friend Mask<T> operator!=(Vec a, Vec b) { return {a.raw != b.raw}; }
  LAMINA_INLINE friend Vec where(Mask<T> m, Vec a, Vec b) { return m.raw ? a.raw : b.raw; }
  LAMINA_INLINE friend Vec fma(Vec a, Vec b, Vec c) { return fused(a.raw, b.raw, c.raw); }
  LAMINA_INLINE friend Vec sqrt(Vec x) { return root(x.raw); }
  LAMINA_INLINE friend Vec floor(Vec x) { return floored(x.raw); }
};

template <class T>
LAMINA_INLINE typename VecTraits<T>::Bits bits(Vec<T> x) {
  return typename VecTraits<T>::Bits(x.raw);
}

template <class T>
LAMINA_INLINE Vec<T> from_bits(typename VecTraits<T>::Bits b) {
  return typename VecTraits<T>::Raw(b);
}

template <class T>
constexpr typename VecTraits<T>::Uint kSignBit = typename VecTraits<T>::Uint(1) << (8 * sizeof(T) - 1);

template <class T>
constexpr T kInfinity = T(__builtin_inf());
template <class T>
constexpr T kLargest = sizeof(T) == 4 ? T(__FLT_MAX__) : T(__DBL_MAX__);

template <class T>
LAMINA_INLINE Vec<T> abs(Vec<T> x) {
  return from_bits<T>(bits(x) & ~kSignBit<T>);
}

// |x| with the sign of s
template <class T>
LAMINA_INLINE Vec<T> copysign(Vec<T> x, Vec<T> s) {
  return from_bits<T>((bits(x) & ~kSignBit<T>) | (bits(s) & kSignBit<T>));
}

// NaN when either is, as NumPy's maximum
template <class T>
LAMINA_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  return where(a != a, a, Vec<T>(first_if_greater(a.raw, b.raw)));
}

template <class T>
LAMINA_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
  return where(a != a, a, Vec<T>(first_if_less(a.raw, b.raw)));
}

// x between two numbers; NaN stays NaN
template <class T>
LAMINA_INLINE Vec<T> clamp(Vec<T> x, Vec<T> lo, Vec<T> hi) {
  return first_if_less(hi.raw, first_if_greater(lo.raw, x.raw));
}

template <class T>
LAMINA_INLINE Vec<T> load(const T* p) {
  return typename VecTraits<T>::Raw(*reinterpret_cast<const typename VecTraits<T>::Loose*>(p));
}

// x in a register, for several uses: GCC would as soon read it again for each of them, and a constant wherever a loop begins.
template <class T>
LAMINA_INLINE Vec<T> held(Vec<T> x) {
#if defined(__AVX512F__)
  asm("" : "+v"(x.raw));
#elif defined(__x86_64__) && (LAMINA_VECTOR_BYTES == 16 || defined(__AVX__))
  if (kVectorBytes <= 32) asm("" : "+x"(x.raw));
#endif
  return x;
}

// sum += a b, in the register of the sum: of a loop that has none left, GCC moves sums about and some of them to memory.
template <class T>
LAMINA_INLINE void add_product(Vec<T>& sum, Vec<T> a, Vec<T> b) {
#if defined(__AVX2__) && LAMINA_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4)
    asm("vfmadd231ps %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
  else
    asm("vfmadd231pd %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
#else
  sum = fma(a, b, sum);
#endif
}

template <class T>
LAMINA_INLINE void store(T* p, Vec<T> x) {
  *reinterpret_cast<typename VecTraits<T>::Loose*>(p) = x.raw;
}

// The first n elements, as load_some() takes them; zeros above.
template <class T>
LAMINA_INLINE Vec<T> load(const T* p, ptrdiff_t n) {
  return load_some(p, n);
}

template <class T>
LAMINA_INLINE void store(T* p, Vec<T> x, ptrdiff_t n) {
  store_some(p, x.raw, n);
}

template <int... kIndex>
struct Indices {};
template <int kCount, int... kIndex>
struct CountUp : CountUp<kCount - 1, kCount - 1, kIndex...> {};
template <int... kIndex>
struct CountUp<0, kIndex...> {
  using Result = Indices<kIndex...>;
};

// Lane i of the result is lane i + kBy of x, going round.
template <int kBy, class T, int... kIndex>
LAMINA_INLINE Vec<T> rotated(Vec<T> x, Indices<kIndex...>) {
  return shuffled<((kIndex + kBy) % int(sizeof...(kIndex)))...>(x.raw, x.raw);
}
template <int kBy, class T>
LAMINA_INLINE Vec<T> rotated(Vec<T> x) {
  return rotated<kBy>(x, typename CountUp<kLanes<T>>::Result());
}

// The lanes of x in f64, and back, rounded.
struct Doubles {
  Vec<double> low, high;
};
LAMINA_INLINE Doubles widened(Vec<float> x) { return {lower_half(x.raw), upper_half(x.raw)}; }
LAMINA_INLINE Vec<float> narrowed(Doubles x) { return joined(x.low.raw, x.high.raw); }

// 0, 1, 2, ...
template <class T>
LAMINA_INLINE Vec<T> lane_index() {
  Vec<T> v;
  for (int i = 0; i < kLanes<T>; ++i) v.raw[i] = T(i);
  return v;
}

// The first n lanes of x, `rest` above.
template <class T>
LAMINA_INLINE Vec<T> first_lanes(Vec<T> x, ptrdiff_t n, Vec<T> rest) {
  return where(lane_index<T>() < Vec<T>(T(n)), x, rest);
}

// f of every lane, through the C library. A loop over memory: unrolled over lanes it is long, and no faster.
template <class F, class T, class... Ts>
LAMINA_INLINE Vec<T> by_lane(F f, Vec<T> x, Ts... more) {
  constexpr int kCount = 1 + int(sizeof...(more));
  alignas(kVectorBytes) T lanes[kCount][kLanes<T>];
  const Vec<T> all[kCount] = {x, more...};
  for (int i = 0; i < kCount; ++i) store(lanes[i], all[i]);
#pragma GCC unroll 1
  for (int i = 0; i < kLanes<T>; ++i) {
    if constexpr (kCount == 1)
      lanes[0][i] = f(lanes[0][i]);
    else
      lanes[0][i] = f(lanes[0][i], lanes[1][i]);
  }
  return load(lanes[0]);
}

LAMINA_KERNELS_END
