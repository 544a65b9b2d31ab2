// C[..., m, n] = A[..., m, k] B[..., k, n]; leading axes broadcast.
#include "graph/build.h"

namespace lamina::graph {

namespace {

Type infer_matmul(const Op& op, const Tensors& inputs, const Attrs&) {
  const Shape &a = inputs[0]->shape(), &b = inputs[1]->shape();
  check(a.size() >= 2 && b.size() >= 2, describe(op, inputs), ": expected two matrices; give a vector an axis of 1 with reshape");
  check(a.back() == b[b.size() - 2], describe(op, inputs), ": the last axis of the left, ", to_string(a.back()),
        ", must equal the next to last of the right, ", to_string(b[b.size() - 2]));
  const DType dtype = promote(promote(inputs[0]->dtype(), inputs[1]->dtype()), DType::int64);
  check<TypeError>(is_float(dtype), describe(op, inputs), ": expected floats, got ", name_of(dtype), "; cast first");
  Shape shape = broadcast(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2), "[matmul] leading axes");
  shape.push_back(a[a.size() - 2]);
  shape.push_back(b.back());
  return {dtype, shape};
}

// dA = dC B^T and dB = A^T dC. Where one matrix serves a whole stack, its stack of products is one product of tall matrices.
Tensor matmul_grad(const Tensor& y, const Tensor& dy, int i) {
  const Tensor &a = y->inputs[0], &b = y->inputs[1];
  if (i == 0) return matmul(dy, swap_last(b));
  if (b->shape().size() > 2 || a->shape().size() == 2) return matmul(swap_last(a), dy);
  const Shape &as = a->shape(), &ds = dy->shape();
  const Tensor tall_a = reshape(a, {product(as, 0, as.size() - 1), as.back()});
  const Tensor tall_d = reshape(dy, {product(ds, 0, ds.size() - 1), ds.back()});
  return matmul(swap_last(tall_a), tall_d);
}

}  // namespace

void register_matmul() { register_op({"matmul", Kind::matmul, 2, infer_matmul, matmul_grad}); }

}  // namespace lamina::graph
