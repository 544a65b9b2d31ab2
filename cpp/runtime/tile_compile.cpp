// From nodes to tile instructions: once, when the program is planned.
#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>

#include "base/rule_layout.h"
#include "kernels/dispatch.h"
#include "runtime/kernel_types.h"
#include "runtime/tile_code.h"

namespace lamina::runtime {

using graph::Node;

namespace {

constexpr size_t kNoInstruction = SIZE_MAX;

using External = TileCode::External;
using Output = TileCode::Output;
using Instruction = TileCode::Instruction;
using Partial = TileCode::Partial;
using Rule = TileCode::Rule;
using Register = TileCode::Register;

class TileCompiler {
 public:
  TileCompiler(const Cluster& cluster, const kernels::Table& kernels)
      : cluster_(cluster), kernels_(kernels), precision_(precision_of(cluster.compute)) {}

  TileCode compile();

 private:
  void compile_node(const Node* node);
  void compile_partial(const Node* node);
  void compile_rule(const Node* node);
  int operand(const Node* node, bool row_form, size_t rank = 0);
  int add(const Register& reg);
  int emit(const std::string& name, std::vector<int> in, bool row_form, bool row_domain, const double* params = nullptr);
  bool softmax_pays(const Node* node) const;
  int emit_softmax_part(const Node* node, const std::string& part);
  const double* keep_params(const Node* node);
  void place_outputs();
  std::vector<size_t> last_uses() const;
  void allocate();

