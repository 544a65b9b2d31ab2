// Systems of triangles, one for each matrix of a stack.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace lamina::runtime {

// T x = b, or T^T x = b (`transposed`), for each of `count` matrices of n rows, of which one triangle is read; x holds b. All dense.
struct TriangularSystems {
  DType dtype;  // float32 or float64
  const void* t;
  int64_t count, n;
  bool lower, transposed, unit;  // unit: ones are taken for the diagonals
  void* x;
  int64_t columns;
};

void solve_triangular(const TriangularSystems& systems);

}  // namespace lamina::runtime
