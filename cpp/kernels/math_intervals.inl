// tanh, erf and the normal distribution in float32, where a vector's lanes can each choose one of 32 numbers (AVX-512): the
// functions are odd and level off, so |x| falls into 32 intervals, each with a polynomial of its own. Half to a third of the time
// that formulas by e^x take; the coefficients are fits as in math_fits.inl. Behind them e^x, in float64 too, and the logarithm, by one of 16.
#pragma once

#include "kernels/math_fits.inl"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// The bits of |x| scale + start from kFirst on choose the column: intervals double in width where that sum passes a power of two,
// so that they are short where the functions bend (of one width, tanh takes two terms more). The last one ends behind `most`, where
// the function has levelled off. A column: a place within the interval, and the coefficients, from the constant up, of the
// polynomial in |x| less that place. Places are such that constants are near a number; in the first interval both are 0.
template <int kDegree, int kFirst>
struct OddIntervals {
  float scale, start, most;
  float slope;  // what is missing of the slope at 0
  alignas(64) float place[32];
  alignas(64) float c[kDegree + 1][32];
};

struct Intervals {
  // clang-format off

  // tanh |x|, of itself: 2^-25.69
  alignas(64) static constexpr OddIntervals<4, 20> kTanh = {
      1.8568064f, 1.1875f, 9.05f, 0,
      {0.50671005f,  0.6404612f,   0.77181584f,  0.9089262f,   1.0451883f,   1.1778893f,   1.3115126f,   1.4459705f,
       1.6497681f,   1.9229791f,   2.1839247f,   2.458805f,    2.7270343f,   2.9974718f,   3.2656744f,   3.5361927f,
       3.9337165f,   4.484124f,    5.012397f,    5.559034f,    6.090592f,    6.62557f,     7.1664715f,   7.6973557f,
       8.537508f,    0,            0.06841047f,  0.13390264f,  0.20241071f,  0.2681991f,   0.3378819f,   0.40413138f},
      {{0.46737787f,  0.5652135f,   0.6479841f,   0.72061646f,  0.7799286f,   0.8267849f,   0.86465764f,  0.8948932f,
       0.9288258f,   0.95816207f,  0.9749605f,   0.9854731f,   0.99147874f,  0.99502975f,  0.99709016f,  0.998305f,
       0.99923426f,  0.99974525f,  0.9999114f,   0.9999703f,   0.99998975f,  0.9999965f,   0.9999988f,   0.9999996f,
       0.99999994f,  0,            0.06830395f,  0.13310805f,  0.19969101f,  0.2619483f,   0.32558513f,  0.38347837f},
      {0.7815581f,      0.68053406f,     0.580117f,       0.48071226f,     0.3917116f,      0.31642687f,     0.25236726f,     0.19916613f,
       0.13728245f,     0.08192499f,     0.049451597f,    0.02884247f,     0.016969705f,    0.009915678f,    0.0058111353f,   0.0033870372f,
       0.0015305688f,   0.00050932803f,  0.00017709823f,  5.9352275e-05f,  2.0499461e-05f,  7.0317997e-06f,  2.3836992e-06f,  8.246644e-07f,
       1.5380873e-07f,  1,               0.9953345f,      0.9822822f,      0.9601235f,      0.9313831f,      0.89399433f,     0.8529443f},
      {-0.36528325f,     -0.38464758f,     -0.375905f,       -0.3464096f,      -0.30550838f,     -0.26161724f,     -0.2182114f,      -0.17823252f,
       -0.12751253f,     -0.078496814f,    -0.048214458f,    -0.028423307f,    -0.016825102f,    -0.00986631f,     -0.005794212f,    -0.0033812565f,
       -0.00152963f,     -0.0005091056f,   -0.00017710344f,  -5.934222e-05f,   -2.0500165e-05f,  -7.0334618e-06f,  -2.3842017e-06f,  -3.2630936e-07f,
       -5.8517077e-07f,  9.3245103e-07f,   -0.06798434f,     -0.13074927f,     -0.19172749f,     -0.24397421f,     -0.291071f,       -0.32708573f},
      {-0.08995396f,     -0.009759359f,    0.049860768f,     0.08907733f,      0.10747421f,      0.11067925f,      0.104475915f,     0.093082964f,
       0.072720036f,     0.048010357f,     0.030617245f,     0.018465037f,     0.011069996f,     0.0065398235f,    0.0038571525f,    0.0022564984f,
       0.0010364568f,    0.00034543235f,   0.00012020374f,   4.0290644e-05f,   1.39152735e-05f,  4.7740236e-06f,   1.6179072e-06f,   5.6982134e-07f,
       1.11358986e-07f,  -0.33350143f,     -0.32693648f,     -0.30988315f,     -0.2816434f,      -0.24646589f,     -0.20320319f,     -0.15885061f},
      {0.16368851f,      0.13370869f,      0.09223365f,      0.051280856f,     0.018359484f,     -0.0042746207f,   -0.017593563f,    -0.023868885f,
       -0.024890766f,    -0.01982067f,     -0.013632823f,    -0.008701198f,    -0.005345528f,    -0.0032121777f,   -0.0019074425f,   -0.0011240091f,
       -0.00051188265f,  -0.00017462698f,  -5.968926e-05f,   -2.0315993e-05f,  -6.9320945e-06f,  -2.3574207e-06f,  -8.01503e-07f,    -6.642608e-06f,
       1.320234e-06f,    0.008616073f,     0.04421068f,      0.08457614f,      0.119537756f,     0.14594905f,      0.16274543f,      0.16992636f}}};

