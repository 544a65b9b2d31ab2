// Elementwise instructions: against plain formulas in a wider type, on every layout of operands, tails bit-equal.
#pragma once

#include <functional>
#include <map>

#include "base/activations.h"
#include "kernels_common.h"

namespace kernels_test {

// Activations' hyper-parameters in these tests: unlike the defaults, so that a forgotten one shows.
constexpr double kTestParams[1] = {0.7};

// What an instruction should give, and how far it may be off: relative * eps * |right| + absolute * eps.
template <class W>
struct Oracle {
  std::function<W(const W*)> right;
  double relative;
  double absolute = 0;
};

template <class W>
W sigmoid_of(W x) {
  return 1 / (1 + std::exp(-x));
}
template <class W>
W clamp_of(W x, W lo, W hi) {
  return x != x ? x : x < lo ? lo : x > hi ? hi : x;
}

template <class W>
void add_arithmetic(std::map<std::string, Oracle<W>>& m) {
  const double exact = 0.51;  // correctly rounded
  m["neg"] = {[](const W* x) { return -x[0]; }, exact};
  m["abs"] = {[](const W* x) { return std::fabs(x[0]); }, exact};
  m["sign"] = {[](const W* x) { return x[0] != x[0] ? x[0] : W((x[0] > 0) - (x[0] < 0)); }, exact};
  m["exp"] = {[](const W* x) { return std::exp(x[0]); }, 2};
  m["exp_minus"] = {[](const W* x) { return std::exp(x[0] - x[1]); }, 6};  // the difference is rounded before
  m["log"] = {[](const W* x) { return std::log(x[0]); }, 2};
  m["log1p"] = {[](const W* x) { return std::log1p(x[0]); }, 3};
  m["expm1"] = {[](const W* x) { return std::expm1(x[0]); }, 3};
  m["sqrt"] = {[](const W* x) { return std::sqrt(x[0]); }, exact};
  m["sin"] = {[](const W* x) { return std::sin(x[0]); }, 2};
  m["cos"] = {[](const W* x) { return std::cos(x[0]); }, 2};
  m["arctan"] = {[](const W* x) { return std::atan(x[0]); }, 2};
  m["erf"] = {[](const W* x) { return std::erf(x[0]); }, 2};
  m["floor"] = {[](const W* x) { return std::floor(x[0]); }, exact};
  m["copy"] = {[](const W* x) { return x[0]; }, exact};
  m["add"] = {[](const W* x) { return x[0] + x[1]; }, exact};
  m["sub"] = {[](const W* x) { return x[0] - x[1]; }, exact};
  m["mul"] = {[](const W* x) { return x[0] * x[1]; }, exact};
  m["div"] = {[](const W* x) { return x[0] / x[1]; }, exact};
  m["pow"] = {[](const W* x) { return std::pow(x[0], x[1]); }, 2};
  m["maximum"] = {[](const W* x) { return x[0] != x[0] || x[0] > x[1] ? x[0] : x[1]; }, exact};
  m["minimum"] = {[](const W* x) { return x[0] != x[0] || x[0] < x[1] ? x[0] : x[1]; }, exact};
  m["eq"] = {[](const W* x) { return W(x[0] == x[1]); }, exact};
  m["ne"] = {[](const W* x) { return W(x[0] != x[1]); }, exact};
  m["lt"] = {[](const W* x) { return W(x[0] < x[1]); }, exact};
  m["le"] = {[](const W* x) { return W(x[0] <= x[1]); }, exact};
  m["gt"] = {[](const W* x) { return W(x[0] > x[1]); }, exact};
  m["ge"] = {[](const W* x) { return W(x[0] >= x[1]); }, exact};
  m["where"] = {[](const W* x) { return x[0] != 0 ? x[1] : x[2]; }, exact};
  m["clip"] = {[](const W* x) {
                 const W low = x[0] != x[0] || x[0] > x[1] ? x[0] : x[1];
                 return low != low || low < x[2] ? low : x[2];
               },
               exact};
}

// y = f(x), from the formulas in PyTorch's documentation of torch.nn rather than from base/activations.h.
template <class W>
std::map<std::string, std::function<W(W)>> activation_formulas() {
  const W p = W(kTestParams[0]);
  std::map<std::string, std::function<W(W)>> m;
  m["tanh"] = [](W x) { return std::tanh(x); };
  m["sigmoid"] = [](W x) { return sigmoid_of(x); };
  m["relu"] = [](W x) { return x > 0 ? x : x * 0; };
  m["leaky_relu"] = [p](W x) { return x > 0 ? x : p * x; };
  m["elu"] = [p](W x) { return x > 0 ? x : p * std::expm1(x); };
  m["selu"] = [](W x) {
    return W(1.0507009873554804934193349852946L) * (x > 0 ? x : W(1.6732632423543772848170429916717L) * std::expm1(x));
  };
  m["celu"] = [p](W x) { return x > 0 ? x : p * std::expm1(x / p); };
  m["gelu"] = [](W x) { return x / 2 * (1 + std::erf(x / std::sqrt(W(2)))); };
  m["gelu_tanh"] = [](W x) { return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(W(-1))) * (x + W(0.044715L) * x * x * x))); };
  m["silu"] = [](W x) { return x * sigmoid_of(x); };
  m["mish"] = [](W x) { return x * std::tanh(std::log1p(std::exp(x))); };
  m["softplus"] = [p](W x) { return p * x > 20 ? x : std::log1p(std::exp(p * x)) / p; };
  m["softsign"] = [](W x) { return x / (1 + std::fabs(x)); };
  m["hard_sigmoid"] = [](W x) { return clamp_of<W>(x / 6 + W(0.5), 0, 1); };
  m["hard_swish"] = [](W x) { return x * clamp_of<W>(x + 3, 0, 6) / 6; };
  m["hard_tanh"] = [](W x) { return clamp_of<W>(x, -1, 1); };
  m["relu6"] = [](W x) { return clamp_of<W>(x, 0, 6); };
  m["log_sigmoid"] = [](W x) { return -std::log1p(std::exp(-x)); };
  return m;
}

