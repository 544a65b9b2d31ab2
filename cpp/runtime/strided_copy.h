// to[i, j, ..] = from[i, j, ..], whatever their strides and types.
#pragma once

#include "runtime/step.h"

namespace lamina::runtime {

class StridedCopy {
 public:
  // `from` is broadcast to the sizes of `to`.
  void bind(const Strided& to, const Strided& from, const kernels::Table& kernels);
  // Runs [first, last) of lines(), each one innermost axis.
  void run(const Run& run, int64_t first, int64_t last) const;
  int64_t lines() const { return lines_; }
  double bytes() const { return bytes_; }

 private:
  // The lines of the two innermost axes, or some of them: where each begins, in bytes, and how many.
  struct Plane {
    char* to;
    const char* from;
    int64_t to_row, from_row, rows;
  };

  void choose_transpose(const kernels::Table& kernels);
  void copy(const Plane& plane) const;
  void convert(const Plane& plane) const;

  Strided to_, from_;
  int64_t lines_ = 0, length_ = 0, rows_ = 1;  // elements of a line, lines of a plane
  double bytes_ = 0;
  kernels::TileFn convert_ = nullptr;
  void (*transpose_)(void* dst, ptrdiff_t dst_row, const void* src, ptrdiff_t src_row, ptrdiff_t rows, ptrdiff_t cols) = nullptr;
};

}  // namespace lamina::runtime
