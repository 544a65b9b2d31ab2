// e^A, by scaling and squaring (Al-Mohy and Higham, A new scaling and squaring algorithm for the matrix exponential, 2009).
#pragma once

#include <cstdint>

#include "runtime/elimination.h"

namespace lamina::runtime {

// Of matrices of n rows, in float64, one after the other, on the caller's thread.
class Exponential {
 public:
  explicit Exponential(int64_t n);

  int64_t room() const;  // numbers
  double work() const;   // multiply-adds, about
  // e^A in the place of A: (n, n), dense. False where a column's sum of |a| is not finite.
  bool run(double* a, double* room) const;

 private:
  void multiply(double* c, const double* a, const double* b, double* room) const;
  int squarings(const double* a, double size, double* room) const;

  int64_t n_;
  AugmentedMatrix augmented_;
};

}  // namespace lamina::runtime
