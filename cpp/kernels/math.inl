// exp log log1p expm1 tanh sigmoid erf arctan: branch-free polynomials over vectors, one source for f32 and f64.
// sin cos: the same up to kSinMost, the C library's beyond. pow: in f32 by f64, else the C library's, lane by lane.
//
// Errors (tests/cpp/kernels_math.h measures them): exp, log, tanh, sigmoid, erf, sin, cos, pow, arctan <= 2 ulp (tanh in f64 without
// fused multiply-adds 2.1), log1p and expm1 <= 3, on every normal result; infinities, NaN, zeros and subnormals as in C. The
// coefficients: math_fits.inl.
#pragma once

#include "kernels/math_fits.inl"
#include "kernels/math_intervals.inl"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// c[0] + c[1] x + c[2] x^2 + ..., by Horner's scheme; a long one by Estrin's, where pairs c[2 i] + c[2 i + 1] x are the coefficients
// of a polynomial in x^2: more operations, but in a chain half as long, and a processor looks ahead only so far (erf in float64
// takes 9.8 ns instead of 14.3 on Zen; below ten coefficients Horner's is as fast).
constexpr int kLong = 10;

template <class T, int kCount>
LAMINA_INLINE Vec<T> polynomial(const Vec<T> (&c)[kCount], Vec<T> x) {
  if constexpr (kCount < kLong) {
    Vec<T> sum = c[kCount - 1];
#pragma GCC unroll 32
    for (int i = kCount - 2; i >= 0; --i) sum = fma(sum, x, c[i]);
    return sum;
  } else {
    Vec<T> pairs[(kCount + 1) / 2];
#pragma GCC unroll 32
    for (int i = 0; i < kCount; i += 2) pairs[i / 2] = i + 1 < kCount ? fma(c[i + 1], x, c[i]) : c[i];
    return polynomial(pairs, x * x);
  }
}

template <class T, int kCount>
LAMINA_INLINE Vec<T> polynomial(const T (&c)[kCount], Vec<T> x) {
  Vec<T> all[kCount];
#pragma GCC unroll 32
  for (int i = 0; i < kCount; ++i) all[i] = Vec<T>(c[i]);
  return polynomial(all, x);
}

// ---- The exponential and its kin ----

// 1.5 * 2^mantissa: added to a small number it leaves that number, rounded to an integer, in the low bits.
template <class T>
constexpr T kRounder = T(1.5) * T(typename VecTraits<T>::Uint(1) << VecTraits<T>::kMantissaBits);
template <class T>
constexpr typename VecTraits<T>::Uint kRounderBits = __builtin_bit_cast(typename VecTraits<T>::Uint, kRounder<T>);
template <class T>
constexpr typename VecTraits<T>::Uint kOneBits = __builtin_bit_cast(typename VecTraits<T>::Uint, T(1));

// x = n ln 2 + r
template <class T>
struct Powers {
  typename VecTraits<T>::Bits n;  // in its low bits, under those of kRounder
  Vec<T> r;
};

// n is what `rounded` is above kRounder.
template <class T>
LAMINA_INLINE Powers<T> powers(Vec<T> x, Vec<T> rounded) {
  const Vec<T> n = rounded - kRounder<T>;
  return {bits(rounded), fma(n, Vec<T>(-Fit<T>::kLn2Low), fma(n, Vec<T>(-Fit<T>::kLn2High), x))};
}

// |r| <= ln(2)/2
template <class T>
LAMINA_INLINE Powers<T> powers(Vec<T> x) {
  return powers(x, fma(x, Vec<T>(kPerLn2), Vec<T>(kRounder<T>)));
}

// e^r. Fused, r (1 + r P) + 1 rounds least and is shortest; otherwise (r + r^2 P) + 1 is.
template <class T>
LAMINA_INLINE Vec<T> exp_of_rest(Vec<T> r) {
  const Vec<T> p = polynomial(Fit<T>::kExp, r);
  if constexpr (kFused) return fma(r, fma(r, p, Vec<T>(1.0)), Vec<T>(1.0));
  return (r * r * p + r) + 1.0;
}

