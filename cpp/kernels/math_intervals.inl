// tanh, erf and the normal distribution in float32, where a vector's lanes can each choose one of 16 numbers (AVX-512): the functions
// are odd and level off, so |x| + 1.5 falls into a dozen intervals by its exponent and two bits of its mantissa, each with a
// polynomial of its own. Half to two thirds of the time that formulas by e^x take; the coefficients are fits as in math.inl.
#pragma once

#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// Column i: the coefficients, from the constant up, of the polynomial in |x| less where interval i begins.
struct Intervals {
  // |x| <= 9.2; 2^-24.7 of tanh x
  alignas(64) static constexpr float kTanh[7][16] = {
      {0.462117165f, 0.761594176f, 0.905148268f, 0.964027584f, 0.986614287f, 0.998177886f, 0.999753237f, 0.999966621f, 0.99999547f,
       0.99999994f, 0, 0, 0, 0, 0, 0.244918659f},
      {0.786444783f, 0.419971734f, 0.180704817f, 0.0706503317f, 0.026591938f, 0.00364158512f, 0.000491650659f, 6.50712245e-05f,
       9.36482411e-06f, 7e-08f, 0, 0, 0, 0, 1, 0.940015852f},
      {-0.363319784f, -0.319797456f, -0.163528994f, -0.0680982247f, -0.0262258071f, -0.00364087871f, -0.000471561012f,
       -4.66902966e-05f, -1.08583399e-05f, 0, 0, 0, 0, 0, -1.09728694e-06f, -0.230277479f},
      {-0.0956848115f, 0.103244595f, 0.0875564963f, 0.0420189053f, 0.0169401411f, 0.00243384601f, 0.000234954248f, -4.09583699e-05f,
       9.70798465e-06f, 0, 0, 0, 0, 0, -0.333270192f, -0.256052166f},
      {0.173929602f, 0.0286232755f, -0.0243277196f, -0.0175765567f, -0.00778250303f, -0.0012103254f, 1.95653174e-05f,
       0.000142331541f, -6.24321319e-06f, 0, 0, 0, 0, 0, -0.00118376827f, 0.132519946f},
      {-0.0567867272f, -0.0466272905f, -0.00244228216f, 0.00436214078f, 0.00243008486f, 0.000433947251f, -0.000104225903f,
       -0.000137767027f, 2.30667729e-06f, 0, 0, 0, 0, 0, 0.143084571f, 0.0984156057f},
      {-0.00325726368f, 0.0179309975f, 0.00393011747f, -0.000258364191f, -0.000390256697f, -8.28604971e-05f, 4.3000553e-05f,
       4.68928956e-05f, -3.50684275e-07f, 0, 0, 0, 0, 0, -0.0369776338f, -0.106818236f},
  };
  // |x| <= 3.95; 2^-24.2 of erf x, with kErfSlope, what is missing of the slope at 0
  alignas(64) static constexpr float kErf[7][16] = {
      {0.520499885f, 0.842700779f, 0.966105163f, 0.995322287f, 0.999593079f, 0.999999285f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.276326388f},
      {0.878780305f, 0.415108979f, 0.118928716f, 0.0206639823f, 0.0021738892f, 1.47962669e-06f, 0, 0, 0, 0, 0, 0, 0, 0, 1.12837923f,
       1.06001484f},
      {-0.439307481f, -0.41512838f, -0.178372771f, -0.0412654057f, -0.00536701782f, 7.33460765e-05f, 0, 0, 0, 0, 0, 0, 0, 0,
       -5.98985537e-07f, -0.265036583f},
      {-0.147524625f, 0.138398886f, 0.138715073f, 0.0476703197f, 0.0078429617f, -0.000741009833f, 0, 0, 0, 0, 0, 0, 0, 0,
       -0.376092225f, -0.308569938f},
      {0.18925415f, 0.0700857788f, -0.0453478135f, -0.0325237587f, -0.00706668431f, 0.00294289924f, 0, 0, 0, 0, 0, 0, 0, 0,
       -0.000633870019f, 0.122040555f},
      {-0.010386562f, -0.0749474689f, -0.010583153f, 0.0105193313f, 0.00363945263f, -0.00526272459f, 0, 0, 0, 0, 0, 0, 0, 0,
       0.117987692f, 0.099262163f},
      {-0.0272379555f, 0.0188079271f, 0.0109798554f, 2.47450043e-05f, -0.000816415239f, 0.00350933033f, 0, 0, 0, 0, 0, 0, 0, 0,
       -0.0191227868f, -0.0723961368f},
  };
  static constexpr float kErfSlope = -5.8635383e-08f;
  // Phi(|x|) - 1/2 for |x| <= 5.6; 2^-24.1 of Phi
  alignas(64) static constexpr float kNormal[6][16] = {
      {0.191462487f, 0.341344744f, 0.43319279f, 0.477249861f, 0.493790388f, 0.499767423f, 0.499996603f, 0.49999997f, 0, 0, 0, 0, 0,
       0, 0, 0.0987063274f},
      {0.352061689f, 0.241970301f, 0.129518956f, 0.0539920628f, 0.0175254047f, 0.00086899905f, 1.5852158e-05f, 3.68218457e-06f, 0,
       0, 0, 0, 0, 0, 0.398942262f, 0.386667728f},
      {-0.0879328027f, -0.120970204f, -0.097169742f, -0.0540172495f, -0.0218867846f, -0.00148426974f, -3.39559592e-05f,
       -0.000189683589f, 0, 0, 0, 0, 0, 0, 1.09635437e-06f, -0.0483194031f},
      {-0.0447116904f, -0.000163178556f, 0.0272469446f, 0.0272263698f, 0.0152911535f, 0.00144888624f, 4.09062668e-05f,
       0.00351502676f, 0, 0, 0, 0, 0, 0, -0.0665100664f, -0.0606014654f},
      {0.0228597671f, 0.0209441893f, 0.00509180268f, -0.00542507367f, -0.00601448631f, -0.000793220883f, -2.67198375e-05f,
       -0.0266335867f, 0, 0, 0, 0, 0, 0, 0.000143760539f, 0.0128913233f},
      {-0.000164470111f, -0.00586091448f, -0.00429054862f, -0.00049541815f, 0.00106173626f, 0.000188816877f, 7.29835165e-06f,
       0.0706766024f, 0, 0, 0, 0, 0, 0, 0.00957444403f, 0.00584080582f},
  };
  static constexpr float kTanhMost = 9.2f, kErfMost = 3.95f, kNormalMost = 5.6f;  // where the results are 1, 1 and 1/2
};