  // erf |x|, of itself: 2^-25.46
  alignas(64) static constexpr OddIntervals<4, 19> kErf = {
      1.3284497f, 1.75f, 3.95f, -5.8635383e-08f,
      {0.2341404f,    0.3293736f,    0.42308244f,   0.5161891f,    0.6128102f,    0.70682013f,   0.8007595f,    0.8938238f,
       0.9872457f,    1.0810063f,    1.1748563f,    1.2686592f,    1.3629656f,    1.4574083f,    1.5521004f,    1.6469009f,
       1.7860386f,    1.9752535f,    2.1660116f,    2.3534575f,    2.5428417f,    2.731012f,     2.918919f,     3.1084352f,
       3.2952602f,    3.4840047f,    3.6659274f,    3.8541167f,    0,             0.071328446f,  0.11741129f,   0.16480206f},
      {{0.25944957f,   0.35864463f,   0.45037952f,   0.5346108f,    0.61386317f,   0.68249327f,   0.7425526f,    0.7937907f,
       0.83733857f,   0.87367946f,   0.9033865f,    0.9272116f,    0.9460857f,    0.9607052f,    0.9718365f,    0.9801446f,
       0.9884578f,    0.9947848f,    0.9978102f,    0.9991262f,    0.999677f,     0.99988765f,   0.9999634f,    0.999989f,
       0.99999684f,   0.99999917f,   0.99999976f,   0.99999994f,   0,             0.080349244f,  0.13187818f,   0.1842893f},
      {1.0681844f,      1.0123711f,      0.9434456f,      0.86444384f,     0.7751071f,      0.6846741f,      0.59426296f,     0.5075609f,
       0.42576337f,     0.35071123f,     0.28379452f,     0.22566274f,     0.17606665f,     0.13489528f,     0.101445526f,    0.07490757f,
       0.04646035f,     0.022803122f,    0.010349147f,    0.00443589f,     0.0017549149f,   0.0006505117f,   0.00022498908f,  7.178844e-05f,
       2.1699687e-05f,  6.0356974e-06f,  1.6455687e-06f,  3.9993e-07f,     1.1283792f,      1.1226529f,      1.1129307f,      1.0981451f},
      {-0.25010416f,     -0.33344772f,     -0.39915502f,     -0.44621646f,     -0.4749936f,      -0.48394096f,     -0.4758616f,      -0.45366997f,
       -0.42033273f,     -0.37912065f,     -0.3334173f,      -0.28628868f,     -0.23997265f,     -0.1965975f,      -0.1574538f,      -0.12336532f,
       -0.08298118f,     -0.045042858f,    -0.022416282f,    -0.010439747f,    -0.004462288f,    -0.0017764687f,   -0.0006566843f,   -0.00022311119f,
       -7.148669e-05f,   -2.1028218e-05f,  1.1886503e-05f,   6.2089302e-06f,   2.154504e-06f,    -0.08007599f,     -0.13067102f,     -0.18097615f},
      {-0.316762f,       -0.2640619f,      -0.2018206f,      -0.13459253f,     -0.06436711f,     -0.00031477518f,  0.055778272f,     0.10096147f,
       0.13453868f,      0.15614517f,      0.16639501f,      0.16678944f,      0.1592708f,       0.1459945f,       0.12908019f,      0.1104773f,
       0.08340864f,      0.051855467f,     0.029051326f,     0.014997899f,     0.0070397877f,    0.003050213f,     0.0012188917f,    0.0004453512f,
       0.00015257839f,   4.779829e-05f,    1.619353e-05f,    4.687306e-06f,    -0.37640426f,     -0.3704787f,      -0.36053535f,     -0.34609103f},
      {0.12003037f,      0.15431964f,      0.17554449f,      0.18336232f,      0.17805292f,      0.1612081f,       0.13626842f,      0.10601417f,
       0.07342999f,      0.041653063f,     0.013050865f,     -0.010632253f,    -0.028650738f,    -0.040863007f,    -0.047577035f,    -0.049828272f,
       -0.04656368f,     -0.036003236f,    -0.023982324f,    -0.014144796f,    -0.007485613f,    -0.0035855484f,   -0.0015654376f,   -0.00062412245f,
       -0.00022946938f,  -7.663528e-05f,   -0.001903909f,    -0.0008202433f,   0.010190422f,     0.036913473f,     0.06567031f,      0.08797745f}}};

