// From graph to steps: the one place where an operation meets the step that carries it out.
#pragma once

#include "graph/passes.h"
#include "runtime/cluster.h"
#include "runtime/stages.h"

namespace lamina::runtime {

// Steps in the order of their nodes; schedule() puts them in the order in which they run.
std::vector<StepPtr> lower(const std::vector<const graph::Node*>& order, const std::unordered_set<const graph::Node*>& wanted,
                           const FusionOptions& fusion, const kernels::Table& kernels);

// What each step waits for: the makers of what it reads, and the readers of the variables that it changes.
Needs needs_of(const std::vector<StepPtr>& steps);

// Producers before consumers, readers of a variable before its writer. False where no such order exists.
bool schedule(std::vector<StepPtr>& steps);

}  // namespace lamina::runtime
