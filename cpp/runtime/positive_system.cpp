#include "runtime/positive_system.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/check.h"
#include "kernels/dispatch.h"

namespace lamina::runtime {

PositiveSystem::PositiveSystem(int64_t n) : n_(n) {
  check(n >= 0 && n < (int64_t{1} << 28), "expected a number of equations, got ", n);
  const auto bytes = static_cast<size_t>(kernels::positive_room(n)) * sizeof(double);
  memory_.reset(bytes, [&] { return "a system of " + std::to_string(n) + " equations"; });
}

bool PositiveSystem::solve(const kernels::PositiveTerms& terms, double* x) {
  if (!kernels::table().solve_positive(terms, reinterpret_cast<double*>(memory_.data()), x, n_)) return false;
  return std::all_of(x, x + n_, [](double number) { return std::isfinite(number); });
}

void PositiveSystem::again(const double* b, double* x) const {
  std::copy(b, b + n_, x);
  kernels::table().solve_again(reinterpret_cast<const double*>(memory_.data()), x, n_);
}

void PositiveSystem::factor(double* u) const {
  const auto* a = reinterpret_cast<const double*>(memory_.data());
  for (int64_t i = 0; i < n_; ++i, a += kernels::positive_row(n_), u += n_) {
    std::fill(u, u + i, 0.0);
    std::copy(a + i, a + n_, u + i);
  }
}

}  // namespace lamina::runtime
