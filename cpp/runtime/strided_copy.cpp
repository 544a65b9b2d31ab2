#include "runtime/strided_copy.h"

#include <algorithm>
#include <utility>

#include "runtime/kernel_types.h"
#include "runtime/short_lines.h"
#include "runtime/words.h"

namespace lamina::runtime {

namespace {

constexpr int64_t kFewestTransposed = 4;  // on each side: fewer are sooner copied one by one

template <class Word>
void copy_line(char* __restrict to, int64_t to_step, const char* __restrict from, int64_t from_step, int64_t n) {
  constexpr int64_t kBytes = sizeof(Word);
  if (to_step == 1 && from_step == 0) {
    const Word word = load_word<Word>(from);
    for (int64_t i = 0; i < n; ++i) store_word(to + i * kBytes, word);
  } else if (to_step == 1 && from_step == -1) {
    for (int64_t i = 0; i < n; ++i) store_word(to + i * kBytes, load_word<Word>(from - i * kBytes));
  } else {
    for (int64_t i = 0; i < n; ++i) store_word(to + i * to_step * kBytes, load_word<Word>(from + i * from_step * kBytes));
  }
}

}  // namespace

void StridedCopy::bind(const Strided& to, const Strided& from, const kernels::Table& kernels) {
  to_ = to;
  from_ = from.broadcast(to.sizes);
  const double elements = static_cast<double>(count(to.sizes));
  bytes_ = elements * static_cast<double>(size_of(to.dtype) + size_of(from.dtype));
  Sizes sizes = to.sizes;
  collapse(sizes, {&to_.strides, &from_.strides}, 0);
  if (sizes.empty()) {
    sizes = {1};
    to_.strides = from_.strides = {1};
  }
  to_.sizes = from_.sizes = sizes;
  choose_transpose(kernels);
  length_ = to_.sizes.back();
  lines_ = length_ == 0 ? 0 : count(to_.sizes) / length_;
  rows_ = to_.sizes.size() < 2 ? 1 : to_.sizes.end()[-2];
  convert_ = kernels.convert[stored_of(from.dtype)][stored_of(to.dtype)];
}

// Where lines of `to` are columns of `from`, its lines become the rows of a plane, whichever axis they are.
void StridedCopy::choose_transpose(const kernels::Table& kernels) {
  transpose_ = nullptr;
  const size_t element = size_of(to_.dtype), inner = to_.sizes.size() - 1;
  if (to_.dtype != from_.dtype || element < 4 || to_.strides[inner] != 1 || from_.strides[inner] <= 1) return;
  if (to_.sizes[inner] < kFewestTransposed) return;
  for (size_t axis = 0; axis < inner; ++axis) {
    if (from_.strides[axis] != 1 || to_.sizes[axis] < kFewestTransposed) continue;
    for (Sizes* s : {&to_.sizes, &from_.sizes, &to_.strides, &from_.strides}) std::swap((*s)[axis], (*s)[inner - 1]);
    transpose_ = kernels.gemm[element == 4 ? kernels::kF32 : kernels::kF64].transpose;
    return;
  }
}

void StridedCopy::run(const Run& run, int64_t first, int64_t last) const {
  const auto to_size = static_cast<int64_t>(size_of(to_.dtype)), from_size = static_cast<int64_t>(size_of(from_.dtype));
  const size_t outer = to_.sizes.size() < 2 ? 0 : to_.sizes.size() - 2;
  Plane plane{};
  if (to_.sizes.size() > 1) {
    plane.to_row = to_.strides[outer] * to_size;
    plane.from_row = from_.strides[outer] * from_size;
  }
  for (int64_t line = first; line < last; line += plane.rows) {
    int64_t rest = line / rows_, to_at = to_.offset, from_at = from_.offset;
    for (size_t axis = outer; axis-- > 0;) {
      const int64_t index = rest % to_.sizes[axis];
      rest /= to_.sizes[axis];
      to_at += index * to_.strides[axis];
      from_at += index * from_.strides[axis];
    }
    const int64_t row = line % rows_;
    plane.to = run.at(to_.buffer) + to_at * to_size + row * plane.to_row;
    plane.from = run.at(from_.buffer) + from_at * from_size + row * plane.from_row;
    plane.rows = std::min(rows_ - row, last - line);
    to_.dtype == from_.dtype ? copy(plane) : convert(plane);
  }
}

void StridedCopy::copy(const Plane& plane) const {
  const auto element = static_cast<int64_t>(size_of(to_.dtype));
  const int64_t to_step = to_.strides.back(), from_step = from_.strides.back();
  if (transpose_) return transpose_(plane.to, plane.to_row / element, plane.from, from_step, length_, plane.rows);
  const auto each = [&plane](auto line) {
    char* to = plane.to;
    const char* from = plane.from;
    for (int64_t r = 0; r < plane.rows; ++r, to += plane.to_row, from += plane.from_row) line(to, from);
  };
  const auto by_steps = [&](auto type) {
    each([&](char* to, const char* from) { copy_line<decltype(type)>(to, to_step, from, from_step, length_); });
  };
  if (to_step == 1 && from_step == 1) return with_lines(static_cast<size_t>(length_ * element), each);
  element == 1 ? by_steps(uint8_t()) : element == 4 ? by_steps(uint32_t()) : by_steps(uint64_t());
}

// An axis that is not dense on both sides stands upright.
void StridedCopy::convert(const Plane& plane) const {
  const int64_t to_step = to_.strides.back(), from_step = from_.strides.back();
  const bool dense = to_step == 1 && (from_step == 1 || from_step == 0);
  const int64_t rows = dense ? 1 : length_, cols = dense ? length_ : 1, col = dense ? from_step : 0;
  for (int64_t r = 0; r < plane.rows; ++r)
    convert_(kernels::TileArgs::of_one(plane.to + r * plane.to_row, to_step, {plane.from + r * plane.from_row, from_step, col},
                                       rows, cols));
}

}  // namespace lamina::runtime
