// Operations that a function of the host language carries out (LAPACK through NumPy): nodes like any other, with gradient rules.
#pragma once

#include <functional>

#include "graph/node.h"

namespace lamina::graph {

// A dense tensor as the host sees it while a program runs.
struct HostArray {
  char* data;
  DType dtype;
  Sizes sizes;
};

struct Host {
  // Fills `output`, the value of the node, from `inputs`. May throw: the run ends there.
  std::function<void(const Node& node, const std::vector<HostArray>& inputs, HostArray output)> compute;
  // dL/d(input i) from y and dL/dy, or null.
  std::function<Tensor(const Tensor& y, const Tensor& dy, int i)> gradient;
};

// The one host of this process; set once by the bindings.
Host& host();

}  // namespace lamina::graph
