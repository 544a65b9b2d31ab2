#include "runtime/strided_copy.h"

#include <cstring>

#include "runtime/kernel_types.h"

namespace lamina::runtime {

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
  length_ = sizes.back();
  lines_ = length_ == 0 ? 0 : count(sizes) / length_;
  convert_ = kernels.convert[stored_of(from.dtype)][stored_of(to.dtype)];
}

namespace {

template <class T>
void copy_line(char* to, int64_t to_step, const char* from, int64_t from_step, int64_t n) {
  T* out = reinterpret_cast<T*>(to);
  const T* in = reinterpret_cast<const T*>(from);
  for (int64_t i = 0; i < n; ++i) out[i * to_step] = in[i * from_step];
}

}  // namespace

void StridedCopy::run(const Run& run, int64_t first, int64_t last) const {
  const size_t to_size = size_of(to_.dtype), from_size = size_of(from_.dtype);
  const size_t inner = to_.sizes.size() - 1;
  const int64_t to_step = to_.strides[inner], from_step = from_.strides[inner];
  for (int64_t line = first; line < last; ++line) {
    int64_t rest = line, to_at = to_.offset, from_at = from_.offset;
    for (size_t axis = inner; axis-- > 0;) {
      const int64_t index = rest % to_.sizes[axis];
      rest /= to_.sizes[axis];
      to_at += index * to_.strides[axis];
      from_at += index * from_.strides[axis];
    }
    char* out = run.at(to_.buffer) + to_at * static_cast<int64_t>(to_size);
    const char* in = run.at(from_.buffer) + from_at * static_cast<int64_t>(from_size);
    if (to_.dtype == from_.dtype) {
      if (to_step == 1 && from_step == 1)
        std::memcpy(out, in, static_cast<size_t>(length_) * to_size);
      else if (to_size == 1)
        copy_line<uint8_t>(out, to_step, in, from_step, length_);
      else if (to_size == 4)
        copy_line<uint32_t>(out, to_step, in, from_step, length_);
      else
        copy_line<uint64_t>(out, to_step, in, from_step, length_);
      continue;
    }
    // Converted: the axis stands upright where it is not dense on both sides.
    kernels::TileArgs args;
    args.out = out;
    args.in[0].data = in;
    const bool dense = to_step == 1 && (from_step == 1 || from_step == 0);
    args.rows = dense ? 1 : length_;
    args.cols = dense ? length_ : 1;
    args.out_row = to_step;
    args.in[0].row = from_step;
    args.in[0].col = dense ? from_step : 0;
    convert_(args);
  }
}

}  // namespace lamina::runtime
