// How long an instruction takes for an element, in FLOP of a matrix product: its formula, calculated with numbers that count the
// time of every operation instead. Roughly: what a formula uses twice counts twice. Steps are cut for threads by it; no result
// depends on it.
#pragma once

#include "kernels/elementwise.inl"

LAMINA_KERNELS_BEGIN

// What it takes to read an element and to write the result, beside the formula. Measured on Zen in float32, where a product's FLOP
// take 25 ps: an addition 0.15 ns, a division 0.4, tanh 1.6, a power 6.
constexpr double kPassWork = 5;

struct Work {
  double sum = 0;

  constexpr Work() = default;
  constexpr Work(double) {}

  constexpr Work with(double more) const {
    Work w = *this;
    w.sum += more;
    return w;
  }
  friend constexpr Work operator+(Work a, Work b) { return a.with(b.sum + 1); }
  friend constexpr Work operator-(Work a, Work b) { return a.with(b.sum + 1); }
  friend constexpr Work operator*(Work a, Work b) { return a.with(b.sum + 1); }
  friend constexpr Work operator/(Work a, Work b) { return a.with(b.sum + 10); }
  friend constexpr Work operator-(Work a) { return a.with(1); }
  friend constexpr Work operator<(Work a, Work b) { return a.with(b.sum + 1); }  // masks count as well
  friend constexpr Work operator<=(Work a, Work b) { return a < b; }
  friend constexpr Work operator>(Work a, Work b) { return a < b; }
  friend constexpr Work operator>=(Work a, Work b) { return a < b; }
  friend constexpr Work operator==(Work a, Work b) { return a < b; }
  friend constexpr Work operator!=(Work a, Work b) { return a < b; }
  friend constexpr Work operator&(Work a, Work b) { return a < b; }
  friend constexpr Work operator|(Work a, Work b) { return a < b; }
  friend constexpr Work where(Work m, Work a, Work b) { return m.with(a.sum + b.sum + 1); }
  friend constexpr Work fma(Work a, Work b, Work c) { return a.with(b.sum + c.sum + 1); }
  friend constexpr Work max(Work a, Work b) { return a < b; }
  friend constexpr Work min(Work a, Work b) { return a < b; }
  friend constexpr Work abs(Work x) { return x.with(1); }
  friend constexpr Work floor(Work x) { return x.with(1); }
  friend constexpr Work sqrt(Work x) { return x.with(12); }
  friend constexpr Work exp(Work x) { return x.with(35); }
  friend constexpr Work exp_of_negative(Work x) { return x.with(30); }
  friend constexpr Work expm1(Work x) { return x.with(40); }
  friend constexpr Work log(Work x) { return x.with(60); }
  friend constexpr Work log1p(Work x) { return x.with(65); }
  friend constexpr Work tanh(Work x) { return x.with(60); }
  friend constexpr Work sigmoid(Work x) { return x.with(50); }
  friend constexpr Work falling_sigmoid(Work x) { return x.with(40); }
  friend constexpr Work normal_below(Work x) { return x.with(40); }
  friend constexpr Work gelu(Work x) { return x.with(41); }
  friend constexpr Work erf(Work x) { return x.with(80); }
  friend constexpr Work sin(Work x) { return x.with(50); }
  friend constexpr Work cos(Work x) { return x.with(50); }
  friend constexpr Work arctan(Work x) { return x.with(50); }
  friend constexpr Work pow(Work a, Work b) { return a.with(b.sum + 240); }
};

template <class F>
constexpr double work_of() {
  constexpr double hypers[F::params + 1] = {};
  if constexpr (F::arity == 1) return kPassWork + F::template run<Work>(hypers, Work()).sum;
  if constexpr (F::arity == 2) return kPassWork + F::template run<Work>(hypers, Work(), Work()).sum;
  if constexpr (F::arity == 3) return kPassWork + F::template run<Work>(hypers, Work(), Work(), Work()).sum;
}

// exp_minus and a division, a maximum and a sum, each element read twice and written twice
constexpr double kSoftmaxWork = 4 * kPassWork + 43;

LAMINA_KERNELS_END