template <class T>
void run(const TileEntry& e, const TileArgs& t) {
  e.fn[precision<T>()](t);
}

template <class T>
bool close(T got, Wider<T> right, double relative, double absolute) {
  using L = std::numeric_limits<T>;
  if (ulps(got, right) <= relative) return true;
  return std::fabs(Wider<T>(got) - right) <= L::epsilon() * (Wider<T>(relative) * std::fabs(right) + Wider<T>(absolute));
}

// What operands that do not lie like the result may be.
enum Given { kOneARow, kOneForAll, kOneRow };

// One instruction over rows that lie `gap` elements apart. Bit i of `splat`: operand i is `given`.
template <class T>
void check_layout(const Table& table, const TileEntry& e, const Oracle<Wider<T>>& oracle, ptrdiff_t rows, ptrdiff_t cols, int splat,
                  Given given, ptrdiff_t gap) {
  using W = Wider<T>;
  std::vector<std::vector<T>> data;
  std::vector<T> out(size_t(rows * (cols + gap)), T(77));
  TileArgs t = TileArgs::of_any(out.data(), cols + gap, rows, cols, 0, kTestParams);
  for (int i = 0; i < e.arity; ++i) {
    const bool one = (splat >> i) & 1;
    const ptrdiff_t row = !one ? cols + gap : given == kOneARow ? 1 : 0;
    data.push_back(normal_values<T>(size_t(rows * (cols + gap) + 1)));
    if (e.name == std::string("log") || e.name == std::string("sqrt") || e.name == std::string("pow"))
      for (T& x : data.back()) x = std::fabs(x);
    t.in[i] = {data.back().data(), row, one && given != kOneRow ? 0 : 1};
  }
  run<T>(e, t);
  for (ptrdiff_t r = 0; r < rows; ++r)
    for (ptrdiff_t c = 0; c < cols + gap; ++c) {
      const T got = out[size_t(r * t.out_row + c)];
      if (c >= cols) {
        CHECK(got == T(77), table.isa << " " << e.name << " wrote beyond column " << cols);
        continue;
      }
      W x[3];
      for (int i = 0; i < e.arity; ++i) x[i] = W(static_cast<const T*>(t.in[i].data)[r * t.in[i].row + c * t.in[i].col]);
      const W right = oracle.right(x);
      CHECK(close(got, right, oracle.relative, oracle.absolute), table.isa << " " << type_name<T>() << " " << e.name << " " << rows
                                                                           << "x" << cols << " splat " << splat << " at " << r
                                                                           << "," << c << ": " << got << " for " << right);
    }
}

