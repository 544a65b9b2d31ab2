// out[r, c] = f(in0[r, c], in1[r, c], ...): the loop, and the instructions of arithmetic and comparison
#pragma once

#include "kernels/math.inl"
#include "kernels/table.h"

LAMINA_KERNELS_BEGIN

// What every instruction states: how many operands, how many hyper-parameters, and how many vectors a step of the loop takes
// (several hide the latency of light arithmetic; a long formula fills the pipes by itself).
template <int kOperands, int kVectors, int kHypers = 0>
struct Instruction {
  static constexpr int arity = kOperands;
  static constexpr int vectors = kVectors;
  static constexpr int params = kHypers;
};

struct Name {
  char text[16] = {};
  template <int kLength>
  constexpr Name(const char (&from)[kLength]) {
    for (int i = 0; i < kLength; ++i) text[i] = from[i];
  }
};

template <Name kName, int kOperands, int kVectors>
struct Named : Instruction<kOperands, kVectors> {
  static constexpr Name copy = kName;
  static constexpr const char* name = copy.text;
};

template <Name kName, int kOperands>
using Light = Named<kName, kOperands, 4>;
template <Name kName, int kOperands>
using Heavy = Named<kName, kOperands, 1>;

// Where an operand is read: `at` moves on by `step` a vector; at a splat it stays, on a buffer full of the one value.
template <class T>
struct Cursor {
  const T* at;
  ptrdiff_t dense;  // 1, or 0 at a splat
};

template <class T, class F, class Load>
LAMINA_INLINE Vec<T> apply(const double* params, Load operand) {
  if constexpr (F::arity == 1) return F::template run<Vec<T>>(params, operand(0));
  if constexpr (F::arity == 2) return F::template run<Vec<T>>(params, operand(0), operand(1));
  if constexpr (F::arity == 3) return F::template run<Vec<T>>(params, operand(0), operand(1), operand(2));
}

template <class T, int kArity>
LAMINA_INLINE void advance(Cursor<T>* in, ptrdiff_t count) {
  for (int i = 0; i < kArity; ++i) in[i].at += in[i].dense ? count : 0;
}

// One row. Columns that do not fill a vector are computed first, in the vector that ends with the row, from operands that are still
// whole (out may be one of them), and stored last: over neighbours that have the same bits. A row shorter than a vector is padded.
template <class T, class F>
LAMINA_INLINE void elementwise_row(const double* params, T* out, Cursor<T>* in, ptrdiff_t cols) {
  constexpr ptrdiff_t kLane = kLanes<T>, kChunk = F::vectors * kLane;
  const bool ragged = cols % kLane != 0, wide = cols >= kLane;
  Vec<T> last(0.0);
  if (ragged)
    last =
        apply<T, F>(params, [&](int i) { return wide ? load(in[i].at + (in[i].dense ? cols - kLane : 0)) : load(in[i].at, cols); });
  ptrdiff_t c = 0;
  for (; c + kChunk <= cols; c += kChunk) {
#pragma GCC unroll 4
    for (ptrdiff_t v = 0; v < kChunk; v += kLane)
      store(out + c + v, apply<T, F>(params, [&](int i) { return load(in[i].at + v); }));
    advance<T, F::arity>(in, kChunk);
  }
  if constexpr (F::vectors > 1)
    for (; c + kLane <= cols; c += kLane) {
      store(out + c, apply<T, F>(params, [&](int i) { return load(in[i].at); }));
      advance<T, F::arity>(in, kLane);
    }
  if (ragged) wide ? store(out + cols - kLane, last) : store(out, last, cols);
}

// Whether the operand reads one flat run of rows * cols elements, or one value for all.
LAMINA_INLINE bool flat(const Operand& in, ptrdiff_t cols) { return in.col ? in.row == cols : in.row == 0; }

template <int kArity>
LAMINA_INLINE bool all_flat(const TileArgs& t) {
  if (t.rows == 1) return true;
  bool all = t.out_row == t.cols;
  for (int i = 0; i < kArity; ++i) all = all && (flat(t.in[i], t.cols) || (t.cols == 1 && t.in[i].row == 1));
  return all;
}

template <class T, class F>
[[gnu::flatten]] void elementwise(const TileArgs& t) {
  constexpr int kArity = F::arity;
  constexpr int kBuffer = F::vectors * kLanes<T>;
  alignas(kVectorBytes) T splat[kArity][kBuffer];
  double params[F::params + 1];  // a copy: the stores below may not be taken for writes to the hyper-parameters
  for (int i = 0; i < F::params; ++i) params[i] = t.params[i];

  const bool collapse = all_flat<kArity>(t);
  const ptrdiff_t rows = collapse ? 1 : t.rows;
  const ptrdiff_t cols = collapse ? t.rows * t.cols : t.cols;
  for (ptrdiff_t r = 0; r < rows; ++r) {
    Cursor<T> in[kArity];
    for (int i = 0; i < kArity; ++i) {
      const T* row = static_cast<const T*>(t.in[i].data) + r * t.in[i].row;
      const bool dense = t.in[i].col != 0 || (collapse && t.rows > 1 && t.in[i].row != 0);
      in[i] = {dense ? row : splat[i], dense};
      if (!dense && (r == 0 || t.in[i].row != 0))
        for (int v = 0; v < F::vectors; ++v) store(splat[i] + v * kLanes<T>, Vec<T>(*row));
    }
    elementwise_row<T, F>(params, static_cast<T*>(t.out) + r * t.out_row, in, cols);
  }
}