  // Phi(|x|) - 1/2: 2^-23.79
  alignas(64) static constexpr OddIntervals<3, 18> kNormal = {
      0.22310273f, 1.25f, 5.6f, 0,
      {3.4969037f,   3.7763572f,   4.064845f,    4.3464284f,   4.6276326f,   4.9007554f,   5.176987f,    5.457127f,
       0,            0.21253522f,  0.35249314f,  0.48815095f,  0.6281859f,   0.77166665f,  0.9077026f,   1.0498316f,
       1.1894605f,   1.3329622f,   1.4706019f,   1.6118206f,   1.7501887f,   1.8914002f,   2.030994f,    2.169033f,
       2.3124297f,   2.4519114f,   2.593221f,    2.7301393f,   2.8740332f,   3.0106018f,   3.1514f,      3.2900412f},
      {{0.4997647f,   0.49992046f,  0.49997598f,  0.4999931f,   0.49999815f,  0.49999952f,  0.49999988f,  0.49999997f,
       0,            0.08415522f,  0.13776572f,  0.18727848f,  0.23505886f,  0.279844f,    0.31798226f,  0.35310218f,
       0.3828707f,   0.40872785f,  0.42930058f,  0.4464995f,   0.45995712f,  0.47071454f,  0.4788722f,   0.48495993f,
       0.489623f,    0.49289504f,  0.49524593f,  0.49683464f,  0.49797368f,  0.49869636f,  0.49918756f,  0.49949914f},
      {0.00088230043f,  0.00031936195f,  0.00010298492f,  3.150083e-05f,   8.917384e-06f,   2.428949e-06f,   6.040934e-07f,   1.3621154e-07f,
       0.3989438f,      0.39003304f,     0.37491217f,     0.35413203f,     0.32750604f,     0.29621425f,     0.26423866f,     0.22992271f,
       0.19664657f,     0.16409154f,     0.13529833f,     0.1088352f,      0.08624888f,     0.06669431f,     0.050721455f,    0.037957527f,
       0.027526481f,    0.01974459f,     0.013824069f,    0.009602192f,    0.0064158146f,   0.0042928862f,   0.002781952f,    0.0017800524f},
      {-0.0015656012f,   -0.0006139239f,   -0.00021407142f,  -7.030752e-05f,   -2.1284597e-05f,  -6.1606443e-06f,  -9.665673e-07f,   1.8316703e-07f,
       -5.759028e-05f,   -0.04139826f,     -0.06599983f,     -0.08633789f,     -0.10275846f,     -0.11417713f,     -0.1198195f,      -0.12059659f,
       -0.1168761f,      -0.10930927f,     -0.0994509f,      -0.08769689f,     -0.07547776f,     -0.06308763f,     -0.051531125f,    -0.04119399f,
       -0.03185708f,     -0.024235819f,    -0.017951775f,    -0.013131413f,    -0.009239516f,    -0.0064780703f,   -0.004395953f,    -0.0029375274f},
      {0.0016450268f,   0.0007025901f,   0.0002735086f,   9.740391e-05f,   3.167346e-05f,   9.510914e-06f,   2.2440984e-06f,  3.351897e-07f,
       -0.06596645f,    -0.06209899f,    -0.05481863f,    -0.04475987f,    -0.032840185f,   -0.020091556f,   -0.0075395918f,  0.003932304f,
       0.013623387f,    0.021104088f,    0.026179343f,    0.028935367f,    0.029625097f,    0.028632803f,    0.026402328f,    0.023383062f,
       0.01997538f,     0.016513111f,    0.01323865f,     0.01031218f,     0.0078124506f,   0.005765338f,    0.004146478f,    0.0029082533f}}};

