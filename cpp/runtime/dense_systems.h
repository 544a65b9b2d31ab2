// The core's own way to what the host computes of matrices: of small ones, for which a call of LAPACK takes longer than the work, and
// where it has the kernels anyway.
#pragma once

#include <string>
#include <vector>

#include "graph/host.h"

namespace lamina::runtime {

struct OwnWay;

// That of an operation of the host, or null.
const OwnWay* own_way(const std::string& name);

// Fills `output`. False where the host is to do it instead, and to say what is wrong: a large matrix, a number that is not finite, a
// condition number that is too large, arrays of other shapes, .. Of a stack, all the other matrices' results are written.
bool compute(const OwnWay& way, const graph::Attrs& attrs, const std::vector<graph::HostArray>& inputs,
             const graph::HostArray& output);

}  // namespace lamina::runtime
