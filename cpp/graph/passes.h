// Graph to graph, each pass pure: the roots go in, equal roots come out, computed with less work or in a form that is easier to plan.
#pragma once

#include <unordered_map>

#include "graph/node.h"

namespace lamina::graph {

// For each node the serials of the nodes of the user's graph that it carries out; one that no pass touched stands for itself alone.
using Origins = std::unordered_map<const Node*, std::vector<uint64_t>>;

std::vector<uint64_t> origin_of(const Node* node, const Origins& origins);

struct Roots {
  Tensors outputs;
  Tensors effects;
  Origins origins = {};
};

// Outputs and effects.
Tensors all_of(const Roots& roots);

// Picks the branch of in_training, takes the marks stop_gradient and update_state away; what update_state assigns becomes an effect
// of a training program, as does the step of each random state.
Roots resolve_modes(Roots roots, bool training);

// Calculates with numbers that are known: fills of fills, x * 1, x + 0.
Roots fold(Roots roots);

// Reductions of a form that the runtime has (reduce_form.h), casts as arithmetic.
Roots legalize(Roots roots);

// Equal nodes become one.
Roots share(Roots roots);

}  // namespace lamina::graph
