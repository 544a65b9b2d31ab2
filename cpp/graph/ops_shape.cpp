// Operations that rearrange elements and compute nothing. Views look at the same memory in another order; moves copy.
#include <algorithm>

#include "graph/build.h"

namespace lamina::graph {

namespace {

using Ints = std::vector<int64_t>;

const Shape& in_shape(const Tensors& inputs) { return inputs[0]->shape(); }

// ---- Views ----

Type infer_reshape(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Shape& from = in_shape(inputs);
  const Shape& to = attrs.get<Shape>("shape");
  Shape had = from, has = to;  // without the symbolic sizes that both have: (B, B) becomes (B, 1, B)
  for (const Dim& dim : from) {
    const auto left = std::find(had.begin(), had.end(), dim), right = std::find(has.begin(), has.end(), dim);
    if (dim.constant() || right == has.end()) continue;
    had.erase(left);
    has.erase(right);
  }
  const bool same = product(had, 0, had.size()) == product(has, 0, has.size());
  check(same, describe(op, inputs), ": the elements of ", from, " do not fill ", to,
        "; pass a shape of as many elements, with -1 for one length that follows");
  return {inputs[0]->dtype(), to};
}
Tensor reshape_grad(const Tensor& y, const Tensor& dy, int) { return reshape(dy, y->inputs[0]->shape()); }

Type infer_transpose(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Shape& from = in_shape(inputs);
  const Ints& axes = attrs.get<Ints>("axes");
  Ints sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  bool permutation = sorted.size() == from.size();
  for (size_t i = 0; permutation && i < sorted.size(); ++i) permutation = sorted[i] == static_cast<int64_t>(i);
  check(permutation, describe(op, inputs), ": expected each of the ", from.size(), " axes once");
  Shape shape;
  for (int64_t axis : axes) shape.push_back(from[static_cast<size_t>(axis)]);
  return {inputs[0]->dtype(), shape};
}
Tensor transpose_grad(const Tensor& y, const Tensor& dy, int) {
  const Ints& axes = y->attrs.get<Ints>("axes");
  Ints inverse(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) inverse[static_cast<size_t>(axes[i])] = static_cast<int64_t>(i);
  return transpose(dy, inverse);
}

Type infer_broadcast_to(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Shape& to = attrs.get<Shape>("shape");
  check(broadcast(in_shape(inputs), to, "[broadcast_to]") == to, describe(op, inputs), ": does not broadcast to ", to,
        "; keep its axes, and stretch those of length 1");
  return {inputs[0]->dtype(), to};
}
Tensor broadcast_to_grad(const Tensor& y, const Tensor& dy, int) { return sum_to(dy, y->inputs[0]->shape()); }

Dim minus(const Dim& a, const Dim& b) { return add(a, multiply(b, Dim(-1))); }

// start, stop (exclusive) and step along each axis, already inside the axis; stop is -1 where a negative step runs to the front.
Type infer_slice(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Shape& from = in_shape(inputs);
  const Shape &start = attrs.get<Shape>("start"), &stop = attrs.get<Shape>("stop");
  const Ints& step = attrs.get<Ints>("step");
  check(start.size() == from.size() && stop.size() == from.size() && step.size() == from.size(), describe(op, inputs),
        ": expected a slice for each axis");
  Shape shape;
  for (size_t i = 0; i < from.size(); ++i) {
    check(step[i] != 0 && -kMostSize < step[i] && step[i] < kMostSize, describe(op, inputs), ": a step of ", step[i],
          " goes nowhere");
    const Dim span = step[i] > 0 ? minus(stop[i], start[i]) : minus(start[i], stop[i]);
    const int64_t stride = std::abs(step[i]);
    if (span.constant()) {
      shape.push_back(Dim(std::max<int64_t>(0, (span.offset + stride - 1) / stride)));
    } else {
      check(stride == 1, describe(op, inputs), ": axis ", i, " has the symbolic size ", from[i],
            "; only steps of 1 and -1 are known there");
      shape.push_back(span);
    }
  }
  return {inputs[0]->dtype(), shape};
}
// Zeros, with dy laid where the slice was taken from.
Tensor slice_grad(const Tensor& y, const Tensor& dy, int) {
  const Shape& from = y->inputs[0]->shape();
  const Shape& start = y->attrs.get<Shape>("start");
  const Ints& step = y->attrs.get<Ints>("step");
  Shape low, high, flip_start, flip_stop;
  Ints interior, flip_step;
  bool flip = false;
  for (size_t i = 0; i < from.size(); ++i) {
    const Dim& n = y->shape()[i];
    const Dim span = n == Dim(0) ? Dim(0) : multiply(minus(n, Dim(1)), Dim(step[i]));
    const bool back = step[i] < 0;
    const Dim first = back ? add(start[i], span) : start[i];
    const Dim last = back ? start[i] : add(start[i], span);
    flip = flip || back;
    low.push_back(n == Dim(0) ? from[i] : first);
    high.push_back(n == Dim(0) ? Dim(0) : minus(minus(from[i], Dim(1)), last));
    interior.push_back(std::abs(step[i]) - 1);
    flip_start.push_back(back ? minus(n, Dim(1)) : Dim(0));
    flip_stop.push_back(back ? Dim(-1) : n);
    flip_step.push_back(back ? -1 : 1);
  }
  const Tensor ordered = flip ? make("slice", {dy}, {{"start", flip_start}, {"stop", flip_stop}, {"step", flip_step}}) : dy;
  return make("pad", {ordered}, {{"low", low}, {"high", high}, {"interior", interior}});
}

// ---- Moves ----

// Zeros before, after and between the elements of each axis.
Type infer_pad(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Shape& from = in_shape(inputs);
  const Shape &low = attrs.get<Shape>("low"), &high = attrs.get<Shape>("high");
  const Ints& interior = attrs.get<Ints>("interior");
  check(low.size() == from.size() && high.size() == from.size() && interior.size() == from.size(), describe(op, inputs),
        ": expected a width for each axis");
  Shape shape;
  for (size_t i = 0; i < from.size(); ++i) {
    check(interior[i] >= 0 && interior[i] < kMostSize, describe(op, inputs), ": expected a width of 0 or more, got ", interior[i]);
    const Dim between = from[i] == Dim(0) ? Dim(0) : multiply(minus(from[i], Dim(1)), Dim(interior[i]));
    shape.push_back(add(add(low[i], high[i]), add(from[i], between)));
  }
  return {inputs[0]->dtype(), shape};
}
Tensor pad_grad(const Tensor& y, const Tensor& dy, int) {
  const Shape& from = y->inputs[0]->shape();
  const Shape& low = y->attrs.get<Shape>("low");
  Shape stop;
  Ints step;
  for (size_t i = 0; i < from.size(); ++i) {
    step.push_back(y->attrs.get<Ints>("interior")[i] + 1);
    stop.push_back(from[i] == Dim(0) ? low[i] : add(add(low[i], multiply(minus(from[i], Dim(1)), Dim(step[i]))), Dim(1)));
  }
  return make("slice", {dy}, {{"start", low}, {"stop", stop}, {"step", step}});
}

Type infer_concatenate(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  check(!inputs.empty(), "[concatenate] expected at least one tensor");
  Type type = inputs[0]->type;
  const auto axis = static_cast<size_t>(attrs.get<int64_t>("axis"));
  check(axis < type.shape.size(), describe(op, inputs), ": there is no axis ", axis);
  for (size_t k = 1; k < inputs.size(); ++k) {
    const Shape& next = inputs[k]->shape();
    bool fits = next.size() == type.shape.size();
    for (size_t i = 0; fits && i < next.size(); ++i) fits = i == axis || next[i] == type.shape[i];
    check(fits, describe(op, inputs), ": all axes but axis ", axis, " must be equal; reshape them, or pass another axis");
    type.shape[axis] = add(type.shape[axis], next[axis]);
    type.dtype = promote(type.dtype, inputs[k]->dtype());
  }
  return type;
}
Tensor concatenate_grad(const Tensor& y, const Tensor& dy, int i) {
  const auto axis = static_cast<size_t>(y->attrs.get<int64_t>("axis"));
  Shape start(y->shape().size(), Dim(0)), stop = y->shape();
  for (int k = 0; k < i; ++k) start[axis] = add(start[axis], y->inputs[static_cast<size_t>(k)]->shape()[axis]);
  stop[axis] = add(start[axis], y->inputs[static_cast<size_t>(i)]->shape()[axis]);
  return make("slice", {dy}, {{"start", start}, {"stop", stop}, {"step", Ints(start.size(), 1)}});
}

// Whether negative indices count from the end of the axis; else they are none.
bool counts_from_end(const Tensor& y) { return y->attrs.get<bool>("from_end", true); }

// y[.., i.., ..] = x[.., indices[i..], ..]
Type infer_take(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Shape &x = inputs[0]->shape(), &indices = inputs[1]->shape();
  check<TypeError>(inputs[1]->dtype() == DType::int64, describe(op, inputs), ": expected int64 indices, got ",
                   name_of(inputs[1]->dtype()));
  const auto axis = static_cast<size_t>(attrs.get<int64_t>("axis"));
  check(axis < x.size(), describe(op, inputs), ": there is no axis ", axis);
  Shape shape(x.begin(), x.begin() + static_cast<ptrdiff_t>(axis));
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), x.begin() + static_cast<ptrdiff_t>(axis) + 1, x.end());
  return {inputs[0]->dtype(), shape};
}
Tensor take_grad(const Tensor& y, const Tensor& dy, int i) {
  if (i == 1) return nullptr;
  const int64_t axis = y->attrs.get<int64_t>("axis");
  const Dim& size = y->inputs[0]->shape()[static_cast<size_t>(axis)];
  return make("scatter_add", {y->inputs[1], dy}, {{"axis", axis}, {"size", Shape{size}}, {"from_end", counts_from_end(y)}});
}

