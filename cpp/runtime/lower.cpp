#include "runtime/lower.h"

#include "runtime/steps.h"

namespace lamina::runtime {

using graph::Kind;
using graph::Node;

namespace {

using MakeStep = StepPtr (*)(const Node*);

// Operations that are a step of their own. Elementwise, row and most reduce operations are part of a cluster; views are no step. Never
// destroyed, as the registry of operations.
const std::unordered_map<std::string, MakeStep>& own_steps() {
  static const auto* rows = new std::unordered_map<std::string, MakeStep>{
      {"concatenate", make_concatenate_step},
      {"pad", make_pad_step},
      {"take", make_take_step},
      {"scatter_add", make_scatter_add_step},
      {"row_outer", make_outer_step},
      {"row_outer_upper", make_outer_step},
      {"random_uniform", make_random_step},
      {"rule_constants", make_rule_constants_step},
      {"host", make_host_step},
      {"sum", make_middle_reduce_step},
      {"max", make_middle_reduce_step},
      {"min", make_middle_reduce_step},
      {"contiguous", [](const Node* node) { return make_copy_step(node->inputs[0].get(), node); }},
      {"assign", [](const Node* node) { return make_copy_step(node->inputs[1].get(), node->inputs[0].get()); }},
  };
  return *rows;
}

}  // namespace

std::vector<StepPtr> lower(const std::vector<const Node*>& order, const std::unordered_set<const Node*>& wanted,
                           const FusionOptions& fusion, const kernels::Table& kernels) {
  Clustering clustering = make_clusters(order, wanted, fusion);
  std::vector<bool> made(clustering.clusters.size(), false);
  std::vector<StepPtr> steps;
  std::vector<const Node*> small_updates;
  for (const Node* node : order) {
    const auto found = clustering.of.find(node);
    if (found != clustering.of.end()) {
      if (made[found->second]) continue;
      made[found->second] = true;
      Cluster& cluster = clustering.clusters[found->second];
      const Node* value = cluster.product;
      if (fusion.updates && value == nullptr && cluster.nodes.size() == 1 && is_small_update(node)) {
        small_updates.push_back(node);
        continue;
      }
      steps.push_back(value == nullptr ? make_tile_step(std::move(cluster), kernels)
                                       : make_gemm_step(value, clustering.products.at(value), std::move(cluster),
                                                        wanted.count(value) > 0, kernels));
    } else if (const auto product = clustering.products.find(node); product != clustering.products.end()) {
      steps.push_back(make_gemm_step(node, product->second, Cluster{}, true, kernels));
    } else if (node->op->kind != Kind::source && node->op->kind != Kind::view && node->op->kind != Kind::matmul) {
      const auto row = own_steps().find(node->op->name);
      check(row != own_steps().end(), "no step carries out '", node->op->name, "'");
      steps.push_back(row->second(node));
      steps.back()->nodes = {node};
    }
  }
  if (!small_updates.empty()) steps.push_back(make_updates_step(small_updates, kernels));
  return steps;
}

}  // namespace lamina::runtime
