// The sweep of an update over a parameter: its rule (update_rules.inl) vector by vector, rows that are not full vectors at their end, and
// what lies beyond the caches asked for ahead.
#pragma once

#include "base/rule_layout.h"
#include "kernels/table.h"
#include "kernels/update_rules.inl"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

template <class Rule>
void prepare_rule(const double* hyper, double lr, double* clock, double* constants) {
  static_assert(Rule::slots <= kMaxSlots && Rule::constants <= kRuleConstants);
  clock[0] += 1;
  Rule::prepare(hyper, lr, clock[0], clock, constants);
}

// Vectors of a row at a time: of a rule with few slots, a good part of a loop over single ones is the loop's own.
template <class Rule>
constexpr int kTogether = Rule::slots == 0   ? 4
                          : Rule::slots == 1 ? 2
                                             : 1;

// Vectors whose instructions the compiler may mix (see elementwise.inl), for the rule that most steps take: Adam's of 64 bytes take
// 4.2 ns instead of 4.45.
template <class T, class Rule>
constexpr int kMixed = 1;
template <>
constexpr int kMixed<float, Adam::Short> = kHasTables ? 4 : 1;

// The constants of a step, each in all lanes.
template <class T, class Rule>
struct RuleConstants {
  Vec<T> all[Rule::constants];

  explicit RuleConstants(const RuleArgs& u) {
    for (int i = 0; i < Rule::constants; ++i) all[i] = Vec<T>(u.constants[i]);
  }
};

// Where row r of the matrices of an update begins.
template <class T, class Rule>
struct RuleRow {
  T* w;
  const T* g;
  T* slot[Rule::slots + 1];

  RuleRow(const RuleArgs& u, ptrdiff_t r) : w(static_cast<T*>(u.w) + r * u.w_row), g(static_cast<const T*>(u.g) + r * u.g_row) {
    for (int i = 0; i < Rule::slots; ++i) slot[i] = static_cast<T*>(u.slot[i]) + r * u.w_row;
  }
};

// A gradient of rank one, as the sum over k = 1 that it is: from zero on. By one fused multiply-add, which gives the same bits, SGD of
// 784 x 128 takes 9.6 us instead of 8.1 on Zen 3.
template <class T>
LAMINA_INLINE Vec<T> product(Vec<T> left, Vec<T> right) {
  return left * right + Vec<T>(0.0);
}

// `kCount` full vectors from column c on, or one of `n` numbers: then loads pad with zeros and stores stop in time. `left`: of a
// gradient of rank one.
template <class Rule, class T, int kCount, bool kTail = false>
struct Updated {
  Vec<T> w[kCount], s[kCount][Rule::slots + 1];

  LAMINA_INLINE void calculate(const Vec<T>* constants, const RuleRow<T, Rule>& row, const Vec<T>* left, ptrdiff_t c,
                               [[maybe_unused]] ptrdiff_t n = 0) {
    const auto read = [&](const T* from, int v) { return kTail ? load(from + c, n) : load(from + c + v * kLanes<T>); };
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      for (int i = 0; i < Rule::slots; ++i) s[v][i] = read(row.slot[i], v);
      w[v] = read(row.w, v);
      const Vec<T> g = read(row.g, v);
      Rule::step(constants, w[v], left ? product(*left, g) : g, s[v]);
    }
  }

  LAMINA_INLINE void put(const RuleRow<T, Rule>& row, ptrdiff_t c, [[maybe_unused]] ptrdiff_t n = 0) const {
    const auto write = [&](T* to, int v, Vec<T> x) { kTail ? store(to + c, x, n) : store(to + c + v * kLanes<T>, x); };
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      write(row.w, v, w[v]);
      for (int i = 0; i < Rule::slots; ++i) write(row.slot[i], v, s[v][i]);
    }
  }
};

// How far ahead, in elements: the processor by itself does not follow so many streams (Adam on 10 million weights: 16 % faster on Zen).
template <class T>
constexpr ptrdiff_t kAhead = 1024 / sizeof(T);
template <class T>
constexpr ptrdiff_t kLine = kLineBytes / sizeof(T);