  // clang-format on
};

template <class T, int kCount>
LAMINA_INLINE Vec<T> chosen(const T (&table)[kCount], typename VecTraits<T>::Bits i) {
  typename VecTraits<T>::Raw all[kCount / kLanes<T>];
  for (int k = 0; k < kCount / kLanes<T>; ++k) all[k] = load(table + k * kLanes<T>).raw;
  return chosen(all, i);
}

// Of |x|.
template <class V, int kDegree, int kFirst>
LAMINA_INLINE V by_intervals(const OddIntervals<kDegree, kFirst>& f, V x) {
  const V size = first_if_less(V(f.most).raw, abs(x).raw);
  const auto index = bits(fma(size, V(f.scale), V(f.start))) >> kFirst;
  const V t = size - chosen(f.place, index);
  V sum = chosen(f.c[kDegree], index);
#pragma GCC unroll 8
  for (int i = kDegree - 1; i > 0; --i) sum = fma(sum, t, chosen(f.c[i], index));
  V first = chosen(f.c[0], index);
  if (f.slope != 0) first = fma(t, V(f.slope), first);
  return fma(sum, t, first);
}

// What it gives is positive, or 0: the sign of x is all that is missing.
template <class V, int kDegree, int kFirst>
LAMINA_INLINE V odd_by_intervals(const OddIntervals<kDegree, kFirst>& f, V x) {
  return from_bits<float>(bits(by_intervals(f, x)) | (bits(x) & kSignBit<float>));
}

// What e^x takes in sixteenths of the exponent: 2^(i/16) and what is missing of it, of itself; ln 2 as a sum of which n times the first
// is exact, or fused; (e^r - 1 - r) / r^2 for |r| <= ln(2)/32.
template <class T>
struct SixteenthFit;

template <>
struct SixteenthFit<float> {
  static constexpr float kPower[16] = {1,           1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f,
                                       1.29683959f, 1.35425556f, 1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f,
                                       1.68179286f, 1.75625217f, 1.8340081f,  1.91520655f};
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
  static constexpr float kLn2High = Fit<float>::kLn2High, kLn2Low = Fit<float>::kLn2Low;
  static constexpr float kRounder = 0x1.8p19f;                    // sixteenths are its last bits
  static constexpr float kRest[] = {0.500016272f, 0.166666672f};  // 2^-29 of e^r
};

