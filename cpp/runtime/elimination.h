// A = P L U of a matrix of any size, in float64; on the caller's thread.
#pragma once

#include <cstdint>

#include "kernels/table.h"

namespace lamina::runtime {

// (m, n) numbers of A, others from column `right` on, and what is made of them, at the beginning of a room. What stands between and
// behind is finite.
class AugmentedMatrix {
 public:
  AugmentedMatrix(int64_t m, int64_t n, int64_t beside);

  const int64_t m, n, right, row;

  // Numbers of the room, which has further that of products, and the order of the rows.
  int64_t room() const { return m * row + for_product_ + m; }
  int64_t* order(double* a) const { return reinterpret_cast<int64_t*>(a + m * row + for_product_); }
  double work() const;  // multiply-adds

  // Leaves L, U and L^-1 P^T of what stands beside A. Whether an odd number of rows was exchanged.
  bool eliminate(double* a) const;
  // U^-1 of that, of a square A.
  void substitute(double* a) const;

 private:
  int64_t panels() const;
  void follow(double* a, int64_t first, int64_t last) const;
  kernels::GemmArgs product(int64_t last) const;

  int64_t for_product_ = 0;
};

// The largest sum of |a| over a column of (n, n) numbers.
double one_norm(const double* a, int64_t row, int64_t n);

}  // namespace lamina::runtime
