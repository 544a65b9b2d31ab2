// out[r, c] = To(in[r, c]). To bool: x != 0; to an integer: toward zero, within its range.
#pragma once

#include <type_traits>

#include "kernels/isa.h"
#include "kernels/table.h"

LAMINA_KERNELS_BEGIN

// A bool is a byte of 0 or 1; its own type, so that a conversion to it is told from one to a number.
struct Bool {
  uint8_t byte;
};

template <class To, class From>
LAMINA_INLINE To converted(From x) {
  if constexpr (std::is_same_v<To, Bool> && std::is_same_v<From, Bool>)
    return {uint8_t(x.byte != 0)};
  else if constexpr (std::is_same_v<To, Bool>)
    return {uint8_t(x != 0)};
  else if constexpr (std::is_same_v<From, Bool>)
    return x.byte != 0 ? To(1) : To(0);  // a choice: from bool itself GCC converts one by one
  else if constexpr (std::is_same_v<To, int64_t> && std::is_floating_point_v<From>)
    return whole_number(double(x));
  else
    return To(x);
}

// Exact or rounded once element by element, so the compiler's own loops do.
template <class From, class To>
void convert(const TileArgs& t) {
  const ptrdiff_t cols = t.cols;  // which a store of integers might change, for all that the compiler knows
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    const From* __restrict in = static_cast<const From*>(t.in[0].data) + r * t.in[0].row;
    To* __restrict out = static_cast<To*>(t.out) + r * t.out_row;
    if (t.in[0].col)
      for (ptrdiff_t c = 0; c < cols; ++c) out[c] = converted<To>(in[c]);
    else
      for (ptrdiff_t c = 0; c < cols; ++c) out[c] = converted<To>(in[0]);
  }
}

LAMINA_KERNELS_END
