// Which nodes run together: elementwise and row-wise math of one shape becomes one tile program, and a matrix product takes the
// program that consumes it as its epilogue.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/node.h"
#include "runtime/products.h"

namespace lamina::runtime {

// Values of one tile program: inputs, results, what lies between.
constexpr int kMaxRegisters = 256;

enum class Form { full, row, column_sum, total };  // what a cluster's node is in the cluster's domain

struct Cluster {
  Shape domain;
  DType compute = DType::float32;         // the type that the tiles calculate in
  std::vector<const graph::Node*> nodes;  // inputs before users
  std::unordered_map<const graph::Node*, Form> forms;
  const graph::Node* product = nullptr;    // whose result the cluster takes from the block, if any
  std::vector<const graph::Node*> stored;  // nodes whose values others need
  bool has_rows = false;                   // the last axis must stay whole in a tile
  bool has_columns = false;                // the last axis must stay apart
};

struct Clustering {
  std::vector<Cluster> clusters;
  std::unordered_map<const graph::Node*, size_t> of;  // node -> index into clusters; the absorbed products included
  Products products;
};

struct FusionOptions {
  bool elementwise = true;  // several nodes in one program
  bool epilogues = true;    // programs behind matrix products
  bool updates = true;      // update rules behind the product that makes their gradient
};

// The variables that assignments and updates among these nodes write.
std::vector<const graph::Node*> written_by(const std::vector<const graph::Node*>& nodes);

// `order` holds the nodes, inputs first; `wanted` those that must be in memory whatever happens.
Clustering make_clusters(const std::vector<const graph::Node*>& order, const std::unordered_set<const graph::Node*>& wanted,
                         const FusionOptions& options);

}  // namespace lamina::runtime