template <>
struct SixteenthFit<double> {
  static constexpr double kPower[16] = {1,
                                        1.0442737824274138,
                                        1.0905077326652577,
                                        1.1387886347566916,
                                        1.189207115002721,
                                        1.241857812073484,
                                        1.2968395546510096,
                                        1.3542555469368927,
                                        1.4142135623730951,
                                        1.4768261459394993,
                                        1.5422108254079407,
                                        1.6104903319492543,
                                        1.681792830507429,
                                        1.7562521603732995,
                                        1.8340080864093424,
                                        1.9152065613971474};
  alignas(64) static constexpr double kMissing[16] = {0,
                                                      8.189317638195515e-17,
                                                      -2.7939114859515733e-17,
                                                      7.826573258636076e-17,
                                                      3.3484623336251524e-17,
                                                      3.750854201303127e-17,
                                                      1.9572585293112036e-17,
                                                      5.68648095791174e-17,
                                                      -6.835808657661922e-17,
                                                      -2.3591094770850053e-17,
                                                      5.1548301170786783e-17,
                                                      1.5341410053603723e-17,
                                                      4.875160526227062e-17,
                                                      1.685487290628973e-17,
                                                      1.790126907604513e-17,
                                                      -5.545065618639427e-17};
  static constexpr double kLn2High = 0.6931471805599453, kLn2Low = 2.3190468138462996e-17;
  static constexpr double kRounder = 0x1.8p48;
  static constexpr double kRest[] = {0.5000000000000006, 0.1666666666441897, 0.04166666665982188, 0.008333471882454146,
                                     0.0013889125860732032};  // 2^-56.2
};

// 2^(i/16 + kUp), rounded, at i
template <class T, int kUp>
struct SixteenthPowers {
  alignas(64) T at[16] = {};
  constexpr SixteenthPowers() {
    for (int i = 0; i < 16; ++i) {
      at[i] = SixteenthFit<T>::kPower[i];
      for (int k = 0; k < kUp; ++k) at[i] *= 2;
    }
  }
};

// e^x 2^kUp = 2^floor(n) power (1 + rest): n counts sixteenths, power is 2^(n - floor(n) + kUp) as a number, rest is what is missing of
// it and of e^r, |r| <= ln(2)/32.
template <class V>
struct Sixteenths {
  V n, power, rest;
};

constexpr auto kAsTheyAre = [](auto constant) { return constant; };

// The constants of sixteenths(), each as keep() returns it.
template <class T, int kUp>
struct SixteenthConstants {
  using V = Vec<T>;
  using Fit = SixteenthFit<T>;
  static constexpr SixteenthPowers<T, kUp> kPowers{};
  static constexpr int kTerms = sizeof(Fit::kRest) / sizeof(T), kVectors = 16 / kLanes<T>;

  V per_ln2, rounder, ln2_high, ln2_low, rest[kTerms];
  typename V::Raw power[kVectors], missing[kVectors];

  template <class Keep>
  LAMINA_INLINE explicit SixteenthConstants(Keep keep)
      : per_ln2(keep(V(kPerLn2))),
        rounder(keep(V(Fit::kRounder))),
        ln2_high(keep(V(-Fit::kLn2High))),
        ln2_low(keep(V(-Fit::kLn2Low))) {
    for (int i = 0; i < kTerms; ++i) rest[i] = keep(V(Fit::kRest[i]));
    for (int i = 0; i < kVectors; ++i) power[i] = keep(load(kPowers.at + i * kLanes<T>)).raw;
    for (int i = 0; i < kVectors; ++i) missing[i] = keep(load(Fit::kMissing + i * kLanes<T>)).raw;
  }
};

template <class T, int kUp>
LAMINA_INLINE Sixteenths<Vec<T>> sixteenths(const SixteenthConstants<T, kUp>& c, Vec<T> x) {
  using V = Vec<T>;
  const V rounded = fma(x, c.per_ln2, c.rounder);
  const V n = rounded - c.rounder;
  const V r = fma(n, c.ln2_low, fma(n, c.ln2_high, x));
  return {n, V(chosen(c.power, bits(rounded))), fma(r * r, polynomial(c.rest, r), r + V(chosen(c.missing, bits(rounded))))};
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
  const V r = fma(d.m, chosen(kInverse, index), V(-1.0));
  V rest(kRest[3]);
#pragma GCC unroll 4
  for (int i = 2; i >= 0; --i) rest = fma(rest, r, V(kRest[i]));
  const V small = fma(d.k, V(kLn2Low), fma(r * r, rest, r));
  return fma(d.k, V(kLn2High), chosen(kLog, index) + small);
}

LAMINA_KERNELS_END
