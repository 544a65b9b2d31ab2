// out[r, c] = f(in0[r, c], in1[r, c], ...): the loop, and the instructions of arithmetic and comparison
#pragma once

#include "base/list.h"
#include "kernels/math.inl"
#include "kernels/table.h"

LAMINA_KERNELS_BEGIN

// What every instruction states: how many operands, how many hyper-parameters.
template <int kOperands, int kHypers = 0>
struct Instruction {
  static constexpr int arity = kOperands;
  static constexpr int params = kHypers;
  static constexpr bool by_columns = kOperands > 1;  // whether elementwise_columns is worth its code
};

struct Name {
  char text[16] = {};
  template <int kLength>
  constexpr Name(const char (&from)[kLength]) {
    for (int i = 0; i < kLength; ++i) text[i] = from[i];
  }
};

template <Name kName, int kOperands>
struct Named : Instruction<kOperands> {
  static constexpr Name copy = kName;
  static constexpr const char* name = copy.text;
};

// Vectors of a step of the loop. Nothing is stored before all are calculated, so that the compiler may mix their instructions (see
// LAMINA_MIXED): a formula is a chain of operations that wait for each other, and a processor looks ahead only so far (tanh in
// float32 takes 1.6 ns instead of 2.1 on Zen).
constexpr int kUnrolled = 4;

// Where an operand is read: `at` moves on with the columns; at a splat it stays, on a buffer full of the one value.
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
LAMINA_MIXED [[gnu::flatten]] void elementwise_row(const double* hypers, T* out, const Cursor<T>* from, ptrdiff_t cols) {
  double params[F::params + 1];  // a copy: see VecTraits
  for (int i = 0; i < F::params; ++i) params[i] = hypers[i];
  Cursor<T> in[F::arity];
  for (int i = 0; i < F::arity; ++i) in[i] = from[i];
  constexpr ptrdiff_t kLane = kLanes<T>, kChunk = kUnrolled * kLane;
  const bool ragged = cols % kLane != 0, wide = cols >= kLane;
  Vec<T> last(0.0);
  if (ragged)
    last =
        apply<T, F>(params, [&](int i) { return wide ? load(in[i].at + (in[i].dense ? cols - kLane : 0)) : load(in[i].at, cols); });
  ptrdiff_t c = 0;
  for (; c + kChunk <= cols; c += kChunk) {
    Vec<T> y[kUnrolled];
#pragma GCC unroll 4
    for (int v = 0; v < kUnrolled; ++v) y[v] = apply<T, F>(params, [&](int i) { return load(in[i].at + v * kLane); });
#pragma GCC unroll 4
    for (int v = 0; v < kUnrolled; ++v) store(out + c + v * kLane, y[v]);
    advance<T, F::arity>(in, kChunk);
  }
  for (; c + kLane <= cols; c += kLane) {
    store(out + c, apply<T, F>(params, [&](int i) { return load(in[i].at); }));
    advance<T, F::arity>(in, kLane);
  }
  if (ragged) wide ? store(out + cols - kLane, last) : store(out, last, cols);
}

// Whether the operand reads one flat run of rows * cols elements, or one value for all.
LAMINA_INLINE bool flat(const Operand& in, ptrdiff_t cols) { return in.col ? in.row == cols : in.row == 0; }

LAMINA_INLINE bool all_flat(int arity, const TileArgs& t) {
  if (t.rows == 1) return true;
  bool all = t.out_row == t.cols;
  for (int i = 0; i < arity; ++i) all = all && (flat(t.in[i], t.cols) || (t.cols == 1 && t.in[i].row == 1));
  return all;
}

// Rows of an operand, written out densely; up to a vector beyond the last is overwritten.
template <class T>
[[gnu::noinline]] void write_out(const T* from, const Operand& in, ptrdiff_t rows, ptrdiff_t cols, T* to) {
  const auto load_at = [&](ptrdiff_t c) { return c + kLanes<T> <= cols ? load(from + c) : load(from + c, cols - c); };
  Vec<T> same[kUnrolled];
  if (in.row == 0)
    for (ptrdiff_t c = 0, v = 0; c < cols; c += kLanes<T>) same[v++] = load_at(c);
  for (ptrdiff_t r = 0; r < rows; ++r, from += in.row, to += cols)
    for (ptrdiff_t c = 0, v = 0; c < cols; c += kLanes<T>, ++v)
      store(to + c, !in.col ? Vec<T>(*from) : in.row == 0 ? same[v] : load_at(c));
}

