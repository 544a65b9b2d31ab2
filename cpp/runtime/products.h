// What one step multiplies.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/node.h"

namespace lamina::runtime {

// A matmul, or x W + b, a matmul whose sums begin with a row instead of zero. This choice looks at nothing else that the program computes,
// so that adding an output changes no bit: a matmul that is itself an output is made a second time.
struct Product {
  const graph::Node* matmul = nullptr;
  const graph::Node* start = nullptr;  // the row
};

// By the node that has their result.
using Products = std::unordered_map<const graph::Node*, Product>;
using Users = std::unordered_map<const graph::Node*, std::vector<const graph::Node*>>;

// Whether it is the product of a matrix and its own transpose, which is symmetric.
bool is_gram(const graph::Node* product);

// Whether the user's step multiplies the node, with sums that begin with the user's row.
bool is_multiplied(const Products& products, const graph::Node* node, const graph::Node* user);

// Of the nodes of `order`; a matmul that users' steps multiply, and nobody wants in memory, is none of its own.
Products find_products(const std::vector<const graph::Node*>& order, const std::unordered_set<const graph::Node*>& wanted,
                       const Users& users);

}  // namespace lamina::runtime