// 2^n / divisor for normal results; the bits of kRounder are shifted out.
template <class T>
LAMINA_INLINE Vec<T> two_to(typename VecTraits<T>::Bits n, T divisor) {
  const auto bias = __builtin_bit_cast(typename VecTraits<T>::Uint, T(1) / divisor);
  return from_bits<T>((n << VecTraits<T>::kMantissaBits) + bias);
}

template <class T>
constexpr T power_of_two(int n) {
  return n == 0 ? T(1) : T(2) * power_of_two<T>(n - 1);
}

// e^x for x at most kExpMost. 2^n is applied as two factors, half of n each: a subnormal result is rounded once, and 2^128 (2^1024)
// is not needed. Far below, where the result is 0, a factor is, or no lane is scaled: to round a product to 0 takes Intel's processors
// a hundred cycles.
template <class T>
LAMINA_INLINE Vec<T> exp_below_most(Vec<T> x) {
  if constexpr (kHasTables) {
    const auto p = sixteenths(SixteenthConstants<T, 0>(kAsTheyAre), x);
    return where(x < Fit<T>::kExpZero, Vec<T>(0.0), Vec<T>(scaled(fma(p.power, p.rest, p.power).raw, p.n.raw)));
  }
  constexpr int kMantissa = VecTraits<T>::kMantissaBits;
  const Vec<T> bounded(first_if_greater(Vec<T>(Fit<T>::kExpLeast).raw, x.raw));
  const Powers<T> p = powers(bounded);
  const auto biased = p.n - (kRounderBits<T> - 2 * VecTraits<T>::kBias);  // n + 2 bias, from 0 on
  const auto half = biased >> 1;
  return exp_of_rest(p.r) * from_bits<T>(half << kMantissa) * from_bits<T>((biased - half) << kMantissa);
}

template <class T>
LAMINA_INLINE Vec<T> exp(Vec<T> x) {
  return exp_below_most(Vec<T>(first_if_less(Vec<T>(Fit<T>::kExpMost).raw, x.raw)));
}

// A function: e^x 2^kUp for x <= 0, where e^x is a normal number, else 0: one factor is enough. keep() of each constant where there
// are registers for them.
template <class T, int kUp, class Keep>
LAMINA_INLINE auto exp_of_negatives(Keep keep) {
  if constexpr (kHasTables) {
    return [constants = SixteenthConstants<T, kUp>(keep)](Vec<T> x) {
      const auto p = sixteenths(constants, x);
      return where(x < Fit<T>::kExpNormal, Vec<T>(0.0), Vec<T>(scaled(fma(p.power, p.rest, p.power).raw, p.n.raw)));
    };
  } else {
    return [](Vec<T> x) {
      const Vec<T> bounded(first_if_greater(Vec<T>(Fit<T>::kExpFlushed).raw, x.raw));
      const Powers<T> p = powers(bounded);
      const Vec<T> e = exp_of_rest(p.r) * two_to<T>(p.n, T(1));
      return kUp == 0 ? e : e * power_of_two<T>(kUp);
    };
  }
}

template <class T>
LAMINA_INLINE Vec<T> exp_of_negative(Vec<T> x) {
  return exp_of_negatives<T, 0>(kAsTheyAre)(x);
}

// 2^n (1 + q) - 1, q = e^r - 1, with 2^(n - 1) as the factor, so that n = 128 (1024) fits.
template <class T>
LAMINA_INLINE Vec<T> expm1(Vec<T> x) {
  const Vec<T> bounded = clamp(x, Vec<T>(Fit<T>::kExpm1Least), Vec<T>(Fit<T>::kExpMost));
  const Powers<T> p = powers(bounded);
  const Vec<T> half = two_to<T>(p.n, T(2)), q = fma(p.r * p.r, polynomial(Fit<T>::kExpm1, p.r), p.r);
  return where(abs(x) < Fit<T>::kTiny, x, 2.0 * fma(half, q, half - 0.5));
}

