// <name>: y = f(x).   <name>_backward: dx = dy * f'(kept), kept = x or y as the functor says.   Every activation of the list.
#pragma once

#include "base/activations.h"
#include "kernels/elementwise.inl"

LAMINA_KERNELS_BEGIN

template <class A>
struct Forward : Instruction<1, A::param_count> {
  static constexpr const char* name = A::name;
  template <class V>
  static constexpr V run(const double* params, V x) {
    return A::value(x, params);
  }
};

// The letters of `name` with kBackward behind.
template <class A>
struct BackwardName {
  char text[64] = {};
  constexpr BackwardName() {
    int n = 0;
    for (const char* s = A::name; *s; ++s) text[n++] = *s;
    for (const char letter : activations::kBackward) text[n++] = letter;
  }
};

template <class A>
struct Backward : Instruction<2, A::param_count> {
  static constexpr BackwardName<A> kName{};
  static constexpr const char* name = kName.text;
  static constexpr bool by_columns = false;
  template <class V>
  static constexpr V run(const double* params, V dy, V kept) {
    const V slope = A::slope(kept, params);
    if constexpr (requires { A::has_flat_parts; })
      return where(slope != 0.0, dy * slope, V(0.0));
    else
      return dy * slope;
  }
};

LAMINA_KERNELS_END
