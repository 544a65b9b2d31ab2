// How a pass works: it names for each node what stands in its place, from the sources up.
#pragma once

#include <functional>

#include "graph/passes.h"

namespace lamina::graph {

// What stands in place of a node whose inputs are these now; null leaves it as it is.
using Rule = std::function<Tensor(const Node& node, const Tensors& inputs)>;

// The node itself where no input changed, its like on the new inputs otherwise.
Tensor rebuild(const Node& node, Tensors inputs);

// What stays as it is costs next to nothing.
Roots rewrite(const Roots& roots, const Rule& rule);

}  // namespace lamina::graph
