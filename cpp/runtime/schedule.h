// In which order steps may run.
#pragma once

#include <vector>

#include "runtime/step.h"

namespace lamina::runtime {

// Step `user` needs step `maker`: it reads `through`, or (null) changes what the other one reads.
struct Need {
  size_t maker;
  const graph::Node* through;
};
using Needs = std::vector<std::vector<Need>>;  // of each step

// What each step waits for: the makers of what it reads, and the readers of the variables that it changes.
Needs needs_of(const std::vector<StepPtr>& steps);

// Puts producers before consumers, readers of a variable before its writer. False where no such order exists: two steps wait for each
// other, or one would read what it has changed already. Steps that carry out less have one.
[[nodiscard]] bool schedule(std::vector<StepPtr>& steps);

}  // namespace lamina::runtime
