// How the matrices of a product are multiplied: which kernel, and in which order the sums go over k. All of it follows from the shapes
// and from where the factors lie, so that the bits depend on nothing else.
#pragma once

#include "kernels/table.h"
#include "runtime/strided.h"

namespace lamina::runtime {

class Multiplication {
 public:
  Multiplication(const kernels::GemmKernel& kernel, int64_t element) : kernel_(kernel), element_(element) {}

  // C: m x n, and how far apart the elements of A's rows and columns lie, and of B's. `fixed_rows`: whether C has as many rows
  // in any batch; `over_batch`: whether the sums go over a batch; `given`: whether A is what the program is called with.
  struct Layout {
    int64_t m, n, k, a_row, a_col, b_row, b_col;
    bool fixed_rows, over_batch, given;
  };
  void bind(const Layout& layout, int64_t lanes);

  // Sums over a batch that is long for C are those of groups of its rows, each of which one thread has, added up in this order.
  int64_t groups() const { return groups_; }
  int64_t group() const { return group_; }  // rows of one, but for the last; k where there are none
  bool is_in_panels() const { return way_ == Way::panels; }
  int64_t tile_rows() const { return kernel_.mr; }

  // The factors of a block of so many rows and columns.
  kernels::GemmArgs factors(int64_t rows, int64_t cols, int64_t grain) const;
  // Those of group g alone.
  kernels::GemmArgs group_of(const kernels::GemmArgs& all, int64_t g) const;
  // Elements of scratch for such a block, whose C is handed out in parts or not.
  int64_t room(const kernels::GemmArgs& block) const;
  // C of a block, or of one group of it. `scratch`: as many elements as room().
  void run(kernels::GemmArgs& block, char* scratch) const;
  // The same where C is handed out in parts.
  void run_panels(const kernels::GemmArgs& block) const;

 private:
  // How B is read, by its strides and by the shape of C.
  enum class Way {
    panels,              // a panel of B at a time, which is packed where that pays
    dots,                // few columns, or few rows in any batch, A's rows and B's columns dense: dot products
    dots_of_transposed,  // few columns, A's rows dense: B transposed into scratch, then dot products
    upright,             // fewer columns than a vector has lanes, A's columns dense: C^T = B^T A^T, whose rows fill the vectors
    row_of_dots,         // one row in any batch, B's columns dense: each of them times the row
  };

  Way choose_way(int64_t lanes) const;
  void choose_groups();
  kernels::GemmArgs transposed(const kernels::GemmArgs& args, void* c) const;
  void run_dots_of_transposed(kernels::GemmArgs args, char* scratch) const;
  void run_upright(const kernels::GemmArgs& args, char* scratch) const;
  void run_row_of_dots(const kernels::GemmArgs& args) const;

  kernels::GemmKernel kernel_;
  int64_t element_;
  Layout at_{};
  Way way_ = Way::panels;
  int64_t groups_ = 1, group_ = 0;
  bool far_a_ = false;
};

}  // namespace lamina::runtime
