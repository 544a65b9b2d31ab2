// Elementwise and row-wise math as a list of tile instructions. Tiles are small enough to stay in L1, so what passes from one
// instruction to the next never travels further. The same program runs over whole tensors (TileStep) or, as the epilogue of a matrix
// product, over the block of C that was just finished (GemmStep).
//
// The domain is a shape (.., rows, cols). Values are full (one for each element), or row values (one for each row: sums along the
// last axis and what is computed from them). Sums down the columns and over everything leave the tile as partial results.
#pragma once

#include "runtime/bound_rule.h"
#include "runtime/step.h"
#include "runtime/tile_code.h"
#include "runtime/tile_partial.h"

namespace lamina::runtime {

// Elements of a unit, and its work where they take long (twice what is worth a thread, see stages.cpp): enough to be worth another
// thread's while, few enough to share a batch among many.
constexpr int64_t kUnitElements = 16 * 1024;
constexpr double kSlowUnitWork = 150e3;

class TileProgram {
 public:
  TileProgram(Cluster cluster, const kernels::Table& kernels);

  const Cluster& cluster() const { return cluster_; }
  std::vector<const graph::Node*> external_inputs() const;

  // A block of the domain: rows [row0, row1), columns [col0, col1) of the matrix at index `outer`.
  struct Block {
    int64_t outer, row0, row1, col0, col1;
    const void* product = nullptr;  // the block of the matrix product
    int64_t product_row = 0;
    bool asked = false;  // whether what lies far was asked for, so that nothing else needs to
  };

  // The last `keep` axes of the domain stay apart: 1 where columns matter, 2 for the matrices of a stack.
  void bind(const Binder& binder, size_t keep);
  void run_block(const Run& run, const Block& block, char* scratch) const;
  void finish(const Run& run) const;
  // The matrices that it reads or writes in place, where they are too large to lie near.
  int far_count() const { return static_cast<int>(far_.size()); }
  int find_far(const Run& run, const Block& block, kernels::GemmArgs::Far* matrices) const;  // from the block's first element on

  int64_t outer() const { return outer_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t grain() const { return grain_; }  // blocks begin at multiples of so many rows of the whole domain
  // The grain of a domain that is one long row, counted in rows of which it has `rows`.
  int64_t grain_along(int64_t rows) const;
  // See RowWise; true where it does not read the buffer at all.
  bool reads_rows(int buffer, int64_t rows, int64_t width) const;
  bool leaves_rows(int buffer) const;
  size_t scratch_bytes() const { return scratch_bytes_; }
  bool has_rules() const { return !rules_.empty(); }
  // Whether it is nothing but an update by the product. Then the product of a column (whose numbers lie `left_row` elements apart) and
  // a row need not be written out first.
  bool updates_by_outer() const;
  void update_by_outer(const Run& run, const Block& block, const void* left, int64_t left_row, const void* right) const;
  double traffic() const { return traffic_; }
  double flops() const { return flops_; }
  double work() const { return work_; }  // see TileEntry

 private:
  using Instruction = TileCode::Instruction;
  using Register = TileCode::Register;
  struct External : TileCode::External {
    explicit External(const TileCode::External& code) : TileCode::External(code) {}
    // bound
    int buffer = -1;
    DType dtype = DType::float32;
    int64_t offset = 0;
    Sizes outer_strides;
    int64_t row = 0, col = 0;
    bool direct = true;  // read in place; otherwise brought into scratch first, converted or gathered
  };
  struct Output : TileCode::Output {
    explicit Output(const TileCode::Output& code) : TileCode::Output(code) {}
    // bound
    int buffer = -1;
    DType dtype = DType::float32;
    Sizes outer_strides;
    int64_t row = 0;
  };
  struct Rule : BoundRule {
    int gradient;  // register

    Rule(const TileCode::Rule& code, const kernels::Table& kernels) : BoundRule(code.node, kernels), gradient(code.gradient) {}
  };
  struct Far {
    int buffer;
    int64_t offset, outer, row;  // elements
  };
  struct Place {  // where a register's values of any block are; in bytes, but for the view
    enum From { scratch, product, memory } from;
    int buffer;
    int64_t offset, row, col;
    int64_t view_row, view_col;
    const Sizes* outer_strides;
  };
  struct View {  // a register while a tile is worked on
    char* data;
    int64_t row, col;
  };
  struct Anchor {  // the same of a block's first tile, and the bytes between rows and columns of the domain
    char* data;
    int64_t row, col;
  };
  struct Walk {
    const Run* run;
    const Block* block;
    char* scratch;
    int64_t cols;  // of the last tile
    View views[kMaxRegisters];
    Anchor anchors[kMaxRegisters];
  };

  std::vector<Strided> views_over(const Sizes& domain, const Binder& binder);
  void lay_out(const Sizes& domain, std::vector<Strided>& views, size_t keep);
  void bind_external(External& e, const Strided& v) const;
  void bind_output(Output& o, const Strided& v) const;
  void bind_rule(Rule& rule, const Binder& binder, int64_t elements);
  void bind_far();
  void bind_views();
  Place place_of(const Register& reg, bool brought) const;
  void estimate();
  void cut_tiles();
  int64_t tile_elements() const;
  bool stays_in_rows(const External& e, int64_t rows, int64_t width) const;

  void begin(Walk& walk, const Run& run, const Block& block, char* scratch) const;
  void run_tile(Walk& walk, int64_t r0, int64_t r1, int64_t c0, int64_t c1) const;
  void place_tile(Walk& walk, int64_t r0, int64_t rows, int64_t c0, int64_t cols) const;
  void bring(const Run& run, const External& e, int64_t offset, int64_t rows, int64_t cols, char* scratch, View& view) const;
  void update(const Rule& rule, const Walk& walk, int64_t first, int64_t rows, int64_t cols) const;
  void convert(const Output& o, const Walk& walk, int64_t r0, int64_t rows, int64_t c0, int64_t cols) const;
  int64_t outer_offset(int64_t outer, const Sizes& strides) const;

  Cluster cluster_;
  const kernels::Table& kernels_;
  kernels::Precision precision_;
  size_t element_;

  std::vector<Register> registers_;
  std::vector<Instruction> instructions_;
  std::vector<std::unique_ptr<std::vector<double>>> params_;  // of instructions
  int scratch_slots_;
  std::vector<External> externals_;
  std::vector<Output> outputs_;
  std::vector<PartialResult> partials_;
  std::vector<Rule> rules_;

  Sizes outer_sizes_;
  int64_t outer_ = 1, rows_ = 1, cols_ = 1;
  int64_t tile_rows_ = 1, tile_cols_ = 1;
  int64_t grain_ = 1;
  size_t slot_bytes_ = 0, scratch_bytes_ = 0;
  double traffic_ = 0, flops_ = 0, work_ = 0;
  std::vector<Place> places_;
  std::vector<Far> far_;
  std::vector<size_t> dense_, brought_;  // registers whose rows are as long as the tile's; that are gathered or converted first
  std::vector<size_t> converted_;        // outputs that are stored as another type
};

// Enters what the program computes, reads, stores and changes, and its name, into the step that runs it.
void add_to(Step& step, const TileProgram& program);

}  // namespace lamina::runtime
