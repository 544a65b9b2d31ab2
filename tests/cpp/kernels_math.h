// exp, log, ... over the whole range: distance in ulp from a wider type's library, and the values at the edges.
#pragma once

#include "kernels_elementwise.h"

namespace kernels_test {

template <class T>
struct MathCase {
  const char* name;
  Wider<T> (*right)(Wider<T>);
  double budget;  // ulp, on normals
};

template <class T>
const std::vector<MathCase<T>>& math_cases() {
  using W = Wider<T>;
  static const std::vector<MathCase<T>> cases = {
      {"exp", [](W x) { return std::exp(x); }, 2},     {"log", [](W x) { return std::log(x); }, 2},
      {"log1p", [](W x) { return std::log1p(x); }, 3}, {"expm1", [](W x) { return std::expm1(x); }, 3},
      {"tanh", [](W x) { return std::tanh(x); }, 2},   {"sigmoid", [](W x) { return 1 / (1 + std::exp(-x)); }, 2},
      {"erf", [](W x) { return std::erf(x); }, 2},     {"sqrt", [](W x) { return std::sqrt(x); }, 0.5001},
      {"sin", [](W x) { return std::sin(x); }, 2},     {"cos", [](W x) { return std::cos(x); }, 2},
      {"arctan", [](W x) { return std::atan(x); }, 2},
  };
  return cases;
}

// Where the result is subnormal, its spacing is the unit: one of those is allowed.
template <class T>
void check_values(const Table& table, const MathCase<T>& m, const std::vector<T>& x, double& worst, T& worst_at) {
  std::vector<T> y(x.size());
  run<T>(find_tile(table, m.name), flat_args<T>(y.data(), ptrdiff_t(x.size()), {x.data()}));
  for (size_t i = 0; i < x.size(); ++i) {
    const Wider<T> right = m.right(x[i]);
    const double off = ulps(y[i], right);
    const bool normal = std::fabs(right) >= std::numeric_limits<T>::min();
    CHECK(off <= m.budget, table.isa << " " << type_name<T>() << " " << m.name << "(" << x[i] << ") = " << y[i] << ", right is "
                                     << right << ", " << off << " ulp");
    if (std::signbit(right) != std::signbit(y[i]) && !std::isnan(y[i]))
      CHECK(std::fabs(right) < std::numeric_limits<T>::denorm_min() && right != 0,
            table.isa << " " << m.name << "(" << x[i] << ") has the wrong sign");
    if (normal && off > worst) worst = off, worst_at = x[i];
  }
}

inline std::vector<float> sweep(float) {
  std::vector<float> x;
  for (uint64_t b = 0; b < (uint64_t(1) << 32); b += 14293) {  // a prime: all exponents, all phases of the low bits
    const uint32_t bits = uint32_t(b);
    float f;
    std::memcpy(&f, &bits, sizeof f);
    x.push_back(f);
  }
  return x;
}

inline std::vector<double> sweep(double) {
  std::vector<double> x;
  std::mt19937_64 g(7);
  for (int i = 0; i < 50000; ++i) {
    const uint64_t bits = g();
    double d;
    std::memcpy(&d, &bits, sizeof d);
    x.push_back(d);
  }
  return x;
}

// Where results are neither constant nor saturated.
template <class T>
std::vector<T> core_values() {
  std::vector<T> x;
  std::mt19937_64 g(8);
  for (double range : {0.01, 0.5, 1.0, 3.0, 10.0, 100.0, 750.0, 12000.0, 1.2e6}) {
    std::uniform_real_distribution<double> d(-range, range);
    for (int i = 0; i < 20000; ++i) x.push_back(T(d(g)));
  }
  return x;
}

// e^(x - m), m >= x: as exp, but 0 where the result is below the normal numbers.
template <class T>
void check_exp_minus(const Table& table) {
  section(std::string("exp_minus ") + table.isa);
  constexpr T kLeast = std::numeric_limits<T>::min();
  std::vector<T> x;
  for (const auto& values : {special_values<T>(), core_values<T>(), sweep(T())})
    for (const T v : values) x.push_back(-std::fabs(v));
  std::vector<T> y(x.size()), zeros(x.size());
  run<T>(find_tile(table, "exp_minus"), flat_args<T>(y.data(), ptrdiff_t(x.size()), {x.data(), zeros.data()}));
  for (size_t i = 0; i < x.size(); ++i) {
    const Wider<T> right = std::exp(Wider<T>(x[i]));
    const bool fits = right < kLeast ? y[i] >= 0 && y[i] <= kLeast : ulps(y[i], right) <= 2;
    CHECK(fits, table.isa << " " << type_name<T>() << " exp_minus(" << x[i] << ") = " << y[i] << ", right is " << right);
  }
}

// x^y over the whole range of results; negative bases with integers, odd and even, and with what is none.
template <class T>
void check_pow(const Table& table) {
  section(std::string("pow ") + table.isa);
  std::mt19937_64 g(9);
  std::uniform_real_distribution<double> exponent(-1.01, 1.01), log_base(-1, 1), narrow(-0.01, 0.01);
  const double most = std::log(double(std::numeric_limits<T>::max()));
  std::vector<T> x, y;
  for (int i = 0; i < 100000; ++i) {
    const double l = i % 3 == 0 ? narrow(g) : i % 3 == 1 ? 3 * log_base(g) : most * log_base(g);
    x.push_back(T(std::exp(l)));
    y.push_back(T(exponent(g) * most / l));
    if (i % 5 == 0) x.back() = -x.back(), y.back() = std::round(y.back());
    if (i % 50 == 1) x.back() = -x.back();
  }
  std::vector<T> z(x.size());
  run<T>(find_tile(table, "pow"), flat_args<T>(z.data(), ptrdiff_t(z.size()), {x.data(), y.data()}));
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const Wider<T> right = std::pow(Wider<T>(x[i]), Wider<T>(y[i]));
    const double off = ulps(z[i], right);
    worst = std::max(worst, off);
    CHECK(off <= 2, table.isa << " " << type_name<T>() << " pow(" << x[i] << ", " << y[i] << ") = " << z[i] << " for " << right);
  }
  std::cout << table.isa << " " << type_name<T>() << " pow: " << worst << " ulp\n";
}

