#include "runtime/elimination.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "kernels/dispatch.h"
#include "runtime/cuts.h"

namespace lamina::runtime {

namespace {

constexpr int64_t kPanel = 64;  // columns that are eliminated together; those to their right follow by a product

double larger_or_nan(double most, double sum) { return std::isnan(most) || sum <= most ? most : sum; }

const kernels::GemmKernel& gemm() { return kernels::table().gemm[kernels::kF64]; }

}  // namespace

AugmentedMatrix::AugmentedMatrix(int64_t m, int64_t n, int64_t beside)
    : m(m), n(n), right(round_up(n, kernels::kEliminated)), row(round_up(right + beside, kernels::kEliminated)) {
  for (int64_t panel = 1; panel < panels(); ++panel)
    for_product_ = std::max<int64_t>(for_product_, gemm().room(product(panel * kPanel)));
}

double AugmentedMatrix::work() const { return static_cast<double>(std::min(m, n)) * static_cast<double>(m * row); }

int64_t AugmentedMatrix::panels() const { return std::max<int64_t>(ceil_div(std::min(m, n), kPanel), 1); }

bool AugmentedMatrix::eliminate(double* a) const {
  std::iota(order(a), order(a) + m, int64_t{0});
  bool odd = false;
  for (int64_t panel = 0; panel < panels(); ++panel) {
    const int64_t first = panel * kPanel, last = std::min(first + kPanel, std::min(m, n));
    const bool is_last = panel + 1 == panels();
    odd ^= kernels::table().eliminate({a, row, m, first, last, is_last ? row : last, order(a)});
    if (!is_last) follow(a, first, last);
  }
  return odd;
}

void AugmentedMatrix::substitute(double* a) const { kernels::table().substitute_upwards(a, row, n, right); }

double one_norm(const double* a, int64_t row, int64_t n) {
  constexpr int64_t kSide = 8;  // columns of whole lines, side by side
  double most = 0;
  int64_t j = 0;
  for (; j + kSide <= n; j += kSide) {
    double sums[kSide] = {};
    for (int64_t i = 0; i < n; ++i)
      for (int64_t c = 0; c < kSide; ++c) sums[c] += std::abs(a[i * row + j + c]);
    for (const double sum : sums) most = larger_or_nan(most, sum);
  }
  for (; j < n; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += std::abs(a[i * row + j]);
    most = larger_or_nan(most, sum);
  }
  return most;
}

// What stands to the right of a panel: U = L^-1 A beside it, and below A - L U.
void AugmentedMatrix::follow(double* a, int64_t first, int64_t last) const {
  double* u = a + first * row + last;
  kernels::table().substitute_rows[kernels::kF64]({a + first * row + first, last - first, row, 1, true, u, row, row - last});
  kernels::GemmArgs g = product(last);
  g.a = a + last * row + first, g.b = u, g.c = a + last * row + last;
  g.start = g.c, g.start_row = row;
  g.room = a + m * row;
  gemm().block(g);
  for (int64_t i = first; i < last; ++i, u += row) std::transform(u, u + row - last, u, std::negate<>());
}

// Of L below the panel that ends at column `last`, and -U beside it.
kernels::GemmArgs AugmentedMatrix::product(int64_t last) const {
  kernels::GemmArgs g{};
  g.m = m - last, g.n = row - last, g.k = kPanel;
  g.a_row = g.b_row = g.c_row = row;
  g.a_col = g.b_col = 1;
  return g;
}

}  // namespace lamina::runtime
