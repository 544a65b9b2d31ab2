// Equations with a positive definite matrix, one system after the other in one memory, on the caller's thread.
#pragma once

#include <cstdint>

#include "base/aligned.h"
#include "kernels/table.h"

namespace lamina::runtime {

class PositiveSystem {
 public:
  explicit PositiveSystem(int64_t n);

  int64_t size() const { return n_; }
  // x; false where the matrix is not positive definite in float64, or x not finite.
  bool solve(const kernels::PositiveTerms& terms, double* x);
  // x for another b, with the matrix of the last solve().
  void again(const double* b, double* x) const;
  // U of the last solve(), whose matrix is U^T U: (n, n), 0 below the diagonal.
  void factor(double* u) const;

 private:
  int64_t n_;
  AlignedBuffer memory_;
};

}  // namespace lamina::runtime