// H / (H + 1), H = (e^(2 |x|) - 1) / 2. n is chosen so that r lies between -.139 and .554: with the usual |r| <= .347, n would be 1
// from 2 |x| = .347 on, and 2 (e^r - 1) + 1 loses a bit where the result is small. There too, the quotient rounds too often. Fused,
// K - K (K / (H + 1)) with the lesser of H and 1 as K is the same, and rounds well everywhere; otherwise H - H (H / (H + 1)) where the
// result is below 1/4, with H as the sum that it is there of r / 2, which is exact, and more. Fused, n ln 2 also is taken away in one
// step: ln 2 is off by 2^-29 (2^-55), and where n is large the result has levelled off.
template <class T>
LAMINA_INLINE Vec<T> tanh(Vec<T> x) {
  if constexpr (kHasTables && sizeof(T) == 4) return odd_by_intervals(Intervals::kTanh, x);
  const Vec<T> size = first_if_less(Vec<T>(Fit<T>::kTanhMost).raw, abs(x).raw), twice = size + size;
  const Vec<T> rounded = fma(size, Vec<T>(2 * kPerLn2), Vec<T>(-0.2077 * kPerLn2)) + kRounder<T>;
  const Vec<T> r = kFused ? fma(rounded - kRounder<T>, Vec<T>(-1 / kPerLn2), twice) : powers(twice, rounded).r;
  const Vec<T> half = two_to<T>(bits(rounded), T(2)), square = r * r, p = polynomial(Fit<T>::kTanh, r);
  const Vec<T> h = fma(half, fma(square, p, r), half - 0.5), below = h + 1.0;
  if constexpr (kFused) {
    const Vec<T> k = first_if_less(h.raw, Vec<T>(1.0).raw);
    return from_bits<T>(bits(fma(-k, k / below, k)) | (bits(x) & kSignBit<T>));
  } else {
    // tanh .25541 is 1/4, from where on the spacing of numbers is twice as large
    const Vec<T> t = h / below, near = 0.5 * r + (0.5 * square * p - h * t);
    return copysign(where(size < 0.25542, near, t), x);
  }
}

// With e = e^-|x| and t = e / (1 + e): 1 - t, or e - e t = t for negative x, which keeps the digits of small results.
template <class T>
LAMINA_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> e = exp_below_most(-abs(x));
  const Vec<T> factor = where(x >= 0.0, Vec<T>(1.0), e);
  return fma(-factor, e / (1.0 + e), factor);
}

// 1 / (1 + e^x) = sigmoid(-x) in the shortest way: 0 where e^x is infinite. By the tables of tanh, where there are any, the error is
// small beside 1, not beside a small result.
template <class T>
LAMINA_INLINE Vec<T> falling_sigmoid(Vec<T> x) {
  if constexpr (kHasTables && sizeof(T) == 4) return fma(Vec<T>(-0.5), tanh(0.5 * x), Vec<T>(0.5));
  if constexpr (kHasTables) return 1.0 / (1.0 + exp(x));
  const Powers<T> p = powers(clamp(x, Vec<T>(Fit<T>::kExpFlushed), Vec<T>(Fit<T>::kExpMost)));
  return 1.0 / fma(exp_of_rest(p.r), two_to<T>(p.n, T(1)), Vec<T>(1.0));
}

// |x| small: x + x P(x^2).  Else 1 - e^P(|x|), P a fit of the logarithm of 1 - erf.
template <class T>
LAMINA_INLINE Vec<T> erf(Vec<T> x) {
  if constexpr (kHasTables && sizeof(T) == 4) return odd_by_intervals(Intervals::kErf, x);
  const Vec<T> size = first_if_less(Vec<T>(Fit<T>::kErfMost).raw, abs(x).raw);
  const Vec<T> small = fma(size, polynomial(Fit<T>::kErf, size * size), size);
  const Vec<T> logarithm = polynomial(Fit<T>::kErfc, size - Fit<T>::kErfCenter);
  const Vec<T> large = 1.0 - exp_of_negative(logarithm);
  return copysign(where(size < Fit<T>::kErfSplit, small, large), x);
}

