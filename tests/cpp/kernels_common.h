// What the kernel tests share: sizes that straddle every vector width, test values, bit comparison, distance in ulp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#if !defined(_WIN32)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "check.h"
#include "kernels/dispatch.h"

namespace kernels_test {

using namespace lamina::kernels;
using check::section;

const std::vector<ptrdiff_t> kSizes = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};

// What the tests of rows try: every other instruction calculates element by element.
const std::vector<std::string> kAlongRows = {"sum", "max", "min", "argmax", "argmin"}, kDownColumns = {"sum", "max", "min"};
inline bool is_over_rows(const std::string& name) {
  const auto is_one = [&](const std::string& prefix, const std::vector<std::string>& ops) {
    return std::any_of(ops.begin(), ops.end(), [&](const std::string& op) { return name == prefix + op; });
  };
  return name == "softmax" || name == "plus_max" || is_one("row_", kAlongRows) || is_one("column_", kDownColumns);
}

template <class T>
constexpr int precision() {
  return sizeof(T) == 4 ? kF32 : kF64;
}

template <class T>
const char* type_name() {
  return sizeof(T) == 4 ? "f32" : "f64";
}

// A type one step wider, to compute what is right.
template <class T>
struct WiderOf {
  using type = double;
};
template <>
struct WiderOf<double> {
  using type = long double;
};
template <class T>
using Wider = typename WiderOf<T>::type;

inline std::mt19937& generator() {
  static std::mt19937 g(1);
  return g;
}

template <class T>
std::vector<T> normal_values(size_t n, double scale = 1.0) {
  std::normal_distribution<double> d(0.0, scale);
  std::vector<T> v(n);
  for (T& x : v) x = T(d(generator()));
  return v;
}

template <class T>
const std::vector<T>& special_values() {
  using L = std::numeric_limits<T>;
  static const std::vector<T> v = {T(0),      T(-0.0),         L::infinity(),    -L::infinity(), L::quiet_NaN(), L::min(),
                                   -L::min(), L::denorm_min(), -L::denorm_min(), L::max(),       L::lowest(),    L::epsilon(),
                                   T(1),      T(-1),           T(0.5),           T(-0.5),        T(2),           T(-2),
                                   T(20),     T(-20),          T(88.5),          T(-88.5),       T(1e-30),       T(-1e-30)};
  return v;
}

// The numbers in memory that ends with them: who reads or writes the next one ends the test, where the system has pages to forbid.
template <class T>
std::shared_ptr<T[]> guarded(const std::vector<T>& values) {
#if defined(_WIN32)
  std::shared_ptr<T[]> numbers(new T[values.size()]);
#else
  const auto page = size_t(sysconf(_SC_PAGESIZE)), bytes = values.size() * sizeof(T), used = (bytes + page - 1) / page * page;
  void* all = mmap(nullptr, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED || mprotect(static_cast<char*>(all) + used, page, PROT_NONE) != 0) throw std::bad_alloc();
  std::shared_ptr<T[]> numbers(reinterpret_cast<T*>(static_cast<char*>(all) + used - bytes), [=](T*) { munmap(all, used + page); });
#endif
  std::copy(values.begin(), values.end(), numbers.get());
  return numbers;
}

template <class T>
bool same_bits(const T* a, const T* b, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; ++i)
    if (std::memcmp(a + i, b + i, sizeof(T)) != 0 && !(a[i] != a[i] && b[i] != b[i])) return false;  // a NaN's payload is free
  return true;
}

// |got - right| in units of the spacing of T at `right`. Infinite where one is NaN or infinite and the other is not the same.
template <class T>
double ulps(T got, Wider<T> right) {
  using L = std::numeric_limits<T>;
  if (std::isnan(right)) return std::isnan(got) ? 0 : L::infinity();
  if (std::isnan(got)) return L::infinity();
  const T rounded = T(right);
  if (got == rounded)
    return std::isinf(rounded) ? 0
                               : double(std::fabs(Wider<T>(got) - right) /
                                        std::ldexp(Wider<T>(1), std::max(std::ilogb(right), L::min_exponent - 1) - L::digits + 1));
  if (std::isinf(rounded) || std::isinf(got)) return L::infinity();
  const int exponent = right == 0 ? L::min_exponent - 1 : std::max(std::ilogb(right), L::min_exponent - 1);
  return double(std::fabs(Wider<T>(got) - right) / std::ldexp(Wider<T>(1), exponent - L::digits + 1));
}

// A tile of one row, dense operands.
template <class T>
TileArgs flat_args(T* out, ptrdiff_t n, const std::vector<const T*>& in, const double* params = nullptr) {
  TileArgs t = TileArgs::of_any(out, n, 1, n, 0, params);
  for (size_t i = 0; i < in.size(); ++i) t.in[i] = {in[i], n, 1};
  return t;
}

}  // namespace kernels_test
