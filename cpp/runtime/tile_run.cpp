// Tile programs at work: a block of the domain, tile by tile.
#include <algorithm>

#include "runtime/cuts.h"
#include "runtime/kernel_types.h"
#include "runtime/tile_program.h"
#include "runtime/words.h"

namespace lamina::runtime {

namespace {

template <class Word>
void gather(char* to, const char* from, int64_t rows, int64_t cols, int64_t row, int64_t col) {
  constexpr int64_t kBytes = sizeof(Word);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c, to += kBytes) store_word(to, load_word<Word>(from + (r * row + c * col) * kBytes));
}

void gather(DType type, char* to, const char* from, int64_t rows, int64_t cols, int64_t row, int64_t col) {
  switch (size_of(type)) {
    case 1: return gather<uint8_t>(to, from, rows, cols, row, col);
    case 4: return gather<uint32_t>(to, from, rows, cols, row, col);
    default: return gather<uint64_t>(to, from, rows, cols, row, col);
  }
}

}  // namespace

// An operand that cannot be read in place: gathered, where its columns are not neighbours, and converted.
void TileProgram::bring(const Run& run, const External& e, int64_t offset, int64_t rows, int64_t cols, char* scratch,
                        View& view) const {
  const char* from = run.at(e.buffer) + offset * static_cast<int64_t>(size_of(e.dtype));
  int64_t row = e.row, col = e.col;
  if (e.row_form || (col == 0 && !e.written_out)) cols = 1;
  if (col == 0 && row == 0 && !e.written_out) rows = 1;
  char* to = view.data;
  if ((col != 0 && col != 1) || (e.row_form && row != 0 && row != 1) || (e.written_out && col == 0)) {
    char* dense = e.dtype == cluster_.compute ? to : scratch;
    gather(e.dtype, dense, from, rows, cols, row, col);
    from = dense;
    row = cols;
    col = 1;
  }
  if (e.dtype != cluster_.compute)
    kernels_.convert[stored_of(e.dtype)][stored_of(cluster_.compute)](
        kernels::TileArgs::of_one(to, cols, {from, row, cols == 1 ? 0 : 1}, rows, cols));
  view.row = rows == 1 && e.row == 0 ? 0 : cols;
  view.col = cols == 1 ? 0 : 1;
}

// Elements from the first matrix of the domain to the one at index `outer`.
int64_t TileProgram::outer_offset(int64_t outer, const Sizes& strides) const {
  int64_t offset = 0;
  for (size_t axis = strides.size(); axis-- > 0; outer /= outer_sizes_[axis]) offset += outer % outer_sizes_[axis] * strides[axis];
  return offset;
}

// Where each register's values of the block's first tile are, and how they lie.
void TileProgram::begin(Walk& walk, const Run& run, const Block& block, char* scratch) const {
  const auto element = static_cast<int64_t>(element_);
  walk.run = &run;
  walk.block = &block;
  walk.scratch = scratch;
  walk.cols = -1;
  for (size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    View& view = walk.views[i];
    view.row = place.view_row;
    view.col = place.view_col;
    if (place.from == Place::memory) {
      int64_t offset = place.offset + block.row0 * place.row + block.col0 * place.col;
      if (block.outer > 0) offset += outer_offset(block.outer, *place.outer_strides) * element;
      walk.anchors[i] = {run.at(place.buffer) + offset, place.row, place.col};
    } else if (place.from == Place::scratch) {
      walk.anchors[i] = {scratch + place.offset, 0, 0};
    } else {
      view.row = block.product_row;
      walk.anchors[i] = {static_cast<char*>(const_cast<void*>(block.product)), block.product_row * element, element};
    }
  }
}

void TileProgram::place_tile(Walk& walk, int64_t r0, int64_t rows, int64_t c0, int64_t cols) const {
  const int64_t row = r0 - walk.block->row0, col = c0 - walk.block->col0;
  for (size_t i = 0; i < registers_.size(); ++i) {
    const Anchor& anchor = walk.anchors[i];
    walk.views[i].data = anchor.data + row * anchor.row + col * anchor.col;
  }
  if (cols != walk.cols)
    for (const size_t i : dense_) walk.views[i].row = cols;
  walk.cols = cols;
  for (const size_t i : brought_) {
    const External& e = externals_[static_cast<size_t>(registers_[i].external)];
    const int64_t first = e.offset + outer_offset(walk.block->outer, e.outer_strides);
    bring(*walk.run, e, first + r0 * e.row + (e.row_form ? 0 : c0 * e.col), rows, cols, walk.scratch, walk.views[i]);
  }
}