  const Cluster& cluster_;
  const kernels::Table& kernels_;
  const kernels::Precision precision_;
  TileCode code_;
  std::map<std::tuple<std::string, std::vector<int>, bool, const double*>, int> numbered_;  // an instruction given twice runs once
  std::unordered_map<const Node*, int> reg_of_;
};

TileCode TileCompiler::compile() {
  // Rules write in place: whoever reads the parameter in this cluster must come first.
  for (const Node* node : cluster_.nodes)
    if (!node->is("rule_update")) compile_node(node);
  for (const Node* node : cluster_.nodes)
    if (node->is("rule_update")) compile_rule(node);
  for (const Node* node : cluster_.stored) {
    const Form form = cluster_.forms.at(node);
    if (form == Form::column_sum || form == Form::total || node->op->kind == graph::Kind::effect) continue;
    code_.outputs.push_back({node, reg_of_.at(node), form == Form::row});
  }
  allocate();
  return std::move(code_);
}

// `rank`: of the row value that it is an operand of, with whose axes its own line up.
int TileCompiler::operand(const Node* node, bool row_form, size_t rank) {
  if (const auto found = reg_of_.find(node); found != reg_of_.end()) return found->second;
  if (node == cluster_.product) return reg_of_[node] = add({.product = true});
  const External e{node, row_form, rank == cluster_.domain.size()};
  for (size_t i = 0; i < code_.registers.size(); ++i) {
    if (code_.registers[i].external < 0) continue;
    const External& known = code_.externals[static_cast<size_t>(code_.registers[i].external)];
    if (known.node == node && known.row_form == row_form && known.kept == e.kept) return static_cast<int>(i);
  }
  code_.externals.push_back(e);
  return add({.row_form = row_form, .external = static_cast<int>(code_.externals.size()) - 1});
}

int TileCompiler::add(const Register& reg) {
  code_.registers.push_back(reg);
  return static_cast<int>(code_.registers.size()) - 1;
}

int TileCompiler::emit(const std::string& name, std::vector<int> in, bool row_form, bool row_domain, const double* params) {
  const auto key = std::make_tuple(name, in, row_domain, params);
  if (const auto found = numbered_.find(key); found != numbered_.end()) return found->second;
  const kernels::TileEntry& entry = kernels::find_tile(kernels_, name);
  Instruction instruction{entry.fn[precision_], entry.flops, entry.work, 0, static_cast<int>(in.size()), {}, row_domain, params};
  std::copy(in.begin(), in.end(), instruction.in);
  instruction.out = add({.row_form = row_form});
  code_.instructions.push_back(instruction);
  return numbered_[key] = instruction.out;
}

const double* TileCompiler::keep_params(const Node* node) {
  if (node->attrs.find("params") == nullptr) return nullptr;
  for (const auto& kept : code_.params)
    if (*kept == node->attrs.get<std::vector<double>>("params")) return kept->data();
  code_.params.push_back(std::make_unique<std::vector<double>>(node->attrs.get<std::vector<double>>("params")));
  return code_.params.back()->empty() ? nullptr : code_.params.back()->data();
}

// Whether softmax as one instruction pays: not with short vectors, nor for short rows, which the others take several at a time.
bool TileCompiler::softmax_pays(const Node* node) const {
  constexpr int64_t kShortRow = 16;
  const Dim columns = node->shape().back();
  return kernels_.vector_bytes >= 32 && !(columns.constant() && columns.offset <= kShortRow);
}

// softmax, log_softmax and logsumexp of the same x share their parts: the row's maximum m, e = exp(x - m), s = sum e.
int TileCompiler::emit_softmax_part(const Node* node, const std::string& part) {
  const int x = operand(node->inputs[0].get(), false);
  const auto shares = [&](const Node* other) {
    return (other->is("logsumexp") || other->is("log_softmax")) && other->inputs[0] == node->inputs[0];
  };
  const auto& nodes = cluster_.nodes;
  if (part == "softmax" && softmax_pays(node) && std::none_of(nodes.begin(), nodes.end(), shares))
    return emit("softmax", {x}, false, false);
  const int m = emit("row_max", {x}, true, false);
  const int e = emit("exp_minus", {x, m}, false, false);
  const int s = emit("row_sum", {e}, true, false);
  if (part == "softmax") return emit("div", {e, s}, false, false);
  const int log_s = emit("log", {s}, true, true);
  if (part == "log_softmax") return emit("sub", {emit("sub", {x, m}, false, false), log_s}, false, false);
  return emit("plus_max", {log_s, m}, true, true);
}

void TileCompiler::compile_node(const Node* node) {
  const std::string& op = node->op->name;
  const Form form = cluster_.forms.at(node);
  if (form == Form::column_sum || form == Form::total) return compile_partial(node);
  const bool row = form == Form::row;
  const size_t rank = row ? node->shape().size() : 0;
  int reg = -1;
  if (op == "reshape") {  // a row value whose last axis of 1 comes or goes
    reg = operand(node->inputs[0].get(), true, node->inputs[0]->shape().size());
  } else if (op == "softmax" || op == "log_softmax" || op == "logsumexp") {
    reg = emit_softmax_part(node, op);
  } else if (op == "argmax" || op == "argmin" || node->op->kind == graph::Kind::reduce) {
    reg = emit("row_" + op, {operand(node->inputs[0].get(), false)}, true, false);
  } else if (op == "one_hot") {
    reg = emit(op, {operand(node->inputs[0].get(), false)}, false, false);
  } else if (op == "cast") {
    reg = emit("copy", {operand(node->inputs[0].get(), row, rank)}, row, row);
  } else {
    std::vector<int> in;
    for (const auto& input : node->inputs) in.push_back(operand(input.get(), row, rank));
    reg = emit(op, in, row, row, keep_params(node));
  }
  reg_of_[node] = reg;
}

void TileCompiler::compile_partial(const Node* node) {
  const Node* operand_node = node->inputs[0].get();
  const std::string& op = node->op->name;
  const auto form = cluster_.forms.find(operand_node);
  Partial p;
  p.node = node;
  p.from = form == cluster_.forms.end() ? Form::full : form->second;
  p.reg = operand(operand_node, p.from == Form::row);
  p.total = cluster_.forms.at(node) == Form::total;
  p.combine = kernels::find_tile(kernels_, "column_" + op).fn[precision_];
  p.reduce_row = kernels::find_tile(kernels_, "row_" + op).fn[precision_];
  p.reduction = op == "sum" ? Reduction::sum : op == "max" ? Reduction::max : Reduction::min;
  code_.partials.push_back(p);
}

void TileCompiler::compile_rule(const Node* node) {
  code_.rules.push_back({node, operand(node->inputs[kGradient].get(), false)});
  const Register& reg = code_.registers[static_cast<size_t>(code_.rules.back().gradient)];
  if (reg.external >= 0) code_.externals[static_cast<size_t>(reg.external)].written_out = true;
}

// Outputs that instructions compute, in the type that they are stored in, lie where the caller wants them.
void TileCompiler::place_outputs() {
  for (size_t k = 0; k < code_.outputs.size(); ++k) {
    Output& output = code_.outputs[k];
    Register& reg = code_.registers[static_cast<size_t>(output.reg)];
    output.direct = output.node->dtype() == cluster_.compute && reg.external < 0 && !reg.product && reg.output < 0;
    if (output.direct) reg.output = static_cast<int>(k);
  }
}

// Of each register the last instruction that reads it; none where others read it once all have run.
std::vector<size_t> TileCompiler::last_uses() const {
  std::vector<size_t> last(code_.registers.size(), 0);
  for (size_t i = 0; i < code_.instructions.size(); ++i)
    for (int k = 0; k < code_.instructions[i].count; ++k) last[static_cast<size_t>(code_.instructions[i].in[k])] = i;
  const auto keep = [&](int reg) { last[static_cast<size_t>(reg)] = kNoInstruction; };
  for (const Partial& p : code_.partials) keep(p.reg);
  for (const Rule& r : code_.rules) keep(r.gradient);
  for (const Output& output : code_.outputs) keep(output.reg);
  return last;
}

// Gives each result a place: the output's own memory, or a scratch slot that is free again after the last use.
void TileCompiler::allocate() {
  place_outputs();
  for (Register& reg : code_.registers)  // what is brought in (converted, gathered) needs a place of its own
    if (reg.external >= 0) reg.slot = code_.scratch_slots++;
  std::vector<size_t> last_use = last_uses();
  std::vector<int> free;
  const auto free_operands = [&](size_t i, const auto& which) {
    for (int k = 0; k < code_.instructions[i].count; ++k) {
      const auto id = static_cast<size_t>(code_.instructions[i].in[k]);
      const Register& in = code_.registers[id];
      if (last_use[id] != i || in.slot < 0 || in.external >= 0 || !which(in)) continue;
      free.push_back(in.slot);
      last_use[id] = kNoInstruction;
    }
  };
  for (size_t i = 0; i < code_.instructions.size(); ++i) {
    Register& out = code_.registers[static_cast<size_t>(code_.instructions[i].out)];
    // In place where an operand of the same form dies here; never for reductions, whose result is smaller than its operand.
    free_operands(i, [&](const Register& in) { return in.row_form == out.row_form; });
    if (out.output < 0) {
      if (free.empty()) free.push_back(code_.scratch_slots++);
      out.slot = free.back();
      free.pop_back();
    }
    free_operands(i, [](const Register&) { return true; });
  }
}

}  // namespace

TileCode compile(const Cluster& cluster, const kernels::Table& kernels) { return TileCompiler(cluster, kernels).compile(); }

}  // namespace lamina::runtime
