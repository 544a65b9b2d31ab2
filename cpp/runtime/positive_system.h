// Equations with a positive definite matrix, one system after the other in one memory, on the caller's thread.
#pragma once

#include <cstdint>

#include "base/aligned.h"

namespace lamina::runtime {

// (scale (h + more) + D) x = b, h and more symmetric: their upper triangles are read.
struct PositiveTerms {
  const double* h;
  const double* more;  // null for none
  bool packed;         // the rows of the triangles alone, one after the other; else (n, n)
  double scale;
  const double* shift;  // D's diagonal: n numbers, or one for all
  bool uniform;
  const double* b;
};

class PositiveSystem {
 public:
  explicit PositiveSystem(int64_t n);

  int64_t size() const { return n_; }
  // x; false where the matrix is not positive definite in float64, or x not finite.
  bool solve(const PositiveTerms& terms, double* x);
  // x for another b, with the matrix of the last solve().
  void again(const double* b, double* x) const;
  // U of the last solve(), whose matrix is U^T U: (n, n), 0 below the diagonal.
  void factor(double* u) const;

 private:
  void fill(const PositiveTerms& terms);

  int64_t n_;
  AlignedBuffer memory_;  // (n, n + 1): the matrix, then its factor, and b
};

}  // namespace lamina::runtime
