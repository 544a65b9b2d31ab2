#include "runtime/positive_system.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/check.h"
#include "kernels/dispatch.h"

namespace lamina::runtime {

PositiveSystem::PositiveSystem(int64_t n) : n_(n) {
  check(n >= 0 && n < (int64_t{1} << 28), "expected a number of equations, got ", n);
  const auto bytes = static_cast<size_t>(n * (n + 1)) * sizeof(double);
  memory_.reset(bytes, [&] { return "a system of " + std::to_string(n) + " equations"; });
}

bool PositiveSystem::solve(const PositiveTerms& terms, double* x) {
  fill(terms);
  if (!kernels::table().solve_positive(reinterpret_cast<double*>(memory_.data()), x, n_)) return false;
  return std::all_of(x, x + n_, [](double number) { return std::isfinite(number); });
}

void PositiveSystem::again(const double* b, double* x) const {
  std::copy(b, b + n_, x);
  kernels::table().solve_again(reinterpret_cast<const double*>(memory_.data()), x, n_);
}

void PositiveSystem::factor(double* u) const {
  const auto* a = reinterpret_cast<const double*>(memory_.data());
  for (int64_t i = 0; i < n_; ++i, a += n_ + 1, u += n_) {
    std::fill(u, u + i, 0.0);
    std::copy(a + i, a + n_, u + i);
  }
}

void PositiveSystem::fill(const PositiveTerms& terms) {
  auto* a = reinterpret_cast<double*>(memory_.data());  // from the diagonal on
  int64_t at = 0;
  for (int64_t i = 0; i < n_; ++i, a += n_ + 2) {
    const int64_t rest = n_ - i;
    if (terms.more == nullptr) {
      for (int64_t j = 0; j < rest; ++j) a[j] = terms.scale * terms.h[at + j];
    } else {
      for (int64_t j = 0; j < rest; ++j) a[j] = terms.scale * (terms.h[at + j] + terms.more[at + j]);
    }
    a[0] += terms.shift[terms.uniform ? 0 : i];
    a[rest] = terms.b[i];
    at += terms.packed ? rest : n_ + 1;
  }
}

}  // namespace lamina::runtime
