// Every test of one table.
#pragma once

#include "kernels_cholesky.h"
#include "kernels_elementwise.h"
#include "kernels_elimination.h"
#include "kernels_gemm.h"
#include "kernels_math.h"
#include "kernels_rows.h"
#include "kernels_rules.h"
#include "kernels_triangular.h"

namespace kernels_test {

template <class T>
void check_precision(const Table& table) {
  check_elementwise<T>(table);
  check_math<T>(table);
  check_rows<T>(table);
  check_gemm<T>(table);
  check_rules<T>(table);
}

inline void check_table(const Table& table) {
  check_conversions(table);
  check_uniform(table);
  check_cholesky(table);
  check_elimination(table);
  check_triangular(table);
  check_precision<float>(table);
  check_precision<double>(table);
}

}  // namespace kernels_test