// Whether each operand has a row of its own for every row, or the same for all.
LAMINA_INLINE bool same_in_rows(int arity, const TileArgs& t) {
  bool all = true;
  for (int i = 0; i < arity; ++i) all = all && (t.in[i].col != 0 || t.in[i].row == 0);
  return all;
}

// Rows beside operands that are the same in each (a bias) or one number: columns outside, rows inside. Nothing is set up for a row, and
// an operand that is the same stays in registers or near. Operand kValue, if any, has one value for each row. What does not fill a
// vector at the end is padded.
template <class T, class F, int kValue = -1>
LAMINA_MIXED [[gnu::flatten]] void elementwise_columns(const TileArgs& args) {
  const TileArgs t = args;  // a copy: see VecTraits
  constexpr ptrdiff_t kLane = kLanes<T>, kChunk = kUnrolled * kLane;
  alignas(kVectorBytes) T room[F::arity][kChunk];
  Cursor<T> in[F::arity];
  for (int i = 0; i < F::arity; ++i) {
    const Operand& x = t.in[i];
    const bool spread = x.col == 0 && i != kValue;
    in[i] = {spread ? room[i] : static_cast<const T*>(x.data), x.col};
    if (spread)
      for (int v = 0; v < kUnrolled; ++v) store(room[i] + v * kLane, Vec<T>(*static_cast<const T*>(x.data)));
  }
  const auto down = [&](ptrdiff_t c, auto row) {
    const T* at[F::arity];
    for (int i = 0; i < F::arity; ++i) at[i] = in[i].at + (in[i].dense ? c : 0);
    T* to = static_cast<T*>(t.out) + c;
    for (ptrdiff_t r = 0; r < t.rows; ++r, to += t.out_row) {
      row(to, at);
      for (int i = 0; i < F::arity; ++i) at[i] += t.in[i].row;
    }
  };
  ptrdiff_t c = 0;
  for (; c + kChunk <= t.cols; c += kChunk)
    down(c, [&](T* to, const T* const* at) {
      Vec<T> y[kUnrolled];
#pragma GCC unroll 4
      for (int v = 0; v < kUnrolled; ++v)
        y[v] = apply<T, F>(t.params, [&](int i) { return i == kValue ? Vec<T>(*at[i]) : load(at[i] + v * kLane); });
#pragma GCC unroll 4
      for (int v = 0; v < kUnrolled; ++v) store(to + v * kLane, y[v]);
    });
  for (; c + kLane <= t.cols; c += kLane)
    down(c, [&](T* to, const T* const* at) {
      store(to, apply<T, F>(t.params, [&](int i) { return i == kValue ? Vec<T>(*at[i]) : load(at[i]); }));
    });
  if (const ptrdiff_t rest = t.cols - c; rest > 0)
    down(c, [&](T* to, const T* const* at) {
      store(to, apply<T, F>(t.params, [&](int i) { return i == kValue ? Vec<T>(*at[i]) : load(at[i], rest); }), rest);
    });
}

// The loops of one formula.
template <class T>
struct Loops {
  int arity;
  void (*row)(const double* params, T* out, const Cursor<T>* in, ptrdiff_t cols);
  void (*columns)(const TileArgs& t);  // null, as the next: not worth its code
  void (*values)(const TileArgs& t);   // the same, where the second operand has one value for each row
  bool commutes;                       // or the first, as a + b is b + a
};

LAMINA_INLINE TileArgs swapped(const TileArgs& t) {
  TileArgs other = t;
  other.in[0] = t.in[1];
  other.in[1] = t.in[0];
  return other;
}

