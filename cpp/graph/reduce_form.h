// The reductions that the runtime has. legalize() (pass_legalize.cpp) makes all others of them.
#pragma once

#include "graph/node.h"

namespace lamina::graph {

enum class ReduceForm {
  all,       // to one number
  last,      // along the last axis: to one number for each row
  but_last,  // over all axes but the last: to one for each column
  middle,    // over the middle one of three axes, of floats that lie dense
  other,
};

// Over the axes first..last of `rank`.
constexpr ReduceForm reduce_form(size_t rank, size_t first, size_t last) {
  const size_t behind = rank - 1 - last;
  if (first == 0 && behind == 0) return ReduceForm::all;
  if (first == last && behind == 0) return ReduceForm::last;
  if (first == 0 && behind == 1) return ReduceForm::but_last;
  return rank == 3 && first == 1 && last == 1 ? ReduceForm::middle : ReduceForm::other;
}

// Of a legal node: its axes follow each other.
inline ReduceForm reduce_form(const Node& node) {
  const auto& axes = node.attrs.get<std::vector<int64_t>>("axes");
  return reduce_form(node.inputs[0]->shape().size(), static_cast<size_t>(axes.front()), static_cast<size_t>(axes.back()));
}

}  // namespace lamina::graph