// x P(N(0, 1) <= x) is off by at most 2 eps |x|, and is 0 and x in the tails, however far.
template <class T>
void check_gelu(const Table& table) {
  section(std::string("gelu ") + table.isa);
  std::vector<T> x = core_values<T>();
  for (const T far : {T(1e4), T(1e18), T(1e30), std::numeric_limits<T>::max()}) x.push_back(far), x.push_back(-far);
  std::vector<T> y(x.size());
  run<T>(find_tile(table, "gelu"), flat_args<T>(y.data(), ptrdiff_t(y.size()), {x.data()}));
  for (size_t i = 0; i < x.size(); ++i) {
    const Wider<T> wide = x[i], right = wide / 2 * std::erfc(-wide / std::sqrt(Wider<T>(2)));
    const Wider<T> bound = std::fabs(wide) < 10 ? 2 * std::numeric_limits<T>::epsilon() * std::fabs(wide) : wide < 0 ? -right : 0;
    CHECK(std::fabs(y[i] - right) <= bound || y[i] == T(right),
          table.isa << " " << type_name<T>() << " gelu(" << x[i] << ") = " << y[i] << ", right is " << right);
  }
}

template <class T>
void check_math(const Table& table) {
  check_exp_minus<T>(table);
  check_pow<T>(table);
  check_gelu<T>(table);
  for (const MathCase<T>& m : math_cases<T>()) {
    section(std::string(m.name) + " " + table.isa);
    double worst = 0;
    T worst_at = 0;
    check_values(table, m, special_values<T>(), worst, worst_at);
    check_values(table, m, core_values<T>(), worst, worst_at);
    check_values(table, m, sweep(T()), worst, worst_at);
    std::cout << table.isa << " " << type_name<T>() << " " << m.name << ": " << worst << " ulp at " << worst_at << "\n";
  }
}

}  // namespace kernels_test