// The share of the normal distribution below x, (1 + erf(x / sqrt 2)) / 2, off by less than 2^-22. In f32 1/2 + x P(x^2) / Q(x^2):
// the quotient grows like x where x^2 is bounded, so that it reaches -1/2 and 1/2 exactly.
template <class T>
LAMINA_INLINE Vec<T> normal_below(Vec<T> x) {
  if constexpr (sizeof(T) == 8) {
    return 0.5 + 0.5 * erf(x * 0.70710678118654752440);
  } else if constexpr (kHasTables) {
    return odd_by_intervals(Intervals::kNormal, x) + 0.5;
  } else {
    using F = Fit<float>;
    const Vec<float> square = first_if_less(Vec<float>(F::kNormalMost).raw, (x * x).raw);
    const Vec<float> half = x * polynomial(F::kNormalOver, square) / polynomial(F::kNormalUnder, square);
    return clamp(half, Vec<float>(-0.5), Vec<float>(0.5)) + 0.5;
  }
}

// x normal_below(x)
template <class T>
LAMINA_INLINE Vec<T> gelu(Vec<T> x) {
  if constexpr (kHasTables && sizeof(T) == 4) return fma(abs(x), by_intervals(Intervals::kNormal, x), 0.5 * x);
  return x * normal_below(x);
}

// ---- The logarithm and its kin ----

// u = 2^k (1 + f), for normal u
template <class T>
struct Parts {
  Vec<T> k;
  Vec<T> f;
  typename VecTraits<T>::Bits exponent;  // (k + bias), in the exponent's place
};

template <class T>
LAMINA_INLINE Parts<T> parts(Vec<T> u) {
  using Uint = typename VecTraits<T>::Uint;
  constexpr int kMantissa = VecTraits<T>::kMantissaBits;
  constexpr Uint kExponents = ~Uint(0) << kMantissa;
  // Moved up so that the exponent steps at the least mantissa instead of at 1.
  const auto exponent = (bits(u) + (kOneBits<T> - Fit<T>::kLogLeast)) & kExponents;
  // An integer below 2^mantissa under the exponent of 2^mantissa is that integer as a number.
  constexpr T kUnit = T(Uint(1) << kMantissa);
  const Vec<T> biased = from_bits<T>((exponent >> kMantissa) | __builtin_bit_cast(Uint, kUnit));
  const Vec<T> m = from_bits<T>(bits(u) - (exponent - kOneBits<T>));
  return {biased - (kUnit + T(VecTraits<T>::kBias)), m - 1.0, exponent};
}

// k ln 2 + log(1 + f)
LAMINA_INLINE Vec<float> log_of_parts(Vec<float> k, Vec<float> f) {
  using F = Fit<float>;
  const Vec<float> square = f * f;
  const Vec<float> rest = fma(square, fma(f, polynomial(F::kLog, f), Vec<float>(-0.5)), k * F::kLn2Low);
  return fma(k, Vec<float>(F::kLn2High), f + rest);
}

// By s = f / (2 + f): the series in s^2 is short; f - (f^2/2 - s (f^2/2 + R)) keeps the leading term exact.
LAMINA_INLINE Vec<double> log_of_parts(Vec<double> k, Vec<double> f) {
  using F = Fit<double>;
  const Vec<double> s = f / (2.0 + f);
  const Vec<double> z = s * s;
  const Vec<double> half_square = 0.5 * f * f;
  const Vec<double> small = fma(s, half_square + z * polynomial(F::kLog, z), k * F::kLn2Low);
  return fma(k, Vec<double>(F::kLn2High), f - (half_square - small));
}