// Where all operands are flat, all rows are one. Short rows beside an operand that is not (one value a row, one row for all) become
// one as well, some at a time, once that operand is written out. Long ones go by columns, or one by one where the formula takes longer
// than setting up a row, or where the operand that has one value for each is not the one that `values` is for.
template <class T>
[[gnu::noinline]] void by_rows(const Loops<T>& loops, const TileArgs& t) {
  constexpr ptrdiff_t kStep = kUnrolled * kLanes<T>, kRoom = 16 * kStep;
  const int arity = loops.arity;
  const bool collapse = all_flat(arity, t);
  const bool brief = !collapse && t.out_row == t.cols && t.cols < kStep && t.cols > 0;
  if (loops.columns && !collapse && !brief && t.cols >= kLanes<T>) {
    if (same_in_rows(arity, t)) return loops.columns(t);
    if (loops.values && t.in[0].col != 0 && t.in[1].col == 0) return loops.values(t);
    if (loops.commutes && t.in[1].col != 0 && t.in[0].col == 0) return loops.values(swapped(t));
  }
  alignas(kVectorBytes) T room[kMaxOperands][kRoom + kLanes<T>];
  const ptrdiff_t most = collapse ? t.rows : brief ? kRoom / t.cols : 1;  // rows at a time
  for (ptrdiff_t r = 0; r < t.rows; r += most) {
    const ptrdiff_t rows = smaller(most, t.rows - r);
    Cursor<T> in[kMaxOperands];
    for (int i = 0; i < arity; ++i) {
      const Operand& x = t.in[i];
      const T* from = static_cast<const T*>(x.data) + r * x.row;
      const bool written = brief && !flat(x, t.cols);
      const bool dense = x.col != 0 || written || (collapse && t.rows > 1 && x.row != 0);
      in[i] = {dense && !written ? from : room[i], dense};
      if (written)
        write_out(from, x, rows, t.cols, room[i]);
      else if (!dense && (r == 0 || x.row != 0))
        for (int v = 0; v < kUnrolled; ++v) store(room[i] + v * kLanes<T>, Vec<T>(*from));
    }
    loops.row(t.params, static_cast<T*>(t.out) + r * t.out_row, in, rows * t.cols);
  }
}

template <class T, class F>
constexpr Loops<T> loops_of() {
  if constexpr (requires { F::commutes; })
    return {F::arity, elementwise_row<T, F>, elementwise_columns<T, F>, elementwise_columns<T, F, 1>, F::commutes};
  else if constexpr (F::by_columns)
    return {F::arity, elementwise_row<T, F>, elementwise_columns<T, F>, nullptr, false};
  else
    return {F::arity, elementwise_row<T, F>, nullptr, nullptr, false};
}

template <class T, class F>
void elementwise(const TileArgs& t) {
  static constexpr Loops<T> kLoops = loops_of<T, F>();
  by_rows(kLoops, t);
}

// 1 in the column that in0, one value a row, names; 0 elsewhere
template <class T>
void one_hot(const TileArgs& t) {
  for (ptrdiff_t r = 0; r < t.rows; ++r) {
    T* out = static_cast<T*>(t.out) + r * t.out_row;
    for (ptrdiff_t c = 0; c < t.cols; ++c) out[c] = T(0);
    const T at = static_cast<const T*>(t.in[0].data)[r * t.in[0].row] - T(t.first_col);
    if (at >= T(0) && at < T(t.cols) && T(ptrdiff_t(at)) == at) out[ptrdiff_t(at)] = T(1);
  }
}

template <class V>
LAMINA_INLINE constexpr V truth(auto mask) {
  return where(mask, V(1.0), V(0.0));
}

