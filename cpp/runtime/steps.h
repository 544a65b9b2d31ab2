// The kinds of steps, one for each way of carrying out an operation. lower.cpp chooses among them.
#pragma once

#include "runtime/cluster.h"
#include "runtime/step.h"
#include "runtime/tile_program.h"

namespace lamina::runtime {

// Elementwise and row-wise math over a whole tensor.
StepPtr make_tile_step(Cluster cluster, const kernels::Table& kernels);

// C = A B or start + A B, the value of a node, followed on each finished block by the cluster's tile program (nothing where the cluster
// is empty). `stores_product`: whether others need C itself.
// The product of a matrix and its own transpose is symmetric: half of it is multiplied, and nothing runs behind its blocks.
StepPtr make_gemm_step(const graph::Node* value, const Product& product, Cluster epilogue, bool stores_product,
                       const kernels::Table& kernels);

// Updates that are small and have nothing to do with each other; which ones are.
StepPtr make_updates_step(const std::vector<const graph::Node*>& updates, const kernels::Table& kernels);
bool is_small_update(const graph::Node* node);

// y = x in another place, order or type; for assign, into the variable. Or to where no node lies.
using Place = std::function<Strided(const Binder&)>;
StepPtr make_copy_step(const graph::Node* from, const graph::Node* to);
StepPtr make_copy_step(const graph::Node* from, Place to);

StepPtr make_concatenate_step(const graph::Node* node);
StepPtr make_pad_step(const graph::Node* node);
StepPtr make_take_step(const graph::Node* node);
StepPtr make_scatter_add_step(const graph::Node* node);
StepPtr make_outer_step(const graph::Node* node);
StepPtr make_middle_reduce_step(const graph::Node* node);
StepPtr make_random_step(const graph::Node* node);
StepPtr make_rule_constants_step(const graph::Node* node);
StepPtr make_host_step(const graph::Node* node);

}  // namespace lamina::runtime