// y where pole < x < infinity; -infinity at the pole, NaN below, x itself (infinity, NaN) above
template <class T>
LAMINA_INLINE Vec<T> log_domain(Vec<T> x, double pole, Vec<T> y) {
  const Vec<T> outside = where(x == pole, Vec<T>(-kInfinity<T>), where(x < pole, Vec<T>(T(__builtin_nan(""))), x));
  return where((x > pole) & (x < kInfinity<T>), y, outside);
}

template <class T>
LAMINA_INLINE Vec<T> log(Vec<T> x) {
  if constexpr (kHasTables) {
    if constexpr (sizeof(T) == 4) return log_by_intervals(x);
    const auto d = dissected(x);
    return log_of_parts(d.k, d.m - 1.0);
  }
  constexpr int kUp = VecTraits<T>::kMantissaBits + 1;  // lifts every subnormal into the normal numbers
  constexpr T kLift = T(typename VecTraits<T>::Uint(1) << kUp);
  constexpr T kLeastNormal = sizeof(T) == 4 ? T(__FLT_MIN__) : T(__DBL_MIN__);
  const auto subnormal = x < kLeastNormal;
  const Parts<T> p = parts(where(subnormal, x * kLift, x));
  const Vec<T> k = p.k - where(subnormal, Vec<T>(T(kUp)), Vec<T>(0.0));
  return log_domain(x, 0.0, log_of_parts(k, p.f));
}

// log of u = 1 + x, with what the addition lost put back into f: near 0, where it counts, f is then exactly x.
template <class T>
LAMINA_INLINE Vec<T> log1p(Vec<T> x) {
  using Uint = typename VecTraits<T>::Uint;
  const Vec<T> u = 1.0 + x;
  const Parts<T> p = parts(u);
  const Vec<T> lost = x - (u - 1.0);
  // 2^-k; nothing is lost that counts when x is large, and 2^-128 would not be a normal number
  const Vec<T> down = where(x < T(1e9), from_bits<T>((Uint(2) * kOneBits<T>)-p.exponent), Vec<T>(0.0));
  const Vec<T> y = log_of_parts(p.k, fma(lost, down, p.f));
  return where(abs(x) < Fit<T>::kTiny, x, log_domain(x, -1.0, y));
}

// ---- Sine and cosine ----

// size = m pi + r, |r| <= pi / 2, for an integer m (sine) or an integer and a half (cosine): the result is sin r, with the sign
// that m's parity gives. The parts of pi are taken away one by one, the products exact: r is rounded where it counts only once.
template <class T, bool kCosine>
LAMINA_INLINE Vec<T> sine_below_most(Vec<T> size) {
  constexpr T kPerPi = T(0.31830988618379067154);
  constexpr T kBase = kRounder<T> + (kCosine ? 1 : 0);  // cos(m pi + r) = -(-1)^(m - 1/2) sin r: the 1 turns the lowest bit
  const Vec<T> turns = kCosine ? fma(size, Vec<T>(kPerPi), Vec<T>(-0.5)) + kBase : fma(size, Vec<T>(kPerPi), Vec<T>(kBase));
  const Vec<T> m = kCosine ? turns - kBase + 0.5 : turns - kBase;
  Vec<T> r = size;
#pragma GCC unroll 4
  for (const T part : kPi<T>) r = fma(m, Vec<T>(-part), r);
  const Vec<T> square = r * r;
  const Vec<T> rounded = fma(r * square, polynomial(Fit<T>::kSin, square), r);
  const Vec<T> sine = clamp(rounded, Vec<T>(-1.0), Vec<T>(1.0));  // it may be an ulp above
  return from_bits<T>(bits(sine) ^ (bits(turns) << (8 * int(sizeof(T)) - 1)));
}

// y where it holds; in other lanes what the C library says, one at a time.
template <class T, class F, class... Ts>
LAMINA_INLINE Vec<T> or_library(Mask<T> holds, Vec<T> y, F library, Ts... x) {
  if (all(holds)) [[likely]]
    return y;
  return where(holds, y, by_lane(library, x...));
}