// clang-format off
struct Neg : Named<"neg", 1> { template <class V> static constexpr V run(const double*, V x) { return -x; } };
struct Abs : Named<"abs", 1> { template <class V> static constexpr V run(const double*, V x) { return abs(x); } };
struct Sign : Named<"sign", 1> {
  // x + 0 at the end: NaN stays, -0 becomes 0
  template <class V> static constexpr V run(const double*, V x) { return where(x > 0.0, V(1.0), where(x < 0.0, V(-1.0), x + 0.0)); }
};
struct Exp : Named<"exp", 1> { template <class V> static constexpr V run(const double*, V x) { return exp(x); } };
struct Log : Named<"log", 1> { template <class V> static constexpr V run(const double*, V x) { return log(x); } };
struct Log1p : Named<"log1p", 1> { template <class V> static constexpr V run(const double*, V x) { return log1p(x); } };
struct Expm1 : Named<"expm1", 1> { template <class V> static constexpr V run(const double*, V x) { return expm1(x); } };
struct Sqrt : Named<"sqrt", 1> { template <class V> static constexpr V run(const double*, V x) { return sqrt(x); } };
struct Sin : Named<"sin", 1> { template <class V> static constexpr V run(const double*, V x) { return sin(x); } };
struct Cos : Named<"cos", 1> { template <class V> static constexpr V run(const double*, V x) { return cos(x); } };
struct Arctan : Named<"arctan", 1> { template <class V> static constexpr V run(const double*, V x) { return arctan(x); } };
struct Erf : Named<"erf", 1> { template <class V> static constexpr V run(const double*, V x) { return erf(x); } };
struct Floor : Named<"floor", 1> { template <class V> static constexpr V run(const double*, V x) { return floor(x); } };
struct Copy : Named<"copy", 1> { template <class V> static constexpr V run(const double*, V x) { return x; } };

// `commutes`: whether a and b may be swapped. These four meet sums and means of rows often enough for a loop of their own.
struct Add : Named<"add", 2> { static constexpr bool commutes = true; template <class V> static constexpr V run(const double*, V a, V b) { return a + b; } };
struct Sub : Named<"sub", 2> { static constexpr bool commutes = false; template <class V> static constexpr V run(const double*, V a, V b) { return a - b; } };
struct Mul : Named<"mul", 2> { static constexpr bool commutes = true; template <class V> static constexpr V run(const double*, V a, V b) { return a * b; } };
struct Div : Named<"div", 2> { static constexpr bool commutes = false; template <class V> static constexpr V run(const double*, V a, V b) { return a / b; } };
struct ExpMinus : Named<"exp_minus", 2> {  // e^(x - m) for m >= x
  static constexpr bool by_columns = false;
  template <class V> static constexpr V run(const double*, V x, V m) { return exp_of_negative(x - m); }
};
struct Pow : Named<"pow", 2> {
  static constexpr bool by_columns = false;
  template <class V> static constexpr V run(const double*, V a, V b) { return pow(a, b); }
};
struct Maximum : Named<"maximum", 2> { template <class V> static constexpr V run(const double*, V a, V b) { return max(a, b); } };
struct Minimum : Named<"minimum", 2> { template <class V> static constexpr V run(const double*, V a, V b) { return min(a, b); } };
struct Eq : Named<"eq", 2> { template <class V> static constexpr V run(const double*, V a, V b) { return truth<V>(a == b); } };
struct Ne : Named<"ne", 2> { template <class V> static constexpr V run(const double*, V a, V b) { return truth<V>(a != b); } };
struct Lt : Named<"lt", 2> { template <class V> static constexpr V run(const double*, V a, V b) { return truth<V>(a < b); } };
struct Le : Named<"le", 2> { template <class V> static constexpr V run(const double*, V a, V b) { return truth<V>(a <= b); } };
struct Gt : Named<"gt", 2> { template <class V> static constexpr V run(const double*, V a, V b) { return truth<V>(a > b); } };
struct Ge : Named<"ge", 2> { template <class V> static constexpr V run(const double*, V a, V b) { return truth<V>(a >= b); } };

struct Where : Named<"where", 3> {
  template <class V> static constexpr V run(const double*, V c, V a, V b) { return where(c != 0.0, a, b); }
};
struct Clip : Named<"clip", 3> { template <class V> static constexpr V run(const double*, V x, V lo, V hi) { return min(max(x, lo), hi); } };
// clang-format on

using Elementwise = List<Neg, Abs, Sign, Exp, Log, Log1p, Expm1, Sqrt, Sin, Cos, Arctan, Erf, Floor, Copy, Add, Sub, ExpMinus, Mul,
                         Div, Pow, Maximum, Minimum, Eq, Ne, Lt, Le, Gt, Ge, Where, Clip>;

LAMINA_KERNELS_END