// value = first_col + c
template <class T>
void iota(const TileArgs& t) {
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    T* out = static_cast<T*>(t.out) + r * t.out_row;
    for (ptrdiff_t c = 0; c < t.cols; ++c) out[c] = T(t.first_col + c);
  }
}

template <class V>
LAMINA_INLINE V truth(auto mask) {
  return where(mask, V(1.0), V(0.0));
}

// clang-format off
struct Neg : Light<"neg", 1> { template <class V> static V run(const double*, V x) { return -x; } };
struct Abs : Light<"abs", 1> { template <class V> static V run(const double*, V x) { return abs(x); } };
struct Sign : Light<"sign", 1> {
  // x + 0 at the end: NaN stays, -0 becomes 0
  template <class V> static V run(const double*, V x) { return where(x > 0.0, V(1.0), where(x < 0.0, V(-1.0), x + 0.0)); }
};
struct Exp : Heavy<"exp", 1> { template <class V> static V run(const double*, V x) { return exp(x); } };
struct Log : Heavy<"log", 1> { template <class V> static V run(const double*, V x) { return log(x); } };
struct Log1p : Heavy<"log1p", 1> { template <class V> static V run(const double*, V x) { return log1p(x); } };
struct Expm1 : Heavy<"expm1", 1> { template <class V> static V run(const double*, V x) { return expm1(x); } };
struct Sqrt : Light<"sqrt", 1> { template <class V> static V run(const double*, V x) { return sqrt(x); } };
struct Sin : Heavy<"sin", 1> { template <class V> static V run(const double*, V x) { return sin(x); } };
struct Cos : Heavy<"cos", 1> { template <class V> static V run(const double*, V x) { return cos(x); } };
struct Erf : Heavy<"erf", 1> { template <class V> static V run(const double*, V x) { return erf(x); } };
struct Floor : Light<"floor", 1> { template <class V> static V run(const double*, V x) { return floor(x); } };
struct Square : Light<"square", 1> { template <class V> static V run(const double*, V x) { return x * x; } };
struct Reciprocal : Light<"reciprocal", 1> { template <class V> static V run(const double*, V x) { return 1.0 / x; } };
struct Copy : Light<"copy", 1> { template <class V> static V run(const double*, V x) { return x; } };

struct Add : Light<"add", 2> { template <class V> static V run(const double*, V a, V b) { return a + b; } };
struct Sub : Light<"sub", 2> { template <class V> static V run(const double*, V a, V b) { return a - b; } };
struct Mul : Light<"mul", 2> { template <class V> static V run(const double*, V a, V b) { return a * b; } };
struct Div : Light<"div", 2> { template <class V> static V run(const double*, V a, V b) { return a / b; } };
struct ExpMinus : Heavy<"exp_minus", 2> {  // e^(x - m) for m >= x
  template <class V> static V run(const double*, V x, V m) { return exp_of_negative(x - m); }
};
struct Pow : Heavy<"pow", 2> { template <class V> static V run(const double*, V a, V b) { return pow(a, b); } };
struct Maximum : Light<"maximum", 2> { template <class V> static V run(const double*, V a, V b) { return max(a, b); } };
struct Minimum : Light<"minimum", 2> { template <class V> static V run(const double*, V a, V b) { return min(a, b); } };
struct Eq : Light<"eq", 2> { template <class V> static V run(const double*, V a, V b) { return truth<V>(a == b); } };
struct Ne : Light<"ne", 2> { template <class V> static V run(const double*, V a, V b) { return truth<V>(a != b); } };
struct Lt : Light<"lt", 2> { template <class V> static V run(const double*, V a, V b) { return truth<V>(a < b); } };
struct Le : Light<"le", 2> { template <class V> static V run(const double*, V a, V b) { return truth<V>(a <= b); } };
struct Gt : Light<"gt", 2> { template <class V> static V run(const double*, V a, V b) { return truth<V>(a > b); } };
struct Ge : Light<"ge", 2> { template <class V> static V run(const double*, V a, V b) { return truth<V>(a >= b); } };

struct Where : Light<"where", 3> {
  template <class V> static V run(const double*, V c, V a, V b) { return where(c != 0.0, a, b); }
};
struct Clip : Light<"clip", 3> { template <class V> static V run(const double*, V x, V lo, V hi) { return min(max(x, lo), hi); } };
struct Fma : Light<"fma", 3> { template <class V> static V run(const double*, V a, V b, V c) { return fma(a, b, c); } };
// clang-format on

LAMINA_KERNELS_END
