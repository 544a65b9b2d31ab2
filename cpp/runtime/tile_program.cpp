// What a tile program is made of, and what the steps around it are told.
#include "runtime/tile_program.h"

#include <algorithm>
#include <numeric>

#include "runtime/kernel_types.h"

namespace lamina::runtime {

TileProgram::TileProgram(Cluster cluster, const kernels::Table& kernels)
    : cluster_(std::move(cluster)),
      kernels_(kernels),
      precision_(precision_of(cluster_.compute)),
      element_(size_of(cluster_.compute)) {
  TileCode code = compile(cluster_, kernels);
  registers_ = std::move(code.registers);
  instructions_ = std::move(code.instructions);
  params_ = std::move(code.params);
  scratch_slots_ = code.scratch_slots;
  for (const TileCode::External& external : code.externals) externals_.emplace_back(external);
  for (const TileCode::Output& output : code.outputs) outputs_.emplace_back(output);
  for (const TileCode::Partial& partial : code.partials) partials_.emplace_back(partial, cluster_.compute, kernels);
  for (const TileCode::Rule& rule : code.rules) rules_.emplace_back(rule, kernels);
}

std::vector<const graph::Node*> TileProgram::external_inputs() const {
  std::vector<const graph::Node*> nodes;
  for (const External& e : externals_) nodes.push_back(e.node);
  for (const Rule& rule : rules_)
    for (size_t i = 0; i < rule.tensors.size(); ++i)
      if (i != kGradient) nodes.push_back(rule.tensors[i]);
  return nodes;
}

int64_t TileProgram::grain_along(int64_t rows) const {
  const bool pieces = std::any_of(partials_.begin(), partials_.end(), [](const PartialResult& p) { return p.has_pieces(); });
  return pieces ? kTile / std::gcd(kTile, std::max<int64_t>(cols_ / std::max<int64_t>(rows, 1), 1)) : 1;
}

bool TileProgram::reads_rows(int buffer, int64_t rows, int64_t width) const {
  return std::all_of(externals_.begin(), externals_.end(),
                     [&](const External& e) { return e.buffer != buffer || stays_in_rows(e, rows, width); });
}

bool TileProgram::stays_in_rows(const External& e, int64_t rows, int64_t width) const {
  if (outer_ != 1) return false;
  if (rows_ == 1) return e.col == 1 && cols_ == rows * width;  // one long row, cut into these
  return rows_ == rows && e.row == width;
}

bool TileProgram::leaves_rows(int buffer) const {
  return std::none_of(partials_.begin(), partials_.end(), [&](const PartialResult& p) { return p.buffer() == buffer; });
}

bool TileProgram::updates_by_outer() const {
  return rules_.size() == 1 && registers_[static_cast<size_t>(rules_[0].gradient)].product && instructions_.empty() &&
         partials_.empty() && outputs_.empty();
}

void add_to(Step& step, const TileProgram& program) {
  const Cluster& cluster = program.cluster();
  for (const graph::Node* node : cluster.nodes) {
    step.name += (step.name.empty() ? "" : "+") + node->op->name;
    step.nodes.push_back(node);
  }
  for (const graph::Node* node : program.external_inputs()) step.inputs.push_back(node);
  for (const graph::Node* node : cluster.stored)
    if (node->op->kind != graph::Kind::effect) step.outputs.push_back(node);
  step.changes = written_by(cluster.nodes);
}

}  // namespace lamina::runtime
