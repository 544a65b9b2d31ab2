#include "graph/host.h"

namespace lamina::graph {

Host& host() {
  static Host* instance = new Host();  // never destroyed: it holds objects of the host language
  return *instance;
}

namespace {

// The maker of the node knows the result's type: attributes `shape` and `dtype`; `name`, and options, are the host's.
Type infer_host(const Op&, const Tensors&, const Attrs& attrs) { return {attrs.get<DType>("dtype"), attrs.get<Shape>("shape")}; }

Tensor host_gradient(const Tensor& y, const Tensor& dy, int i) { return host().gradient ? host().gradient(y, dy, i) : nullptr; }

}  // namespace

void register_host() { register_op({"host", Kind::host, -1, infer_host, host_gradient}); }

}  // namespace lamina::graph
