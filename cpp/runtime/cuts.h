// How sizes are cut into parts.
#pragma once

#include <cstdint>

namespace lamina::runtime {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// How many rows one partial sum takes at most, where so many are summed: the same in all steps of a batch, which can be cut alike.
int64_t chunk_of_rows(int64_t rows);

}  // namespace lamina::runtime
