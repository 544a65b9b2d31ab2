// Where the elements of a tensor lie, once the batch size is known.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace lamina::runtime {

// Element (i, j, ..) is at offset + i * strides[0] + j * strides[1] + ..  of the buffer, counted in elements.
struct Strided {
  int buffer = -1;
  DType dtype = DType::float32;
  int64_t offset = 0;
  Sizes sizes, strides;

  static Strided dense(int buffer, DType dtype, const Sizes& sizes) { return {buffer, dtype, 0, sizes, dense_strides(sizes)}; }

  // The same elements seen in a larger shape: missing and repeated axes get the stride 0.
  Strided broadcast(const Sizes& to) const {
    Strided out{buffer, dtype, offset, to, Sizes(to.size(), 0)};
    const size_t lead = to.size() - sizes.size();
    for (size_t i = 0; i < sizes.size(); ++i)
      if (sizes[i] != 1) out.strides[lead + i] = strides[i];
    return out;
  }
};

// Merges neighbouring axes that every operand walks as one, and drops axes of 1. `strides[k]` are operand k's; at least
// `keep_last` axes at the end stay apart (1: the columns of a row program).
inline void collapse(Sizes& sizes, std::vector<Sizes*> strides, size_t keep_last) {
  const auto erase = [&](size_t axis) {
    sizes.erase(sizes.begin() + static_cast<ptrdiff_t>(axis));
    for (Sizes* s : strides) s->erase(s->begin() + static_cast<ptrdiff_t>(axis));
  };
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes.size() - i <= keep_last) continue;
    if (sizes[i] == 1) {
      erase(i);
      continue;
    }
    if (i + 1 >= sizes.size() || sizes.size() - (i + 1) <= keep_last) continue;
    const bool merge =
        std::all_of(strides.begin(), strides.end(), [&](const Sizes* s) { return (*s)[i] == (*s)[i + 1] * sizes[i + 1]; });
    if (!merge) continue;
    const int64_t total = sizes[i] * sizes[i + 1];
    for (Sizes* s : strides) (*s)[i] = (*s)[i + 1];
    sizes[i] = total;
    erase(i + 1);
  }
}

}  // namespace lamina::runtime
