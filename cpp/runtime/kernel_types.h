// What the kernels call the types of tensors.
#pragma once

#include "base/dtype.h"
#include "kernels/table.h"

namespace lamina::runtime {

// Of a float.
constexpr kernels::Precision precision_of(DType type) { return type == DType::float64 ? kernels::kF64 : kernels::kF32; }

constexpr kernels::Stored stored_of(DType type) {
  switch (type) {
    case DType::boolean: return kernels::kBool;
    case DType::int64: return kernels::kInt64;
    case DType::float32: return kernels::kFloat32;
    default: return kernels::kFloat64;
  }
}

}  // namespace lamina::runtime
