// The numbers of math.inl: coefficients, and where its formulas begin and end. The coefficients are minimax fits (Lawson's iteration in
// 40 digits, each coefficient rounded in turn and the rest fitted again); the error of a fit stands beside it.
#pragma once

#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

constexpr double kPerLn2 = 1.4426950408889634;  // 1 / ln 2

template <class T>
struct Fit;

template <>
struct Fit<float> {
  // (e^r - 1 - r) / r^2 for |r| <= ln(2)/2: to 2^-28.2 of e^r, and (one term more) to 2^-31.1 of e^r - 1
  static constexpr float kExp[] = {0.49999994f, 0.166665211f, 0.0416682623f, 0.00836866908f, 0.00138209667f};
  static constexpr float kExpm1[] = {0.5f, 0.166666672f, 0.0416664816f, 0.00833318941f, 0.00139333482f, 0.000199610164f};
  // the same for -.139 <= r <= .554; 2^-26.8 of tanh
  static constexpr float kTanh[] = {0.499999732f, 0.166668147f, 0.0416831933f, 0.00820165593f, 0.00168469199f};
  static constexpr float kExpZero = -104.0f, kExpMost = 89.0f;                // where the result is 0, and infinite
  static constexpr float kExpLeast = -176.0f;                                 // rounds to 2^-254, both factors of which are 0
  static constexpr float kExpFlushed = -88.0f;                                // rounds to 2^-127, whose bits are those of 0
  static constexpr float kExpNormal = -87.3365f;                              // a normal number from here on: ln 2^-126 = -87.33654
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
  // 2^-56.4 of tanh
  static constexpr double kTanh[] = {0.499999999999999,      0.16666666666669133,   0.04166666666665595,   0.008333333330407644,
                                     0.001388888907015849,   0.0001984127297230478, 2.480089676158688e-05, 2.7586381866565475e-06,
                                     2.6976173463456706e-07, 3.0761525624885036e-08};
  static constexpr double kExpZero = -746.0, kExpMost = 710.0;
  static constexpr double kExpLeast = -1418.0;
  static constexpr double kExpFlushed = -709.2;
  static constexpr double kExpNormal = -708.3964;                                                       // ln 2^-1022 = -708.39642
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

LAMINA_KERNELS_END
