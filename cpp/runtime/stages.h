// Steps that run side by side. A stage is a list of tasks that wait for none behind them; the threads share them, and meet when all are
// done. Only the second half of a relayed product waits, for its first (gemm_relay.h). A task is some units of one step or of several,
// one after the other:
//
// - a run of steps that follow each other row by row (the layers of a network, forward and back, whose weights are small) is one task
//   for each block of rows: nobody waits between them, and what a thread has made it reads itself;
// - steps that wait for nothing (the updates of all layers) are tasks beside each other, the small ones together.
//
// A step that makes partial sums first (step.h) has two parts, in two stages.
//
// How the work is cut changes no bit of the results: see Step.
#pragma once

#include <functional>
#include <vector>

#include "runtime/plan.h"

namespace lamina::runtime {

// Steps that follow each other block by block; or one step, whose blocks are its units.
struct Lane {
  std::vector<size_t> steps;
  std::vector<int64_t> units;  // of each step, in one block
  int64_t blocks = 0;
  int64_t done_before = 0;  // units of its one step, in an earlier stage: those of partial sums
};

struct Share {
  size_t lane;
  int64_t first, last;  // blocks
};

struct Stage {
  std::vector<size_t> steps;    // all that end here, in an order in which they may run one after the other
  std::vector<size_t> partial;  // those of which only partial sums are made here
  std::vector<Lane> lanes;
  std::vector<Share> shares;
  std::vector<size_t> tasks;  // where each begins in `shares`, and where the last one ends
  bool parallel = false;
  const Step* single = nullptr;  // its one step, where the caller's thread does it all

  size_t size() const { return tasks.size() - 1; }
};

// What a buffer holds: its number, and how many elements.
struct Held {
  int buffer;
  int64_t elements;
};

using HeldBy = std::function<Held(const graph::Node*)>;

// Cuts the steps, which are bound, for so many threads and lays them out in stages. `held`: what has a node's value.
std::vector<Stage> make_stages(const Plan& plan, const HeldBy& held, int threads);

}  // namespace lamina::runtime
