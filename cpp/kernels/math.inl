// exp log log1p expm1 tanh sigmoid erf arctan: branch-free polynomials over vectors, one source for f32 and f64.
// sin cos: the same up to kSinMost, the C library's beyond. pow: in f32 by f64, else the C library's, lane by lane.
//
// Errors (tests/cpp/kernels_math.h measures them): exp, log, tanh, sigmoid, erf, sin, cos, pow, arctan <= 2 ulp, log1p and expm1 <= 3, on
// every normal result; infinities, NaN, zeros and subnormals as in C. The coefficients are minimax fits (Lawson's iteration in 40
// digits, each coefficient rounded in turn and the rest fitted again); the error of a fit stands beside it.
#pragma once

#include "kernels/math_intervals.inl"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

template <class T>
struct Fit;

template <>
struct Fit<float> {
  // (e^r - 1 - r) / r^2 for |r| <= ln(2)/2: to 2^-28.2 of e^r, and (one term more) to 2^-31.1 of e^r - 1
  static constexpr float kExp[] = {0.49999994f, 0.166665211f, 0.0416682623f, 0.00836866908f, 0.00138209667f};
  static constexpr float kExpm1[] = {0.5f, 0.166666672f, 0.0416664816f, 0.00833318941f, 0.00139333482f, 0.000199610164f};
  // the same for -.139 <= r <= .554; 2^-31.3
  static constexpr float kTanh[] = {0.5f, 0.166666612f, 0.0416669399f, 0.00833572075f, 0.00137078215f, 0.000236912223f};
  static constexpr float kExpLeast = -104.0f, kExpMost = 89.0f;               // where the result is 0, and infinite
  static constexpr float kExpFlushed = -88.0f;                                // rounds to 2^-127, whose bits are those of 0
  static constexpr float kExpm1Least = -20.0f;                                // e^-20 < 2^-26
  static constexpr float kTanhMost = 9.1f;                                    // 2 e^-18.2 < 2^-25
  static constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // 9 bits: n times it is exact
  static constexpr float kTiny = 0x1p-26f;                                    // log1p(x) = expm1(x) = x below
  // (log(1 + f) - f + f^2 / 2) / f^3 for |f| <= 1/3; 2^-27.5 of log(1 + f)
  static constexpr float kLog[] = {0.333332241f, -0.249997035f, 0.200100347f, -0.166848108f,
                                   0.140110403f, -0.121240631f, 0.139619514f, -0.131533459f};
  static constexpr uint32_t kLogLeast = 0x3F2AAAAB;  // the bits of 2/3: mantissas in [2/3, 4/3)
  // erf(x) / x - 1 in x^2, |x| < 0.9; 2^-29.9
  static constexpr float kErf[] = {0.128379166f,   -0.376126319f,    0.112836815f,   -0.0268590208f,
                                   0.00520071201f, -0.000814399216f, 8.39135464e-05f};
  static constexpr float kErfSplit = 0.9f, kErfMost = 4.0f, kErfCenter = 0.0f;
  // log(1 - erf(t)) in t - kErfCenter, 0.9 <= t <= 4; 2^-29.1 of erf
  static constexpr float kErfc[] = {-0.000166243568f, -1.1277982f,    -0.636974216f,  -0.104115613f,
                                    0.0223163273f,    -0.0030658266f, 0.000198260939f};
  // (Phi(x) - 1/2) / x in x^2, a quotient, |x| <= 5.6; 2^-25.4 of Phi
  static constexpr float kNormalOver[] = {0.546500266f,    0.0464751348f,   0.00640714681f,
                                          0.000231371174f, 8.61546505e-06f, 3.05451948e-08f};
  static constexpr float kNormalUnder[] = {1.36987305f,    0.344807595f,    0.0392826423f,
                                           0.00258266833f, 0.000100456491f, 1.61593732e-06f};
  static constexpr float kNormalMost = 32.0f;
  // (sin r - r) / r^3 in r^2, |r| <= 1.5712; 2^-27.2 of sin r
  static constexpr float kSin[] = {-0.166666597f, 0.00833306927f, -0.000198097769f, 2.60609568e-06f};
  static constexpr float kSinMost = 1e4f;  // m has 12 bits
  // (arctan t - t) / t^3 in t^2, |t| <= .4143; 2^-30.5
  static constexpr float kArctan[] = {-0.333333164f, 0.19998531f, -0.1424447f, 0.105998203f, -0.0609175861f};
};