template <class V, int kCount>
LAMINA_INLINE V odd_by_intervals(const float (&c)[kCount][16], float most, float slope, V x) {
  constexpr float kShift = 1.5f;
  constexpr uint32_t kStart = 0xFFE00000;  // of an interval: exponent and two bits
  constexpr int kIndex = 21;
  const V size = lesser(V(most).raw, abs(x).raw);
  const V shifted = size + kShift;
  const auto index = bits(shifted) >> kIndex;
  const V t = size - (from_bits<float>(bits(shifted) & kStart) - kShift);
  V sum = chosen(c[kCount - 1], index);
#pragma GCC unroll 8
  for (int i = kCount - 2; i > 0; --i) sum = fma(sum, t, V(chosen(c[i], index)));
  V first = chosen(c[0], index);
  if (slope != 0) first = fma(t, V(slope), first);
  return copysign(fma(sum, t, first), x);
}

// 2^(i/16 + kUp), rounded, at i
template <int kUp>
struct SixteenthPowers {
  alignas(64) float at[16] = {1,           1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f,
                              1.29683959f, 1.35425556f, 1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f,
                              1.68179286f, 1.75625217f, 1.8340081f,  1.91520655f};
  constexpr SixteenthPowers() {
    for (float& power : at)
      for (int i = 0; i < kUp; ++i) power *= 2;
  }
};

// e^x 2^kUp = 2^floor(n) power (1 + rest): n counts sixteenths, power is 2^(n - floor(n) + kUp) as a number, rest is what is missing of
// it and of e^r, |r| <= ln(2)/32.
template <class V>
struct Sixteenths {
  V n, power, rest;
};

