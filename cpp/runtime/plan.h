// What a program does, planned once for any batch size: its steps in an order in which they may run.
#pragma once

#include <unordered_set>
#include <vector>

#include "graph/passes.h"
#include "runtime/cluster.h"
#include "runtime/schedule.h"

namespace lamina::runtime {

class Memory;

struct Plan {
  // Of a graph that the passes have gone over; its values get their buffers.
  Plan(const graph::Tensors& inputs, const graph::Roots& roots, FusionOptions fusion, Memory& memory);

  const std::vector<const graph::Node*> nodes;   // inputs before their users
  std::unordered_set<const graph::Node*> fixed;  // those that no free size touches
  std::vector<StepPtr> settled;                  // steps that depend on constants and sizes alone: they run as the program is bound
  std::vector<StepPtr> steps;                    // the others
  Needs needs;                                   // of these
  std::unordered_set<const graph::Node*> changed;  // the variables that a run writes

  // Output 0 where it is a number, and the step that leaves it in its buffer.
  struct Loss {
    size_t step = SIZE_MAX;
    int buffer = -1;
    DType type = DType::float32;
  } loss;

 private:
  void find_fixed();
  void put_outputs(const graph::Tensors& outputs, Memory& memory);
  void settle(Memory& memory);
};

}  // namespace lamina::runtime