template <>
struct Fit<double> {
  // 2^-57.9 and 2^-61.7
  static constexpr double kExp[] = {0.50000000000000111,    0.16666666666666441,    0.04166666666652704,    0.0083333333334779606,
                                    0.0013888888944314976,  0.00019841269539904059, 2.4801492482106858e-05, 2.7557558144389799e-06,
                                    2.7630444570687391e-07, 2.5008629649800594e-08};
  static constexpr double kExpm1[] = {0.5,
                                      0.16666666666666677,
                                      0.041666666666666678,
                                      0.0083333333333214521,
                                      0.0013888888888877102,
                                      0.00019841269886523188,
                                      2.4801587341795498e-05,
                                      2.7557243849991868e-06,
                                      2.7557257902735722e-07,
                                      2.5109151351066505e-08,
                                      2.0919967606709161e-09};
  // 2^-61.3
  static constexpr double kTanh[] = {0.5,
                                     0.16666666666666671,
                                     0.041666666666668163,
                                     0.0083333333333180572,
                                     0.0013888888887553586,
                                     0.00019841269999557363,
                                     2.4801586343962622e-05,
                                     2.7556917231813983e-06,
                                     2.7577264541964818e-07,
                                     2.4628378149863788e-08,
                                     2.5169423909223025e-09};
  static constexpr double kExpLeast = -746.0, kExpMost = 710.0;
  static constexpr double kExpFlushed = -709.2;
  static constexpr double kExpm1Least = -40.0;                                                          // e^-40 < 2^-54
  static constexpr double kTanhMost = 19.5;                                                             // 2 e^-39 < 2^-54
  static constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;  // 32 bits
  static constexpr double kTiny = 0x1p-55;
  // (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, s = f / (2 + f), 1 + f in [sqrt(1/2), 3/2); 2^-60.4 of the logarithm
  static constexpr double kLog[] = {0.6666666666666666,  0.4000000000000794,  0.28571428567275936, 0.2222222304835159,
                                    0.18181737626302938, 0.15388867805613718, 0.13209708242059462, 0.13609030262858499};
  static constexpr uint64_t kLogLeast = 0x3FE6A09E667F3BCD;  // the bits of sqrt(1/2)
  // |x| < 1; 2^-55.9
  static constexpr double kErf[] = {0.12837916709551256,     -0.37612638903183454,    0.11283791670942599,
                                    -0.026866170642939464,   0.0052239776050940125,   -0.00085483258922469164,
                                    0.00012055292718691952,  -1.4924699317567409e-05, 1.6447003903866003e-06,
                                    -1.6205528604693215e-07, 1.3708241176526482e-08,  -7.7753386705012398e-10};
  static constexpr double kErfSplit = 1.0, kErfMost = 6.0, kErfCenter = 1.5;
  // 1 <= t <= 6; 2^-59.1
  static constexpr double kErfc[] = {
      -3.3844920895515527,     -3.5088008017795276,    -0.89264033061503978,    -0.025824140633673207,   0.0060067463864530166,
      -0.0012572166861118566,  0.00021596330533872444, -2.247369494184505e-05,  -2.6468355486713079e-06, 2.3708723646547117e-06,
      -8.1878381558833389e-07, 1.925288105230143e-07,  -2.7748895429102933e-08, -1.0856583445135929e-09, 2.2523179972560857e-09,
      -8.0633992460631208e-10, 1.6770237720339076e-10, -2.0242544848861589e-11, 1.0932705898820035e-12};
  // 2^-61.5
  static constexpr double kSin[] = {-0.16666666666666666,    0.0083333333333332066,   -0.00019841269841212511,
                                    2.7557319211583145e-06,  -2.5052106906463921e-08, 1.6058941143514631e-10,
                                    -7.6430239900968473e-13, 2.7214773852471595e-15};
  static constexpr double kSinMost = 1e6;  // m has 20 bits
  // 2^-59.5
  static constexpr double kArctan[] = {-0.333333333333332,   0.1999999999995395,   -0.1428571428024029,  0.11111110785857507,
                                       -0.090908978303372,   0.07692061545339193,  -0.06663119413211763, 0.05848001833144094,
                                       -0.05039811897547449, 0.038077396537593615, -0.01792116969410431};
};

