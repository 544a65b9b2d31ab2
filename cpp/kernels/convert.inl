// out[r, c] = To(in[r, c]). To bool: x != 0; to an integer: toward zero (what does not fit is whatever the machine gives).
#pragma once

#include "kernels/isa.h"
#include "kernels/table.h"

LAMINA_KERNELS_BEGIN

// A bool is a byte of 0 or 1; its own type, so that a conversion to it is told from one to a number.
struct Bool {
  uint8_t byte;
};

template <class To, class From>
LAMINA_INLINE To converted(From x) {
  return To(x);
}
template <class To>
LAMINA_INLINE To converted(Bool x) {
  return To(x.byte != 0);
}
template <>
LAMINA_INLINE Bool converted<Bool, Bool>(Bool x) {
  return {uint8_t(x.byte != 0)};
}
template <>
LAMINA_INLINE Bool converted<Bool, int32_t>(int32_t x) {
  return {uint8_t(x != 0)};
}
template <>
LAMINA_INLINE Bool converted<Bool, int64_t>(int64_t x) {
  return {uint8_t(x != 0)};
}
template <>
LAMINA_INLINE Bool converted<Bool, float>(float x) {
  return {uint8_t(x != 0)};
}
template <>
LAMINA_INLINE Bool converted<Bool, double>(double x) {
  return {uint8_t(x != 0)};
}

// Exact or rounded once element by element, so the compiler's own loops do.
template <class From, class To>
void convert(const TileArgs& t) {
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const From* in = static_cast<const From*>(t.in[0].data) + r * t.in[0].row;
    To* out = static_cast<To*>(t.out) + r * t.out_row;
    if (t.in[0].col)
      for (ptrdiff_t c = 0; c < t.cols; ++c) out[c] = converted<To>(in[c]);
    else
      for (ptrdiff_t c = 0; c < t.cols; ++c) out[c] = converted<To>(in[0]);
  }
}

LAMINA_KERNELS_END