// All sizes give the bits of one long run, also in place; specials included.
template <class T>
void check_tails(const Table& table, const TileEntry& e) {
  constexpr ptrdiff_t kLong = 160;
  std::vector<std::vector<T>> data;
  std::vector<const T*> in;
  for (int i = 0; i < e.arity; ++i) {
    data.push_back(normal_values<T>(kLong, 3.0));
    for (size_t s = 0; s < special_values<T>().size(); ++s)
      data[size_t(i)][(s * 5 + size_t(i) * 7) % kLong] = special_values<T>()[s];
  }
  for (const auto& d : data) in.push_back(d.data());
  std::vector<T> whole(kLong), part(kLong);
  run<T>(e, flat_args(whole.data(), kLong, in, kTestParams));
  for (ptrdiff_t n : kSizes) {
    for (ptrdiff_t start : {ptrdiff_t(0), ptrdiff_t(kLong - n)}) {
      std::vector<const T*> at;
      for (const T* p : in) at.push_back(p + start);
      run<T>(e, flat_args(part.data(), n, at, kTestParams));
      CHECK(same_bits(part.data(), whole.data() + start, n), table.isa << " " << type_name<T>() << " " << e.name << " size " << n);
      for (int i = 0; i < e.arity; ++i) {
        std::vector<T> own(in[size_t(i)] + start, in[size_t(i)] + start + n);
        std::vector<const T*> inputs = at;
        inputs[size_t(i)] = own.data();
        run<T>(e, flat_args(own.data(), n, inputs, kTestParams));
        CHECK(same_bits(own.data(), whole.data() + start, n), table.isa << " " << e.name << " in place of operand " << i);
      }
    }
  }
}

// Zeros, infinities, NaN, subnormals and the largest numbers, each with each.
template <class T>
void check_specials(const Table& table, const TileEntry& e, const Oracle<Wider<T>>& oracle) {
  using W = Wider<T>;
  const std::vector<T>& values = special_values<T>();
  size_t count = 1;
  for (int i = 0; i < e.arity; ++i) count *= values.size();
  std::vector<std::vector<T>> data(static_cast<size_t>(e.arity), std::vector<T>(count));
  std::vector<const T*> in;
  size_t every = 1;
  for (std::vector<T>& d : data) {
    for (size_t k = 0; k < count; ++k) d[k] = values[k / every % values.size()];
    every *= values.size();
    in.push_back(d.data());
  }
  std::vector<T> out(count);
  run<T>(e, flat_args(out.data(), ptrdiff_t(count), in, kTestParams));
  for (size_t k = 0; k < count; ++k) {
    W x[3];
    for (int i = 0; i < e.arity; ++i) x[i] = W(data[size_t(i)][k]);
    CHECK(close(out[k], oracle.right(x), std::max(oracle.relative, 1.0), oracle.absolute),
          table.isa << " " << type_name<T>() << " " << e.name << " of " << x[0] << ", .. gives " << out[k] << " for "
                    << oracle.right(x));
  }
}

template <class T>
void check_layouts(const Table& table, const TileEntry& e, const Oracle<Wider<T>>& oracle) {
  for (int splat = 0; splat < (1 << e.arity); ++splat)
    for (Given given : {kOneARow, kOneForAll, kOneRow})
      for (ptrdiff_t cols : kSizes) {
        check_layout<T>(table, e, oracle, 3, cols, splat, given, 0);
        check_layout<T>(table, e, oracle, 1, cols, splat, given, 0);  // one row, whatever the row stride of a splat says
        check_layout<T>(table, e, oracle, 2, cols, splat, given, 3);
        if (cols < 9) check_layout<T>(table, e, oracle, 700, cols, splat, given, 0);  // more than are written out at a time
      }
  check_tails<T>(table, e);
}

template <class T>
void check_slopes(const Table& table, const TileEntry& backward, const TileEntry& forward, bool keeps_output,
                  const std::function<Wider<T>(Wider<T>)>& f) {
  using W = Wider<T>;
  const std::vector<T> x = normal_values<T>(200, 3.0), dy = normal_values<T>(200);
  std::vector<T> y(200), dx(200);
  run<T>(forward, flat_args<T>(y.data(), 200, {x.data()}, kTestParams));
  run<T>(backward, flat_args<T>(dx.data(), 200, {dy.data(), keeps_output ? y.data() : x.data()}, kTestParams));
  for (size_t i = 0; i < x.size(); ++i) {
    // Central difference in the wider type; its own error is h^2, far below the tolerance except across a kink.
    const W h = std::pow(std::numeric_limits<W>::epsilon(), W(1) / 3);
    bool at_kink = false;
    for (W kink : {W(0), W(-1), W(1), W(-3), W(3), W(6), W(20) / W(kTestParams[0])}) at_kink |= std::fabs(W(x[i]) - kink) < 2 * h;
    if (at_kink) continue;
    const W slope = (f(W(x[i]) + h) - f(W(x[i]) - h)) / (2 * h);
    const W right = W(dy[i]) * slope;
    const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-11;  // f64: the difference formula's own error
    CHECK(std::fabs(W(dx[i]) - right) <= tolerance * (1 + std::fabs(W(dy[i]))),
          table.isa << " " << type_name<T>() << " " << backward.name << " at " << x[i] << ": " << dx[i] << " for " << right);
  }
}