// log2((1 + s) / (1 - s)) / s in s^2, as kLog, to 2^-37.7; and Fit<float>::kExp
constexpr double kRoughLog2[] = {2.8853900817899318, 0.96179667341475839, 0.57708357596636772, 0.41167313896950447,
                                 0.34072356630642303};
constexpr double kRoughExp[] = {Fit<float>::kExp[0], Fit<float>::kExp[1], Fit<float>::kExp[2], Fit<float>::kExp[3],
                                Fit<float>::kExp[4]};

// pi as a sum. Where multiply-adds round once, each part has all the bits of T; elsewhere, the bits that leave room for those of m.
template <class T, bool kWhole = kFused>
constexpr T kPi[] = {T(0)};
template <>
constexpr float kPi<float, true>[] = {3.14159274f, -8.74227766e-08f, -3.43024902e-15f};
template <>
constexpr float kPi<float, false>[] = {3.140625f, 0.000967502594f, 1.50990672e-07f, 5.12668814e-12f};
template <>
constexpr double kPi<double, true>[] = {3.1415926535897931, 1.2246467991473532e-16, -2.9947698097183397e-33};
template <>
constexpr double kPi<double, false>[] = {3.1415926534682512, 1.2154188766544394e-10, 1.224646798818428e-16, 3.2892513872648515e-26};

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

// n is the integer nearest to about / ln 2; with about = x, |r| <= ln(2)/2.
template <class T>
LAMINA_INLINE Powers<T> powers(Vec<T> x, Vec<T> about) {
  const Vec<T> rounded = fma(about, Vec<T>(1.4426950408889634), Vec<T>(kRounder<T>));
  const Vec<T> n = rounded - kRounder<T>;
  return {bits(rounded), fma(n, Vec<T>(-Fit<T>::kLn2Low), fma(n, Vec<T>(-Fit<T>::kLn2High), x))};
}

// e^r. Fused, r (1 + r P) + 1 rounds least and is shortest; otherwise (r + r^2 P) + 1 is.
template <class T>
LAMINA_INLINE Vec<T> exp_of_rest(Vec<T> r) {
  const Vec<T> p = polynomial(Fit<T>::kExp, r);
  if constexpr (kFused) return fma(r, fma(r, p, Vec<T>(1.0)), Vec<T>(1.0));
  return (r * r * p + r) + 1.0;
}

// e^r - 1
template <class T, int kCount>
LAMINA_INLINE Vec<T> expm1_of_rest(const T (&fit)[kCount], Vec<T> r) {
  return fma(r * r, polynomial(fit, r), r);
}

// 2^n / divisor for normal results; the bits of kRounder are shifted out.
template <class T>
LAMINA_INLINE Vec<T> two_to(typename VecTraits<T>::Bits n, T divisor) {
  const auto bias = __builtin_bit_cast(typename VecTraits<T>::Uint, T(1) / divisor);
  return from_bits<T>((n << VecTraits<T>::kMantissaBits) + bias);
}

template <class T>
constexpr T two_to_the(int n) {
  return n == 0 ? T(1) : T(2) * two_to_the<T>(n - 1);
}

// e^x for x at least kExpLeast. 2^n is applied as two factors, half of n each: a subnormal result is rounded once, and 2^128
// (2^1024) is not needed.
template <class T>
LAMINA_INLINE Vec<T> exp_above_least(Vec<T> x) {
  if constexpr (kRicher) {
    const auto p = sixteenths(SixteenthConstants<T, 0>(kAsTheyAre), x);
    return scaled(fma(p.power, p.rest, p.power).raw, p.n.raw);
  }
  constexpr int kMantissa = VecTraits<T>::kMantissaBits;
  const Powers<T> p = powers(x, x);
  const auto biased = p.n - (kRounderBits<T> - 2 * VecTraits<T>::kBias);  // n + 2 bias, positive
  const auto half = biased >> 1;
  return exp_of_rest(p.r) * from_bits<T>(half << kMantissa) * from_bits<T>((biased - half) << kMantissa);
}

template <class T>
LAMINA_INLINE Vec<T> exp(Vec<T> x) {
  return exp_above_least(clamp(x, Vec<T>(Fit<T>::kExpLeast), Vec<T>(Fit<T>::kExpMost)));
}

