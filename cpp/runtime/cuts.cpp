#include "runtime/cuts.h"

#include <algorithm>

namespace lamina::runtime {

namespace {

constexpr int64_t kChunkRows = 32;  // rows of a partial sum, about: so few that a small batch has work for several threads

}  // namespace

int64_t chunk_of_rows(int64_t rows) {
  const int64_t chunks = rows >= 3 * kChunkRows ? 4 * ceil_div(rows, 4 * kChunkRows) : rows >= kChunkRows * 3 / 2 ? 2 : 1;
  return std::max<int64_t>(ceil_div(rows, chunks), 1);
}

}  // namespace lamina::runtime
