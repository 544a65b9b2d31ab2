// Rows of a user's array, gathered into the dense inputs of a program: any layout, any number type, nothing copied but the batch.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/shape.h"

namespace lamina::runtime {

enum class Source : uint8_t { boolean, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float16, float32, float64 };

struct Rows {
  const char* data;
  Source type;
  Sizes sizes;         // (rows, ...)
  Sizes byte_strides;  // may be anything, negative and zero included

  // Where rows [first, ..) already lie as the program wants them, in place; otherwise null.
  const void* in_place(DType type, int64_t first) const;
};

// Rows order[0], order[1], .. of an array, or without an order first, first + 1, ..
struct Which {
  const int64_t* order = nullptr;
  int64_t known = 0;  // numbers in the order: those behind the ones that are gathered will be wanted next
  int64_t first = 0;

  int64_t row(int64_t i) const { return order ? order[i] : first + i; }
};

// to[i, ..] = rows[which.row(i), ..], converted, for i of 0 to count - 1.
void gather_rows(void* to, DType type, const Rows& rows, const Which& which, int64_t count);

}  // namespace lamina::runtime