// A function: e^x 2^kUp for x <= 0, where e^x is a normal number, else 0: one factor is enough. keep() of each constant where there
// are registers for them.
template <class T, int kUp, class Keep>
LAMINA_INLINE auto exp_of_negatives(Keep keep) {
  if constexpr (kRicher) {
    return [constants = SixteenthConstants<T, kUp>(keep)](Vec<T> x) {
      const auto p = sixteenths(constants, x);
      return where(x < T(sizeof(T) == 4 ? -87.3365 : -708.3964), Vec<T>(0.0),
                   Vec<T>(scaled(fma(p.power, p.rest, p.power).raw, p.n.raw)));
    };
  } else {
    return [](Vec<T> x) {
      const Vec<T> bounded(greater(Vec<T>(Fit<T>::kExpFlushed).raw, x.raw));
      const Powers<T> p = powers(bounded, bounded);
      const Vec<T> e = exp_of_rest(p.r) * two_to<T>(p.n, T(1));
      return kUp == 0 ? e : e * two_to_the<T>(kUp);
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
  const Powers<T> p = powers(bounded, bounded);
  const Vec<T> half = two_to<T>(p.n, T(2));
  return where(abs(x) < Fit<T>::kTiny, x, 2.0 * fma(half, expm1_of_rest(Fit<T>::kExpm1, p.r), half - 0.5));
}

// H / (H + 1), H = (e^(2 |x|) - 1) / 2. n is chosen so that r lies between -.139 and .554: with the usual |r| <= .347, n would be 1
// from 2 |x| = .347 on, and 2 (e^r - 1) + 1 loses a bit where the result is small. There too, H - H^2 / (H + 1) rounds better.
template <class T>
LAMINA_INLINE Vec<T> tanh(Vec<T> x) {
  if constexpr (kRicher && sizeof(T) == 4) return odd_by_intervals(Intervals::kTanh, x);
  const Vec<T> bounded = lesser(Vec<T>(Fit<T>::kTanhMost).raw, abs(x).raw);
  const Powers<T> p = powers(bounded + bounded, fma(bounded, Vec<T>(2.0), Vec<T>(-0.2077)));
  const Vec<T> half = two_to<T>(p.n, T(2));
  const Vec<T> h = fma(half, expm1_of_rest(Fit<T>::kTanh, p.r), half - 0.5);
  const Vec<T> t = h / (h + 1.0);
  return copysign(where(bounded < 0.27, fma(-h, t, h), t), x);
}

// With e = e^-|x| and t = e / (1 + e): 1 - t, or e - e t = t for negative x, which keeps the digits of small results.
template <class T>
LAMINA_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> e = exp_above_least(Vec<T>(greater(Vec<T>(Fit<T>::kExpLeast).raw, (-abs(x)).raw)));
  const Vec<T> factor = where(x >= 0.0, Vec<T>(1.0), e);
  return fma(-factor, e / (1.0 + e), factor);
}

// |x| small: x + x P(x^2).  Else 1 - e^P(|x|), P a fit of the logarithm of 1 - erf.
template <class T>
LAMINA_INLINE Vec<T> erf(Vec<T> x) {
  if constexpr (kRicher && sizeof(T) == 4) return odd_by_intervals(Intervals::kErf, x);
  const Vec<T> size = lesser(Vec<T>(Fit<T>::kErfMost).raw, abs(x).raw);
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
  } else if constexpr (kRicher) {
    return odd_by_intervals(Intervals::kNormal, x) + 0.5;
  } else {
    using F = Fit<float>;
    const Vec<float> square = lesser(Vec<float>(F::kNormalMost).raw, (x * x).raw);
    const Vec<float> half = x * polynomial(F::kNormalOver, square) / polynomial(F::kNormalUnder, square);
    return clamp(half, Vec<float>(-0.5), Vec<float>(0.5)) + 0.5;
  }
}

// x normal_below(x)
template <class T>
LAMINA_INLINE Vec<T> gelu(Vec<T> x) {
  if constexpr (kRicher && sizeof(T) == 4) return fma(abs(x), by_intervals(Intervals::kNormal, x), 0.5 * x);
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
  if constexpr (kRicher) {
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