template <class T, class Rule, bool kOuter, int kCount>
LAMINA_INLINE void sweep(const RuleArgs& args) {
  const RuleArgs u = args;  // a copy: see VecTraits
  const RuleConstants<T, Rule> constants(u);
  const bool far = u.far;
  const bool collapse = !kOuter && (u.rows == 1 || (u.w_row == u.cols && u.g_row == u.cols));
  const ptrdiff_t rows = collapse ? 1 : u.rows;
  const ptrdiff_t cols = collapse ? u.rows * u.cols : u.cols;
  for (ptrdiff_t r = 0; r < rows; ++r) {
    const RuleRow<T, Rule> row(u, r);
    const Vec<T> factor = kOuter ? Vec<T>(static_cast<const T*>(u.left)[r * u.left_row]) : Vec<T>(0.0);
    const Vec<T>* left = kOuter ? &factor : nullptr;
    // A last vector that is not full ends with the row, as in elementwise.inl: the next row is read at once, and what has been stored by a
    // mask holds up who reads beside it (128 rows of 20 in f32 1.3 us instead of 0.7).
    const bool ragged = kOuter && cols % kLanes<T> != 0 && cols > kLanes<T>;
    Updated<Rule, T, 1> last{};
    if (ragged) last.calculate(constants.all, row, left, cols - kLanes<T>);
    ptrdiff_t c = 0;
    const auto update = [&]<int kSome>(Number<kSome>) {
      for (; c + kSome * kLanes<T> <= cols; c += kSome * kLanes<T>) {
        for (ptrdiff_t at = c; far && at < c + kSome * kLanes<T>; at += kLanes<T>) {
          if (at % kLine<T> != 0) continue;
          __builtin_prefetch(row.w + at + kAhead<T>, 1);
          for (int i = 0; i < Rule::slots; ++i) __builtin_prefetch(row.slot[i] + at + kAhead<T>, 1);
        }
        Updated<Rule, T, kSome> some;
        some.calculate(constants.all, row, left, c);
        some.put(row, c);
      }
    };
    if constexpr (kCount > 1) update(Number<kCount>());
    update(Number<1>());
    if (ragged) {
      last.put(row, cols - kLanes<T>);
    } else if (c < cols) {
      Updated<Rule, T, 1, true> rest;
      rest.calculate(constants.all, row, left, c, cols - c);
      rest.put(row, c, cols - c);
    }
  }
}

// Of a gradient of rank one whose rows are kCount vectors, the last of which ends with the row: what every row repeats stays in registers.
template <class T, class Rule, int kCount>
LAMINA_INLINE void sweep_repeated(const RuleArgs& args) {
  const RuleArgs u = args;  // a copy: see VecTraits
  static_assert(Rule::slots == 0);
  const RuleConstants<T, Rule> constants(u);
  ptrdiff_t column[kCount];
  Vec<T> repeated[kCount];
#pragma GCC unroll 4
  for (int v = 0; v < kCount; ++v) {
    column[v] = smaller(v * kLanes<T>, u.cols - kLanes<T>);
    repeated[v] = load(static_cast<const T*>(u.g) + column[v]);
  }
  T* w = static_cast<T*>(u.w);
  const T* left = static_cast<const T*>(u.left);
  for (ptrdiff_t r = 0; r < u.rows; ++r, w += u.w_row, left += u.left_row) {
    const Vec<T> factor(*left);
    Vec<T> updated[kCount];
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      updated[v] = load(w + column[v]);
      Rule::template step<Vec<T>>(constants.all, updated[v], product(factor, repeated[v]), nullptr);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) store(w + column[v], updated[v]);
  }
}

// Of a gradient of rank one.
template <class T, class Rule>
LAMINA_INLINE void sweep_outer(const RuleArgs& u) {
  constexpr int kMost = kTogether<Rule>;
  if constexpr (Rule::slots == 0)
    if (u.cols >= kLanes<T> && u.cols <= kMost * kLanes<T>)
      return with_number<kMost>(parts_of(u.cols, kLanes<T>), [&](auto count) { sweep_repeated<T, Rule, count()>(u); });
  sweep<T, Rule, true, kMost>(u);
}

// A function of its own: how instructions are mixed is said of whole functions.
template <class T, class Rule>
LAMINA_MIXED [[gnu::flatten, gnu::noinline]] void sweep_mixed(const RuleArgs& u) {
  sweep<T, Rule, false, kMixed<T, Rule>>(u);
}

template <class T, class Rule>
[[gnu::flatten]] void apply_rule(const RuleArgs& u) {
  if constexpr (requires { typename Rule::Short; })
    if (Rule::is_short(u.constants)) return apply_rule<T, typename Rule::Short>(u);
  if (u.left) return sweep_outer<T, Rule>(u);
  if constexpr (kMixed<T, Rule> > 1) return sweep_mixed<T, Rule>(u);
  sweep<T, Rule, false, kTogether<Rule>>(u);
}

LAMINA_KERNELS_END
