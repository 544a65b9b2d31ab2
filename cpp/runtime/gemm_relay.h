// A product with weights that are trained, relayed by two threads: one multiplies the first half of k, block by block, the other one goes
// on with its sums. An update behind a product is cut by rows, so each thread keeps a half of the weights to itself: a line that both have
// read has to leave the other's cache before it can be written, some 6 ns each, as long as half of the product of a small batch.
#pragma once

#include "base/aligned.h"
#include "runtime/gemm_way.h"
#include "runtime/handover.h"

namespace lamina::runtime {

class GemmRelay final : public GemmGrid {
 public:
  using GemmGrid::GemmGrid;

  static bool suits(const GemmTask& task);
  void cut();
  void run(const Run& run, int64_t unit, char* scratch) const override;  // a unit is a half of k

 private:
  AlignedBuffer sums_;  // C between the threads, where it is not stored
  Handover halves_;     // of each block: the sums over its first half
};

}  // namespace lamina::runtime
