// From which condition number on the solution of a system is not trusted. Python reads these numbers (bind_systems.cpp): linalg/errors.py
// and linalg/probes.py do the same with LAPACK's solutions.
#pragma once

#include <cstdint>
#include <limits>

#include "base/dtype.h"

namespace lamina::runtime {

// Of a float: from there on no digit of a result is right.
constexpr double condition_limit(DType type) {
  return 1 / (type == DType::float64 ? std::numeric_limits<double>::epsilon() : double{std::numeric_limits<float>::epsilon()});
}

constexpr int64_t kProbes = 3;       // columns beside b whose solutions tell how large A^-1 is
constexpr double kProbeMargin = 10;  // how far below the limit an A is that need not be looked at closely

}  // namespace lamina::runtime