template <int kUp, class V>
LAMINA_INLINE Sixteenths<V> sixteenths(V x) {
  static constexpr SixteenthPowers<kUp> kPowers;
  alignas(64) static constexpr float kMissing[16] = {0,
                                                     4.62854715e-08f,
                                                     -1.19921575e-08f,
                                                     4.72978243e-08f,
                                                     3.19341815e-08f,
                                                     3.62105723e-08f,
                                                     -3.09907193e-08f,
                                                     -7.47521334e-09f,
                                                     1.71142709e-08f,
                                                     -3.04768335e-08f,
                                                     5.23333421e-09f,
                                                     6.10759177e-09f,
                                                     -1.47196051e-08f,
                                                     -5.25879518e-09f,
                                                     -6.12825968e-09f,
                                                     5.14060927e-09f};
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRounder = 0x1.8p19f;                         // sixteenths are its last bits
  constexpr float kHalf = 0.500016272f, kSixth = 0.166666672f;  // (e^r - 1 - r) / r^2; 2^-29 of e^r
  const V rounded = fma(x, V(1.44269502f), V(kRounder));
  const V n = rounded - kRounder;
  const V r = fma(n, V(-kLn2Low), fma(n, V(-kLn2High), x));
  const V missing(chosen(kMissing, bits(rounded)));
  return {n, V(chosen(kPowers.at, bits(rounded))), fma(r * r, fma(V(kSixth), r, V(kHalf)), r + missing)};
}

// log x = k ln 2 + log m with m in [3/4, 3/2): k is a whole number, infinite for 0 and infinity, NaN where the logarithm is.
template <class V>
struct Dissected {
  V k, m;
};

template <class V>
LAMINA_INLINE Dissected<V> dissected(V x) {
  const V m = mantissa(x.raw), e = exponent(x.raw);
  return {where(m < 1.0, e + 1.0, e), m};
}

// log m = log c + log(1 + r) with m = c (1 + r): 1/c and log c by the first four bits of the mantissa, chosen so that log c is nearly a
// number; where m is near 1, c is 1, and the result is log(1 + r), to its last bit.
template <class V>
LAMINA_INLINE V log_by_intervals(V x) {
  alignas(64) static constexpr float kInverse[16] = {
      1,           0.913574219f, 0.856933594f, 0.820556641f, 0.780029297f, 0.736083984f, 0.704833984f, 0.676513672f,
      1.30224609f, 1.25195312f,  1.20068359f,  1.1640625f,   1.12890625f,  1.07592773f,  1.05737305f,  1};
  alignas(64) static constexpr float kLog[16] = {0,
                                                 0.0903906599f,
                                                 0.15439485f,
                                                 0.197772339f,
                                                 0.2484238f,
                                                 0.306411058f,
                                                 0.349792987f,
                                                 0.390802622f,
                                                 -0.264090538f,
                                                 -0.224704832f,
                                                 -0.182891056f,
                                                 -0.151916042f,
                                                 -0.121249244f,
                                                 -0.0731832981f,
                                                 -0.0557875745f,
                                                 0};
  constexpr float kRest[] = {-0.49999994f, 0.333345294f, -0.250213623f,
                             0.190448374f};  // (log(1 + r) - r) / r^2, -.036 <= r <= .0625
  constexpr float kLn2High = 0.693115234375f,
                  kLn2Low = 3.19461834e-05f;  // both positive: infinity times them, and their sum, is one
  constexpr int kIndex = 19;
  const Dissected<V> d = dissected(x);
  const auto index = bits(d.m) >> kIndex;
  const V r = fma(d.m, V(chosen(kInverse, index)), V(-1.0));
  V rest(kRest[3]);
#pragma GCC unroll 4
  for (int i = 2; i >= 0; --i) rest = fma(rest, r, V(kRest[i]));
  const V small = fma(d.k, V(kLn2Low), fma(r * r, rest, r));
  return fma(d.k, V(kLn2High), V(chosen(kLog, index)) + small);
}

LAMINA_KERNELS_END
