// A cluster's nodes as tile instructions over numbered registers: all that is known before there is a batch size.
#pragma once

#include <memory>
#include <vector>

#include "kernels/table.h"
#include "runtime/cluster.h"

namespace lamina::runtime {

enum class Reduction { sum, max, min };

struct TileCode {
  struct External {
    const graph::Node* node;
    bool row_form;             // one value for each row,
    bool kept;                 // the domain's axes with a last one of 1; else without the last
    bool written_out = false;  // an update reads it: one value for several elements has to be there as often
  };
  struct Output {
    const graph::Node* node;
    int reg;
    bool row_form;
    bool direct = true;  // written in place by the instruction; otherwise converted from scratch afterwards
  };
  struct Instruction {
    kernels::TileFn fn;
    double flops, work;  // of an element
    int out;
    int count;
    int in[kernels::kMaxOperands];
    bool row_domain;  // over the row values of a tile
    const double* params;
  };
  struct Partial {  // see PartialResult
    const graph::Node* node;
    kernels::TileFn combine;     // column reduce of the same operation
    kernels::TileFn reduce_row;  // for totals
    Reduction reduction;
    int reg;
    Form from;  // of the operand: full or row
    bool total;
  };
  struct Rule {
    const graph::Node* node;
    int gradient;  // register
  };
  struct Register {
    bool row_form = false;
    int slot = -1;  // scratch slot, -1: an external, an output written in place, or the product
    int external = -1;
    int output = -1;
    bool product = false;
  };

  std::vector<Register> registers;
  std::vector<External> externals;
  std::vector<Output> outputs;
  std::vector<Instruction> instructions;
  std::vector<Partial> partials;
  std::vector<Rule> rules;
  std::vector<std::unique_ptr<std::vector<double>>> params;  // where instructions point to
  int scratch_slots = 0;
};

TileCode compile(const Cluster& cluster, const kernels::Table& kernels);

}  // namespace lamina::runtime
