// A product in blocks of C: each is one unit, multiplied over all of k and then finished by the epilogue while it is in cache.
#pragma once

#include "runtime/gemm_way.h"

namespace lamina::runtime {

class GemmBlocks final : public GemmGrid {
 public:
  using GemmGrid::GemmGrid;

  void cut(int64_t parts, int threads);  // as Step::cut
  void cut_rows(int64_t block);          // as RowWise::cut_rows
  void run(const Run& run, int64_t unit, char* scratch) const override;
  void finish(const Run& run) const;

 private:
  struct Parts;
  void place(int64_t rows, int64_t cols);
  void multiply_in_parts(kernels::GemmArgs& args, Parts parts) const;
  void mirror(char* c) const;

  bool hands_out_ = false;         // the epilogue runs behind parts of a block, strip by strip where it has some,
  bool in_parts_ = false;          // and of C there is one part at a time
  bool updates_by_outer_ = false;  // C is the gradient of one sample, and only its update wants it
};

}  // namespace lamina::runtime