// Zeros of `size` along the axis, with the slices of `updates` added where the indices say.
Type infer_scatter_add(const Op& op, const Tensors& inputs, const Attrs& attrs) {
  const Shape &indices = inputs[0]->shape(), &updates = inputs[1]->shape();
  const auto axis = static_cast<size_t>(attrs.get<int64_t>("axis"));
  check<TypeError>(inputs[0]->dtype() == DType::int64, describe(op, inputs), ": expected int64 indices");
  check<TypeError>(inputs[1]->dtype() != DType::boolean, describe(op, inputs), ": expected numbers to add, got bool");
  check(attrs.get<Shape>("size").size() == 1, describe(op, inputs), ": expected one size");
  bool fits = axis <= updates.size() && updates.size() - axis >= indices.size();
  for (size_t i = 0; fits && i < indices.size(); ++i) fits = updates[axis + i] == indices[i];
  check(fits, describe(op, inputs), ": the updates' axes from ", axis, " on must be those of the indices");
  Shape shape(updates.begin(), updates.begin() + static_cast<ptrdiff_t>(axis));
  shape.push_back(attrs.get<Shape>("size")[0]);
  shape.insert(shape.end(), updates.begin() + static_cast<ptrdiff_t>(axis + indices.size()), updates.end());
  return {inputs[1]->dtype(), shape};
}
Tensor scatter_add_grad(const Tensor& y, const Tensor& dy, int i) {
  if (i == 0) return nullptr;
  return make("take", {dy, y->inputs[0]}, {{"axis", y->attrs.get<int64_t>("axis")}, {"from_end", counts_from_end(y)}});
}

}  // namespace

void register_shape_ops() {
  register_op({"contiguous", Kind::move, 1, [](const Op&, const Tensors& in, const Attrs&) { return in[0]->type; },
               [](const Tensor&, const Tensor& dy, int) { return dy; }});  // the same elements, one after the other
  register_op({"reshape", Kind::view, 1, infer_reshape, reshape_grad});
  register_op({"transpose", Kind::view, 1, infer_transpose, transpose_grad});
  register_op({"broadcast_to", Kind::view, 1, infer_broadcast_to, broadcast_to_grad});
  register_op({"slice", Kind::view, 1, infer_slice, slice_grad});
  register_op({"pad", Kind::move, 1, infer_pad, pad_grad});
  register_op({"concatenate", Kind::move, -1, infer_concatenate, concatenate_grad});
  register_op({"take", Kind::move, 2, infer_take, take_grad});
  register_op({"scatter_add", Kind::move, 2, infer_scatter_add, scatter_add_grad});
}

}  // namespace lamina::graph
