// The forms that the runtime knows, made of those that a user may write.
#include <algorithm>

#include "graph/build.h"
#include "graph/reduce_form.h"
#include "graph/rewrite.h"

namespace lamina::graph {

namespace {

// Whether the elements lie one after the other in memory, whatever the batch size.
bool is_dense(const Tensor& tensor) {
  const Node* x = tensor.get();
  while (x->is("slice")) {  // of whole rows that follow each other, of something dense
    const Shape &from = x->inputs[0]->shape(), &start = x->attrs.get<Shape>("start");
    const auto& step = x->attrs.get<std::vector<int64_t>>("step");
    if (!step.empty() && step[0] != 1) return false;
    for (size_t i = 1; i < from.size(); ++i)
      if (step[i] != 1 || start[i] != Dim(0) || x->shape()[i] != from[i]) return false;
    x = x->inputs[0].get();
  }
  if (x->op->kind == Kind::view) return x->is("reshape");  // which is of something dense: see dense()
  return !x->is("fill") && !x->is("size");
}

Tensor dense(const Tensor& x) { return is_dense(x) ? x : unary("contiguous", x); }

// Reduces the axes first..last of x, which are gone from the result.
Tensor reduce_run(const char* op, const Tensor& x, size_t first, size_t last) {
  const Shape& s = x->shape();
  const size_t rank = s.size();
  const auto axes = [](size_t from, size_t to) {
    std::vector<int64_t> list;
    for (size_t i = from; i <= to; ++i) list.push_back(static_cast<int64_t>(i));
    return list;
  };
  const ReduceForm form = reduce_form(rank, first, last);
  const bool middle = form == ReduceForm::middle;
  if (!middle && form != ReduceForm::other) return reduce(op, x, axes(first, last), false);
  if (!middle && std::count_if(s.begin(), s.end(), [](const Dim& d) { return !d.constant(); }) > 1) {
    // Axes whose product has no name cannot become one: the last of the run becomes a row, the others follow.
    std::vector<int64_t> order = axes(0, rank - 1);
    std::rotate(order.begin() + static_cast<ptrdiff_t>(last), order.begin() + static_cast<ptrdiff_t>(last) + 1, order.end());
    const Tensor rows = reduce(op, transpose(x, order), axes(rank - 1, rank - 1), false);
    return first == last ? rows : reduce_run(op, rows, first, last - 1);
  }
  Shape rest(s.begin(), s.begin() + static_cast<ptrdiff_t>(first));
  rest.insert(rest.end(), s.begin() + static_cast<ptrdiff_t>(last) + 1, s.end());
  const Dim run = product(s, first, last + 1);
  if (last + 1 == rank) {
    Shape shape(s.begin(), s.begin() + static_cast<ptrdiff_t>(first));
    shape.push_back(run);
    return reduce(op, reshape(dense(x), shape), {static_cast<int64_t>(first)}, false);
  }
  if (!is_float(x->dtype())) return reduce_run(op, cast(x, DType::float64), first, last);
  const Dim after = product(s, last + 1, rank);
  const Tensor whole = dense(x);
  if (first == 0) return reshape(reduce(op, reshape(whole, {run, after}), {0}, false), rest);
  return reshape(reduce(op, reshape(whole, {product(s, 0, first), run, after}), {1}, false), rest);
}

// A cast that changes more than the width, in arithmetic: to bool by comparing, to an integer by rounding toward zero.
Tensor legal_cast(const Node& node, const Tensor& x) {
  if (node.dtype() == DType::boolean) return binary("ne", x, scalar_like(x, 0));
  if (node.dtype() == DType::int64 && is_float(x->dtype()))
    return cast(mul(unary("sign", x), unary("floor", unary("abs", x))), node.dtype());
  return nullptr;
}

// Products and joins calculate in one type.
Tensor legal_types(const Node& node, Tensors in) {
  for (Tensor& x : in) x = cast(x, node.dtype());
  return rebuild(node, std::move(in));
}

// One reduction for each run of neighbouring axes.
Tensor legal_reduce(const Node& node, Tensor x) {
  const size_t rank = x->shape().size();
  std::vector<bool> gone(rank, false);
  for (int64_t axis : node.attrs.get<std::vector<int64_t>>("axes")) {
    const auto i = static_cast<size_t>(normalize_axis(axis, rank, ""));
    gone[i] = x->shape()[i] != Dim(1);  // the sum, and the largest, of one is that one
  }
  size_t end = rank;
  while (end > 0) {  // the last run first, so that axes in front keep their numbers
    if (!gone[end - 1]) {
      --end;
      continue;
    }
    size_t first = end - 1;
    while (first > 0 && gone[first - 1]) --first;
    x = reduce_run(node.op->name.c_str(), x, first, end - 1);
    end = first;
  }
  return reshape(dense(cast(x, node.dtype())), node.shape());
}

Tensor legal_node(const Node& node, const Tensors& in) {
  if (node.is("matmul") || node.is("concatenate")) return legal_types(node, in);
  if (node.is("cast")) return legal_cast(node, in[0]);
  if (node.is("reshape")) return rebuild(node, {dense(in[0])});
  if (node.op->kind == Kind::outer) {
    Tensors inputs;
    for (const Tensor& x : in) inputs.push_back(dense(cast(x, node.dtype())));
    return rebuild(node, std::move(inputs));
  }
  if (node.is("take") || node.is("scatter_add")) return rebuild(node, {dense(in[0]), dense(in[1])});
  if (node.is("host")) {
    Tensors inputs;
    for (const Tensor& x : in) inputs.push_back(dense(x));
    return rebuild(node, std::move(inputs));
  }
  // What a variable takes must not itself change while variables are written: two that swap their values, a view of the variable.
  if ((node.is("assign") || node.is("rule_update")) && memory_of(in[1].get())->is("variable")) {
    Tensors inputs = in;
    inputs[1] = unary("contiguous", in[1]);
    return rebuild(node, std::move(inputs));
  }
  return node.op->kind == Kind::reduce ? legal_reduce(node, in[0]) : nullptr;
}

}  // namespace

Roots legalize(Roots roots) { return rewrite(roots, legal_node); }

}  // namespace lamina::graph