void TileProgram::run_tile(Walk& walk, int64_t r0, int64_t r1, int64_t c0, int64_t c1) const {
  const int64_t rows = r1 - r0, cols = c1 - c0, r = walk.block->outer * rows_ + r0;
  place_tile(walk, r0, rows, c0, cols);
  const View* views = walk.views;
  for (const Instruction& instruction : instructions_) {
    const View& out = views[instruction.out];
    kernels::TileArgs args = kernels::TileArgs::of_any(out.data, out.row, instruction.row_domain ? 1 : rows,
                                                       instruction.row_domain ? rows : cols, c0, instruction.params);
    for (int k = 0; k < instruction.count; ++k) {
      const View& in = views[instruction.in[k]];
      args.in[k] = instruction.row_domain ? kernels::Operand{in.data, 0, in.row} : kernels::Operand{in.data, in.row, in.col};
    }
    instruction.fn(args);
  }
  for (const PartialResult& p : partials_) {
    const View& view = views[p.reg()];
    p.take({view.data, view.row, view.col}, r, rows, c0, cols);
  }
  for (const Rule& rule : rules_) update(rule, walk, r * cols_ + c0, rows, cols);
  for (const size_t k : converted_) convert(outputs_[k], walk, r0, rows, c0, cols);
}

// Of the elements from the first one on.
void TileProgram::update(const Rule& rule, const Walk& walk, int64_t first, int64_t rows, int64_t cols) const {
  const View& g = walk.views[rule.gradient];
  kernels::RuleArgs a = rule.args(*walk.run, first * static_cast<int64_t>(element_), cols_, rows, cols, g.data, g.row);
  a.far = a.far && !walk.block->asked;
  rule.entry->apply[precision_](a);
}

void TileProgram::update_by_outer(const Run& run, const Block& block, const void* left, int64_t left_row, const void* right) const {
  const int64_t at = ((block.outer * rows_ + block.row0) * cols_ + block.col0) * static_cast<int64_t>(element_);
  kernels::RuleArgs a = rules_[0].args(run, at, cols_, block.row1 - block.row0, block.col1 - block.col0, right, 0);
  a.left = left;
  a.left_row = left_row;
  rules_[0].entry->apply[precision_](a);
}

// An output that is stored as another type.
void TileProgram::convert(const Output& o, const Walk& walk, int64_t r0, int64_t rows, int64_t c0, int64_t cols) const {
  const View& in = walk.views[o.reg];
  const int64_t offset = outer_offset(walk.block->outer, o.outer_strides) + r0 * o.row + (o.row_form ? 0 : c0);
  char* out = walk.run->at(o.buffer) + offset * static_cast<int64_t>(size_of(o.dtype));
  kernels_.convert[stored_of(cluster_.compute)][stored_of(o.dtype)](
      o.row_form ? kernels::TileArgs::of_one(out, rows, {in.data, 0, in.row}, 1, rows)
                 : kernels::TileArgs::of_one(out, o.row, {in.data, in.row, in.col}, rows, cols));
}

int TileProgram::find_far(const Run& run, const Block& block, kernels::GemmArgs::Far* matrices) const {
  const auto element = static_cast<int64_t>(element_);
  for (const Far& far : far_)
    *matrices++ = {run.at(far.buffer) + (far.offset + block.outer * far.outer + block.row0 * far.row + block.col0) * element,
                   far.row * element};
  return far_count();
}

void TileProgram::run_block(const Run& run, const Block& block, char* scratch) const {
  Walk walk;
  begin(walk, run, block, scratch);
  for (int64_t r = block.row0; r < block.row1; r += tile_rows_) {
    const int64_t r1 = std::min(r + tile_rows_, block.row1);
    int64_t c = block.col0;
    do {  // at least once: a row without columns still has a sum
      run_tile(walk, r, r1, c, std::min(c + tile_cols_, block.col1));
      c += tile_cols_;
    } while (c < block.col1);
  }
}

void TileProgram::finish(const Run& run) const {
  for (const PartialResult& p : partials_) p.finish(run);
}

}  // namespace lamina::runtime
