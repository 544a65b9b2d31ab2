// A product whose sums go over a batch, A^T B with rows of the batch as rows of A and B: the gradient of a layer's weights. Each group
// of rows has sums of its own (Multiplication says which), so that a thread needs no rows but those that it has made itself; these sums
// are added up afterwards, in the order of the groups.
#pragma once

#include "base/aligned.h"
#include "runtime/multiply.h"
#include "runtime/step.h"

namespace lamina::runtime {

class BatchSums final : public PartialSums {
 public:
  // A matrix with the batch's rows: elements (i, j) at `at` + i * `row` + j of the buffer.
  struct Factor {
    int buffer;
    int64_t at, row, cols;
  };
  BatchSums(const Multiplication& multiplication, const std::vector<const graph::Node*>& factors);
  void bind(const Factor& a, const Factor& b, int64_t rows, DType type, const Binder& binder);

  int64_t rows() const override { return rows_; }
  bool splits(int64_t rows) const override { return rows == rows_; }
  int64_t grain(int64_t) const override { return multiplication_.group(); }
  bool reads_rows(int buffer, int64_t rows, int64_t width) const override;
  bool leaves_rows(int) const override { return true; }
  Shared shared() const override { return {a_.cols, b_.cols, a_.cols * b_.cols * element_}; }
  void cut_rows(int64_t rows, int64_t block) override;
  void cut(int64_t parts) override;
  int64_t units() const override { return units_; }
  double work() const override { return 2.0 * static_cast<double>(rows_ * a_.cols * b_.cols); }

  int64_t scratch_elements() const;
  void sum_groups(const Run& run, int64_t unit, char* scratch) const;
  // Rows [first, last) of C, dense, from the sums of all groups.
  void add_up(char* to, int64_t first, int64_t last) const;
  double passed_on() const;  // work for what add_up() reads, half of which or more another core has

 private:
  void make_room();
  char* sums(int64_t group, int64_t row) const { return sums_.data() + (group * a_.cols + row) * b_.cols * element_; }

  const Multiplication& multiplication_;
  Factor a_{}, b_{};
  int64_t rows_ = 0, element_ = 0, units_ = 0;
  int64_t unit_groups_ = 1, unit_rows_ = 1;  // groups, and rows of C, of a unit
  kernels::TileFn add_ = nullptr;
  AlignedBuffer sums_;
};

}  // namespace lamina::runtime
