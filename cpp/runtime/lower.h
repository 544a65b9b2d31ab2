// From graph to steps: the one place where an operation meets the step that carries it out.
#pragma once

#include "runtime/cluster.h"
#include "runtime/step.h"

namespace lamina::runtime {

// Steps in the order of their nodes; schedule() (schedule.h) puts them in the order in which they run.
std::vector<StepPtr> lower(const std::vector<const graph::Node*>& order, const std::unordered_set<const graph::Node*>& wanted,
                           const FusionOptions& fusion, const kernels::Table& kernels);

}  // namespace lamina::runtime
