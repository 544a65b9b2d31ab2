// The vocabulary in which gradient rules and passes write math. Each function makes one node (or none, where the result is known:
// x * 1, x + 0), checked like a user's own. Only literals are left out in this way, never other nodes: their gradient may be asked for.
#pragma once

#include "graph/node.h"

namespace lamina::graph {

Tensor fill(Shape shape, double value, DType dtype);  // a literal
Tensor scalar_like(const Tensor& x, double value);    // 0-d, of x's dtype
bool is_fill(const Tensor& x, double value);

Tensor unary(const char* op, const Tensor& x);
Tensor binary(const char* op, const Tensor& a, const Tensor& b);
Tensor neg(const Tensor& x);
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& x, double factor);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor cast(const Tensor& x, DType dtype);

Tensor reduce(const char* op, const Tensor& x, std::vector<int64_t> axes, bool keepdims);
Tensor sum_to(const Tensor& x, const Shape& shape);  // undoes a broadcast: sums what was repeated

Tensor matmul(const Tensor& a, const Tensor& b);
std::vector<int64_t> swapped_last(size_t rank);  // the axes in their order, but for the last two
Tensor swap_last(const Tensor& x);               // transposes these
Tensor reshape(const Tensor& x, Shape shape);
Tensor transpose(const Tensor& x, std::vector<int64_t> axes);
Tensor broadcast_to(const Tensor& x, Shape shape);

// The activations that nodes can have, and the parameters of one where none are given.
std::vector<std::string> activation_names();
std::vector<double> activation_defaults(const std::string& name);

// NumPy's rule; `where` starts the error.
Shape broadcast(const Shape& a, const Shape& b, const std::string& where);
template <class Where>
int64_t normalize_axis(int64_t axis, size_t rank, const Where& where) {
  const auto n = static_cast<int64_t>(rank);
  check(axis >= -n && axis < n, where, " axis ", axis, " is not among the ", n, " axes");
  return axis < 0 ? axis + n : axis;
}

}  // namespace lamina::graph
