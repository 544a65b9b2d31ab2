// What a step of a matrix product is about: C = A B, or start + A B with one row for all, for each matrix of a stack, and the tile program
// that runs behind blocks of C. How C is cut and in which order it is made is a matter of the ways (gemm_way.h), which read this.
#pragma once

#include <memory>
#include <vector>

#include "runtime/multiply.h"
#include "runtime/step.h"
#include "runtime/tile_program.h"

namespace lamina::runtime {

struct GemmTask {
  GemmTask(const graph::Node* value, const Product& product, Cluster behind, bool stores_product, const kernels::Table& kernels);
  void bind(const Binder& binder);

  bool whole_rows() const { return epilogue && epilogue->cluster().has_rows; }
  int64_t grain() const { return epilogue ? epilogue->grain() : 1; }
  size_t epilogue_scratch() const { return epilogue ? epilogue->scratch_bytes() : 0; }
  RowWise::Shared shared() const { return {k, n, k * n * element}; }
  bool has_dense_start() const { return product.start == nullptr || start.strides.back() == 1 || n == 1; }
  kernels::GemmArgs factors(int64_t rows, int64_t cols) const { return multiplication.factors(rows, cols, grain()); }
  // The product of a block but for its C. `room` is for factors that are packed; `begin` for the block's part of a start that is not
  // dense.
  kernels::GemmArgs product_at(const Run& run, const TileProgram::Block& block, char* room, char* begin) const;

  // As the graph says.
  const graph::Node* const value;
  const Product product;
  const bool stores_product;  // others need C itself
  const bool is_gram;
  const bool has_fixed_rows;  // C has as many rows in any batch
  const int64_t element;      // bytes
  const kernels::GemmKernel kernel;
  const std::unique_ptr<TileProgram> epilogue;  // null: nothing runs behind C

  // As of the last bind.
  Multiplication multiplication;
  int64_t m = 0, n = 0, k = 0, stacks = 1, lanes = 1;
  int64_t a_row = 0, a_col = 0, b_row = 0, b_col = 0;
  int a_buffer = -1, b_buffer = -1;
  std::vector<int64_t> a_at, b_at;  // first element of each matrix of the stack
  Strided c, start;
  bool symmetric = false;  // A = B^T: only what is on and above the diagonal is multiplied
  bool b_changes = false;  // the program trains B

 private:
  bool is_over_batch() const;
  void bind_stack(const Binder& binder, const Sizes& stack, const Strided& a, const Strided& b);
  const void* begin_of(const Run& run, const TileProgram::Block& block, char* dense) const;
};

}  // namespace lamina::runtime
