// exp log log1p expm1 tanh sigmoid erf sin cos pow over vectors.
#pragma once

#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

#define LAMINA_LIBM(name)                             \
  LAMINA_INLINE Vec<float> name(Vec<float> x) {       \
    return by_lane(__builtin_##name##f, x);           \
  }                                                   \
  LAMINA_INLINE Vec<double> name(Vec<double> x) {     \
    return by_lane(__builtin_##name, x);              \
  }
LAMINA_LIBM(exp)
LAMINA_LIBM(log)
LAMINA_LIBM(log1p)
LAMINA_LIBM(expm1)
LAMINA_LIBM(tanh)
LAMINA_LIBM(erf)
LAMINA_LIBM(sin)
LAMINA_LIBM(cos)

template <class T>
LAMINA_INLINE Vec<T> sigmoid(Vec<T> x) {
  return 1.0 / (1.0 + exp(-x));
}

LAMINA_INLINE Vec<float> pow(Vec<float> x, Vec<float> y) {
  for (int i = 0; i < kLanes<float>; ++i) x.raw[i] = __builtin_powf(x.raw[i], y.raw[i]);
  return x;
}
LAMINA_INLINE Vec<double> pow(Vec<double> x, Vec<double> y) {
  for (int i = 0; i < kLanes<double>; ++i) x.raw[i] = __builtin_pow(x.raw[i], y.raw[i]);
  return x;
}

LAMINA_KERNELS_END
