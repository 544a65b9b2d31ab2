// The element types of tensors. Arithmetic happens in f32 or f64; integers are labels, indices and counters (exact to 2^53).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lamina {

enum class DType : uint8_t { boolean, int64, float32, float64 };

constexpr size_t size_of(DType type) {
  switch (type) {
    case DType::boolean: return 1;
    case DType::float32: return 4;
    default: return 8;
  }
}

constexpr const char* name_of(DType type) {
  switch (type) {
    case DType::boolean: return "bool";
    case DType::int64: return "int64";
    case DType::float32: return "float32";
    default: return "float64";
  }
}

constexpr bool is_float(DType type) { return type == DType::float32 || type == DType::float64; }

// bool < int64 < float32 < float64: the wider of two, where an integer never widens a float.
constexpr DType promote(DType a, DType b) { return a < b ? b : a; }

DType dtype_of(const std::string& name);  // throws TypeError for a name that is none of the four

}  // namespace lamina
