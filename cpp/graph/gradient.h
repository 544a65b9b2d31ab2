// Reverse-mode differentiation: the chain rule appends ordinary nodes, which can be printed, fused and differentiated again.
#pragma once

#include "graph/node.h"

namespace lamina::graph {

// dL/dx for each x, where L has shape () or `seed` gives dL/dy in y's shape. Null where y does not depend on x through
// differentiable operations.
Tensors gradients(const Tensor& y, const Tensors& xs, Tensor seed = nullptr);

}  // namespace lamina::graph
