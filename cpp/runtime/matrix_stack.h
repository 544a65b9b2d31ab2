// Stacks of matrices in arrays, and what is done with each of them.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <type_traits>

#include "graph/host.h"
#include "runtime/conditions.h"

namespace lamina::runtime {

// A stack of matrices in an array.
class MatrixStack {
 public:
  explicit MatrixStack(const graph::HostArray& array) : MatrixStack(array, 2) {}
  // A number for each matrix.
  static MatrixStack of_numbers(const graph::HostArray& array) { return {array, 0}; }

  // Matrix `index` in rows of `row` numbers; whether all are finite.
  bool read(int64_t index, double* to, int64_t row) const {
    return all(index, [&](auto& number, int64_t i, int64_t j) { return std::isfinite(to[i * row + j] = number); });
  }

  // The same back, rounded; whether all are finite then.
  bool write(int64_t index, const double* from, int64_t row) const {
    return all(index, [&](auto& number, int64_t i, int64_t j) {
      return std::isfinite(number = static_cast<std::decay_t<decltype(number)>>(from[i * row + j]));
    });
  }

  double limit() const { return condition_limit(array_.dtype); }

  bool is_finite(int64_t index) const {
    return all(index, [](auto& number, int64_t, int64_t) { return std::isfinite(number); });
  }

  // f(matrix `index`'s first number)
  template <class F>
  bool with(int64_t index, const F& f) const {
    const int64_t first = index * rows * columns;
    return array_.dtype == DType::float64 ? f(reinterpret_cast<double*>(array_.data) + first)
                                          : f(reinterpret_cast<float*>(array_.data) + first);
  }

  int64_t rows = 1, columns = 1, count;

 private:
  MatrixStack(const graph::HostArray& array, std::ptrdiff_t axes) : array_(array) {
    if (axes == 2) rows = array.sizes.end()[-2], columns = array.sizes.end()[-1];
    count = lamina::count(Sizes(array.sizes.begin(), array.sizes.end() - axes));
  }

  template <class F>
  bool all(int64_t index, const F& f) const {
    return with(index, [&](auto* numbers) {
      bool held = true;
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) held &= f(numbers[i * columns + j], i, j);
      return held;
    });
  }

  const graph::HostArray& array_;
};

// Whether f(index, room) holds for all matrices, each of which is tried, in so many multiply-adds; `room`: for so many numbers. Threads
// share them.
bool for_all(int64_t matrices, int64_t numbers, double work, const std::function<bool(int64_t, double*)>& f);

}  // namespace lamina::runtime
