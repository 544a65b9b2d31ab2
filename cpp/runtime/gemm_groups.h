// A product whose sums go over a batch, once threads have summed over groups of its rows, beside the steps that make the rows
// (batch_sums.h): what is left is to add them up, some rows of C at a time. On one thread there is no such part, and the groups of a block
// are added to C one after the other (multiply.h).
#pragma once

#include "runtime/batch_sums.h"
#include "runtime/gemm_way.h"

namespace lamina::runtime {

class GemmGroups final : public GemmWay {
 public:
  explicit GemmGroups(const GemmTask& task);

  void bind(const Binder& binder);  // once the task is
  bool has_any() const { return task_.multiplication.groups() > 1; }
  PartialSums& partial_sums() { return sums_; }
  double passed_on() const { return sums_.passed_on(); }

  void cut(int64_t parts);                                               // as Step::cut_rest
  void run(const Run& run, int64_t unit, char* scratch) const override;  // the first units make partial sums

 private:
  BatchSums sums_;
  int64_t rows_ = 1, rows_at_once_ = 1;  // of C: of a unit, and of those that are added up at once
  size_t c_bytes_ = 0;
};

}  // namespace lamina::runtime
