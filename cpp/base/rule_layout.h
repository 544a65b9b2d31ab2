// How the update of one parameter stands in a graph, in the order of its inputs, and the sizes of what goes along.
#pragma once

#include <cstddef>

namespace lamina {

enum RuleInput : size_t { kParameter, kGradient, kConstants, kFirstSlot };  // of rule_update; any number of slots

constexpr int kRuleClock = 4;       // numbers of a clock: the steps so far, and what a rule keeps of them
constexpr int kRuleConstants = 16;  // numbers that a rule may make of hyper-parameters, rate and clock, once a step

}  // namespace lamina