template <class T, class A>
void check_activation(const Table& table) {
  using W = Wider<T>;
  const auto formulas = activation_formulas<W>();
  const auto found = formulas.find(A::name);
  CHECK(found != formulas.end(), "no formula to compare " << A::name << " with");
  if (found == formulas.end()) return;
  const TileEntry &forward = find_tile(table, A::name), &backward = find_tile(table, A::name + std::string("_backward"));
  const auto f = found->second;
  // A few roundings, and cancellation of terms of size |x| <= 4 in the tails (gelu, selu); of gelu 2 eps |x|, see check_gelu().
  const double absolute = std::string(A::name) == "gelu" ? 8 : 4;
  check_layouts<T>(table, forward, {[f](const W* x) { return f(x[0]); }, 4, absolute});
  check_tails<T>(table, backward);
  check_slopes<T>(table, backward, forward, A::keeps == lamina::activations::Keep::output, f);
}

template <class T, class... As>
void check_activations(const Table& table, lamina::List<As...>) {
  (check_activation<T, As>(table), ...);
}

template <class T>
void check_one_hot(const Table& table) {
  const TileEntry& e = find_tile(table, "one_hot");
  for (ptrdiff_t n : kSizes) {
    const std::vector<T> labels = {T(5), T(4 + n), T(5 + n), T(4), T(5.5), std::numeric_limits<T>::quiet_NaN()};
    const auto rows = ptrdiff_t(labels.size());
    std::vector<T> out(size_t(rows * (n + 1)), T(77));
    TileArgs t = TileArgs::of_any(out.data(), n + 1, rows, n, 5, nullptr);
    t.in[0] = {labels.data(), 1, 0};
    run<T>(e, t);
    for (ptrdiff_t r = 0; r < rows; ++r) {
      for (ptrdiff_t c = 0; c < n; ++c)
        CHECK(out[size_t(r * (n + 1) + c)] == T(labels[size_t(r)] == T(5 + c)), table.isa << " one_hot of " << labels[size_t(r)]);
      CHECK(out[size_t(r * (n + 1) + n)] == T(77), table.isa << " one_hot wrote beyond");
    }
  }
}

// The time that an element is said to take: more for more operations, an activation's from those of its formula.
inline void check_work(const Table& table) {
  const auto work = [&](const char* name) { return find_tile(table, name).work; };
  for (int i = 0; i < table.tile_count; ++i) CHECK(table.tiles[i].work >= 1, table.tiles[i].name << " takes no time");
  CHECK(work("add") < work("div") && work("div") < work("exp") && work("exp") < work("pow"), table.isa << " work");
  CHECK(work("relu") < work("silu") && work("tanh") > 5 * work("tanh_backward"), table.isa << " work of activations");
}

template <class T>
void check_elementwise(const Table& table) {
  section(std::string("elementwise ") + table.isa);
  std::map<std::string, Oracle<Wider<T>>> oracles;
  add_arithmetic(oracles);
  for (const auto& [name, oracle] : oracles) {
    const TileEntry& e = find_tile(table, name);
    check_layouts<T>(table, e, oracle);
    // exp_minus is for x <= m: see check_exp_minus.
    if (name != "exp_minus") check_specials<T>(table, e, oracle);
  }
  check_one_hot<T>(table);
  check_work(table);
  check_activations<T>(table, lamina::activations::Activations{});
  const auto formulas = activation_formulas<double>();
  for (int i = 0; i < table.tile_count; ++i) {
    const TileEntry& e = table.tiles[i];
    std::string name = e.name;
    if (const size_t at = name.find("_backward"); at != std::string::npos) name.resize(at);
    const bool known = oracles.count(name) || formulas.count(name) || name == "one_hot" || is_over_rows(name);
    CHECK(known, e.name << " has no oracle in these tests");
  }
}

}  // namespace kernels_test
