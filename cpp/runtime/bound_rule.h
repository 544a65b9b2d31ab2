// An update of one parameter, w' = rule(w, g, slots), and where its tensors lie.
#pragma once

#include <string>
#include <vector>

#include "base/check.h"
#include "base/rule_layout.h"
#include "kernels/dispatch.h"
#include "runtime/step.h"

namespace lamina::runtime {

// Of an element; as TileEntry::work. In L1 in f32 on a Zen 3 Adam takes 32, SGD 13 to 25, other rules 20 to 60.
constexpr double kRuleWork = 30;

struct BoundRule {
  const kernels::RuleEntry* entry;
  std::vector<const graph::Node*> tensors;  // parameter, gradient, constants, slots
  // bound
  int constants_buffer = -1;
  std::vector<int> buffers;  // parameter, slots: all alike
  bool far = false;          // they are larger than what stays near

  BoundRule(const graph::Node* node, const kernels::Table& kernels)
      : entry(kernels::find_rule(kernels, node->attrs.get<std::string>("rule"))) {
    for (const auto& input : node->inputs) tensors.push_back(input.get());
    check(entry && tensors.size() == size_t(kFirstSlot + entry->slots), "[rule_update] '", node->attrs.get<std::string>("rule"),
          "': expected a known rule, with as many slots as it has");
  }

  void bind(const Binder& binder) {
    constants_buffer = binder.locate(tensors[kConstants]).buffer;
    buffers.clear();
    for (size_t i = 0; i < tensors.size(); ++i)
      if (i != kGradient && i != kConstants) buffers.push_back(binder.locate(tensors[i]).buffer);
  }

  // The update by the gradient g of a part of the parameter, which begins `at` bytes behind it and has rows `row` elements apart.
  kernels::RuleArgs args(const Run& run, int64_t at, int64_t row, int64_t rows, int64_t cols, const void* g, int64_t g_row) const {
    kernels::RuleArgs a;  // not initialized by braces: the compiler would clear it all first
    a.w = run.at(buffers[0]) + at;
    a.w_row = row;
    for (size_t s = 1; s < buffers.size(); ++s) a.slot[s - 1] = run.at(buffers[s]) + at;
    a.g = g;
    a.g_row = g_row;
    a.rows = rows;
    a.cols = cols;
    a.constants = reinterpret_cast<const double*>(run.at(constants_buffer));
    a.far = far;
    return a;
  }
};

}  // namespace lamina::runtime