template <class T>
LAMINA_INLINE Vec<T> sin(Vec<T> x) {
  const Vec<T> size = abs(x);
  const Vec<T> y = from_bits<T>(bits(sine_below_most<T, false>(size)) ^ (bits(x) & kSignBit<T>));
  return or_library(
      size <= Fit<T>::kSinMost, y, [](T lane) { return sizeof(T) == 4 ? T(__builtin_sinf(float(lane))) : T(__builtin_sin(lane)); },
      x);
}

template <class T>
LAMINA_INLINE Vec<T> cos(Vec<T> x) {
  const Vec<T> size = abs(x);
  const Vec<T> y = sine_below_most<T, true>(size);
  return or_library(
      size <= Fit<T>::kSinMost, y, [](T lane) { return sizeof(T) == 4 ? T(__builtin_cosf(float(lane))) : T(__builtin_cos(lane)); },
      x);
}

// ---- Arc tangent ----

// |x| = tan(a + arctan t) for one of the angles a = 0, pi / 4, pi / 2, so that |t| <= tan(pi / 8): t = x, (x - 1) / (x + 1), -1 / x.
template <class T>
LAMINA_INLINE Vec<T> arctan(Vec<T> x) {
  constexpr double kLow = 0.41421356237309503, kHigh = 2.4142135623730949;
  constexpr T kQuarter = T(0.78539816339744830962), kRest = T(0.78539816339744830962L - (long double)(kQuarter));
  const Vec<T> size = abs(x), zero(0.0), one(1.0);
  const auto near = size <= kLow, far = size >= kHigh;
  const Vec<T> t = where(near, size, where(far, Vec<T>(-1.0), size - 1.0)) / where(near, one, where(far, size, size + 1.0));
  const Vec<T> square = t * t, quarters = where(near, zero, where(far, Vec<T>(2.0), one));
  const Vec<T> rest = fma(t * square, polynomial(Fit<T>::kArctan, square), quarters * Vec<T>(kRest));
  return copysign(fma(quarters, Vec<T>(kQuarter), t + rest), x);
}

// ---- Powers ----

// 2^(y log2 x) to 2^-28, for finite x > 0: what f32 needs.
LAMINA_INLINE Vec<double> rough_pow(Vec<double> x, Vec<double> y) {
  const Parts<double> p = parts(x);
  const Vec<double> s = p.f / (2.0 + p.f);
  const Vec<double> logarithm = fma(s, polynomial(kRoughLog2, s * s), p.k);
  const Vec<double> exponent = clamp(y * logarithm, Vec<double>(-200.0), Vec<double>(200.0));
  const Vec<double> rounded = exponent + kRounder<double>;
  const Vec<double> r = (exponent - (rounded - kRounder<double>)) * 0.69314718055994530942;
  return fma(r, fma(r, polynomial(kRoughExp, r), Vec<double>(1.0)), Vec<double>(1.0)) * two_to<double>(bits(rounded), 1.0);
}

LAMINA_INLINE Vec<float> pow(Vec<float> x, Vec<float> y) {
  const Vec<float> size = abs(x);
  const Doubles base = widened(size), exponent = widened(y);
  const Vec<float> power = narrowed({rough_pow(base.low, exponent.low), rough_pow(base.high, exponent.high)});
  const Vec<float> half = 0.5 * y;
  const auto odd = (floor(y) == y) & (floor(half) != half);
  const Vec<float> nan(__builtin_nan(""));
  const Vec<float> of_any = where((x < 0.0) & (floor(y) != y), nan, where(odd, copysign(power, x), power));
  const auto usual = (size > 0.0) & (size < kInfinity<float>)&(abs(y) < kInfinity<float>);
  return or_library(usual, of_any, [](float a, float b) { return __builtin_powf(a, b); }, x, y);
}

LAMINA_INLINE Vec<double> pow(Vec<double> x, Vec<double> y) {
  return by_lane([](double a, double b) { return __builtin_pow(a, b); }, x, y);
}

LAMINA_KERNELS_END
