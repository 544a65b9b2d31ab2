// Matrix products, C[..., m, n] = A[..., m, k] B[..., k, n] with leading axes that broadcast, and outer products of rows.
#include "graph/build.h"

namespace lamina::graph {

namespace {

Type infer_matmul(const Op& op, const Tensors& inputs, const Attrs&) {
  const Shape &a = inputs[0]->shape(), &b = inputs[1]->shape();
  check(a.size() >= 2 && b.size() >= 2, describe(op, inputs), ": expected two matrices; give a vector an axis of 1 with reshape");
  const Dim &rows = a[a.size() - 2], &inner = b[b.size() - 2];
  const bool turned = a.back() == b.back() || rows == inner;
  const char* remedy = turned ? "transpose one of them" : rows == b.back() ? "swap them" : "make them equal";
  check(a.back() == inner, describe(op, inputs), ": the last axis of the left, ", a.back(),
        ", must equal the next to last of the right, ", inner, "; ", remedy);
  const DType dtype = promote(promote(inputs[0]->dtype(), inputs[1]->dtype()), DType::int64);
  check<TypeError>(is_float(dtype), describe(op, inputs), ": expected floats, got ", name_of(dtype), "; cast first");
  Shape shape = broadcast(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2), "[matmul] leading axes");
  shape.push_back(a[a.size() - 2]);
  shape.push_back(b.back());
  return {dtype, shape};
}

// Whether rows of all leading axes can be counted by one length: B (T-1) is none.
bool stack_has_length(const Shape& shape) {
  size_t free = 0;
  bool shifted = false;
  for (size_t i = 0; i + 1 < shape.size(); ++i)
    if (!shape[i].constant()) {
      ++free;
      shifted = shifted || shape[i].offset != 0;
    }
  return free < 2 || !shifted;
}

// dA = dC B^T and dB = A^T dC. Where one matrix serves a whole stack, its stack of products is one product of tall matrices.
Tensor matmul_grad(const Tensor& y, const Tensor& dy, int i) {
  const Tensor &a = y->inputs[0], &b = y->inputs[1];
  if (i == 0) return matmul(dy, swap_last(b));
  const Shape &as = a->shape(), &ds = dy->shape();
  if (b->shape().size() > 2 || as.size() == 2 || !stack_has_length(as)) return matmul(swap_last(a), dy);
  const Tensor tall_a = reshape(a, {product(as, 0, as.size() - 1), as.back()});
  const Tensor tall_d = reshape(dy, {product(ds, 0, ds.size() - 1), ds.back()});
  return matmul(swap_last(tall_a), tall_d);
}

// ---- Outer products of the rows of matrices, summed over several of them ----

DType infer_rows(const Op& op, const Tensors& inputs, size_t every) {
  check(!inputs.empty() && inputs.size() % every == 0, describe(op, inputs), ": expected ", every == 2 ? "pairs of " : "",
        "matrices, got ", inputs.size());
  DType dtype = inputs[0]->dtype();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = inputs[i]->shape();
    check(shape.size() == 2 && shape == inputs[i % every]->shape() && shape[0] == inputs[0]->shape()[0], describe(op, inputs),
          ": expected matrices of one number of rows, all of one shape", every == 2 ? " on each side" : "");
    dtype = promote(dtype, inputs[i]->dtype());
  }
  check<TypeError>(is_float(dtype), describe(op, inputs), ": expected floats, got ", name_of(dtype), "; cast first");
  return dtype;
}

// Y[b, i, j] = sum over k of A_k[b, i] B_k[b, j], for inputs A_1, B_1, A_2, B_2, ..
Type infer_row_outer(const Op& op, const Tensors& inputs, const Attrs&) {
  const DType dtype = infer_rows(op, inputs, 2);
  const Shape &a = inputs[0]->shape(), &b = inputs[1]->shape();
  return {dtype, {a[0], a[1], b[1]}};
}
Tensor row_outer_grad(const Tensor& y, const Tensor& dy, int i) {
  const Tensor& other = y->inputs[static_cast<size_t>(i ^ 1)];
  const Shape& shape = other->shape();
  const Tensor column = reshape(other, {shape[0], shape[1], Dim(1)});
  const Tensor product = matmul(i % 2 == 0 ? dy : swap_last(dy), column);
  return reshape(product, y->inputs[static_cast<size_t>(i)]->shape());
}

// The upper triangle of the sum over k of A_k[b] A_k[b]^T, row after row: elements (0, 0), (0, 1), .., (1, 1), ..
Type infer_row_outer_upper(const Op& op, const Tensors& inputs, const Attrs&) {
  const DType dtype = infer_rows(op, inputs, 1);
  const Shape& a = inputs[0]->shape();
  check(a[1].constant(), describe(op, inputs), ": expected rows of a known length");
  return {dtype, {a[0], divide(multiply(a[1], add(a[1], Dim(1))), Dim(2), op.name)}};
}

}  // namespace

void register_matmul() {
  register_op({"matmul", Kind::matmul, 2, infer_matmul, matmul_grad});
  register_op({"row_outer", Kind::outer, -1, infer_row_outer, row_outer_grad});
  register_op({"row_outer_upper", Kind::outer, -1, infer_row_outer_upper, kNoGradient});
}

}  // namespace lamina::graph
