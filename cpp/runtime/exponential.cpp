#include "runtime/exponential.h"

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.h"

namespace lamina::runtime {

namespace {

// Pade's approximation of order 13: (13 + 13 - j)! 13! / ((13 + 13)! j! (13 - j)!), times the last one's inverse.
constexpr double kPade[] = {64764752532480000.0,
                            32382376266240000.0,
                            7771770303897600.0,
                            1187353796428800.0,
                            129060195264000.0,
                            10559470521600.0,
                            670442572800.0,
                            33522128640.0,
                            1323241920.0,
                            40840800.0,
                            960960.0,
                            16380.0,
                            182.0,
                            1.0};
constexpr double kReach = 4.25;                                   // up to where it is exact to 2^-53 (table 3.1)
constexpr double kRest = 113250775606021113483283660800000000.0;  // the inverse of the leading term of its backward error
constexpr int kMatrices = 6;                                      // beside A

// Of two n x n matrices.
kernels::GemmArgs square_product(int64_t n) {
  kernels::GemmArgs g{};
  g.m = g.n = g.k = g.a_row = g.b_row = g.c_row = n;
  g.a_col = g.b_col = 1;
  return g;
}

}  // namespace

Exponential::Exponential(int64_t n) : n_(n), augmented_(n, n, n) {}

int64_t Exponential::room() const {
  const kernels::GemmKernel& kernel = kernels::table().gemm[kernels::kF64];
  return kMatrices * n_ * n_ + std::max<int64_t>(augmented_.room(), kernel.room(square_product(n_)));
}

double Exponential::work() const { return 8 * static_cast<double>(n_) * static_cast<double>(n_ * n_); }

void Exponential::multiply(double* c, const double* a, const double* b, double* room) const {
  kernels::GemmArgs g = square_product(n_);
  g.a = a, g.b = b, g.c = c, g.room = room;
  kernels::table().gemm[kernels::kF64].block(g);
}

// By ||A^k||^(1/k), which may be far below ||A||: of a matrix far from normal that would scale the diagonal away.
int Exponential::squarings(const double* a, double size, double* room) const {
  const int64_t numbers = n_ * n_;
  double *scaled = room, *second = scaled + numbers, *fourth = second + numbers, *power = fourth + numbers, *rest = power + numbers;
  double* for_product = room + kMatrices * numbers;
  for (int64_t i = 0; i < numbers; ++i) scaled[i] = a[i] / size;  // whose powers do not overflow
  multiply(second, scaled, scaled, for_product);
  multiply(fourth, second, second, for_product);
  const auto root = [&](const double* factor, int k) {
    multiply(power, fourth, factor, for_product);
    return size * std::pow(one_norm(power, n_, n_), 1.0 / k);
  };
  const double sixth = root(second, 6);
  std::copy_n(power, numbers, rest);
  const double tenth = root(rest, 10), eighth = root(fourth, 8);
  const double reach = std::min(std::max(sixth, eighth), std::max(eighth, tenth));

  double *sums = power, *next = rest;  // of |A|^27's columns, for the rounding of the approximation
  std::fill_n(sums, n_, 1.0);
  for (int step = 0; step < 27; ++step, std::swap(sums, next)) {
    std::fill_n(next, n_, 0.0);
    for (int64_t i = 0; i < n_; ++i)
      for (int64_t j = 0; j < n_; ++j) next[j] += sums[i] * std::abs(scaled[i * n_ + j]);
  }
  const double count = std::max(std::ceil(std::log2(reach / kReach)), 0.0);
  const double log = std::log2(*std::max_element(sums, sums + n_)) + 26 * (std::log2(size) - count) - std::log2(kRest);
  return static_cast<int>(count + std::max(std::ceil((log + 53) / 26), 0.0));
}

bool Exponential::run(double* a, double* room) const {
  const int64_t numbers = n_ * n_;
  const double size = one_norm(a, n_, n_);
  if (!std::isfinite(size)) return false;
  int left = size > kReach ? squarings(a, size, room) : 0;
  for (int64_t i = 0; i < numbers; ++i) a[i] = std::ldexp(a[i], -left);

  double *second = room, *fourth = second + numbers, *sixth = fourth + numbers, *odd = sixth + numbers, *even = odd + numbers;
  double *sum = even + numbers, *rest = room + kMatrices * numbers;
  multiply(second, a, a, rest);
  multiply(fourth, second, second, rest);
  multiply(sixth, fourth, second, rest);
  // to = A^6 (c[first + 12] A^6 + c[first + 10] A^4 + c[first + 8] A^2) + c[first + 6] A^6 + .. + c[first] I
  const auto polynomial = [&](double* to, int first) {
    const double* c = kPade + first;
    for (int64_t i = 0; i < numbers; ++i) sum[i] = c[12] * sixth[i] + c[10] * fourth[i] + c[8] * second[i];
    multiply(to, sixth, sum, rest);
    for (int64_t i = 0; i < numbers; ++i) to[i] += c[6] * sixth[i] + c[4] * fourth[i] + c[2] * second[i];
    for (int64_t i = 0; i < n_; ++i) to[i * (n_ + 1)] += c[0];
  };
  polynomial(even, 0);
  polynomial(odd, 1);
  multiply(sum, a, odd, rest);  // A times the odd one

  std::fill_n(rest, n_ * augmented_.row, 0.0);
  for (int64_t i = 0; i < n_; ++i)
    for (int64_t j = 0; j < n_; ++j) {
      rest[i * augmented_.row + j] = even[i * n_ + j] - sum[i * n_ + j];
      rest[i * augmented_.row + augmented_.right + j] = even[i * n_ + j] + sum[i * n_ + j];
    }
  augmented_.eliminate(rest);
  augmented_.substitute(rest);
  for (int64_t i = 0; i < n_; ++i) std::copy_n(rest + i * augmented_.row + augmented_.right, n_, a + i * n_);
  for (; left > 0; --left) {
    std::copy_n(a, numbers, room);
    multiply(a, room, room, rest);
  }
  return true;
}

}  // namespace lamina::runtime
