// A list of types, which is a registry: kernels, operations and tests iterate over it.
#pragma once

namespace lamina {

template <class... Ts>
struct List {};

}  // namespace lamina
