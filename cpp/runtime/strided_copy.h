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
  Strided to_, from_;
  int64_t lines_ = 0, length_ = 0;
  double bytes_ = 0;
  kernels::TileFn convert_ = nullptr;
};

}  // namespace lamina::runtime
