// Tile programs at work: bind() lays the domain out for a batch size, run_block() walks the tiles.
#include <algorithm>
#include <cstring>

#include "runtime/strided_copy.h"
#include "runtime/tile_program.h"

namespace lamina::runtime {

namespace {

// Elements of a tile. Totals are summed tile by tile: where there are any, it has this size whatever else is computed beside.
constexpr int64_t kTile = 1024;
// Otherwise it is as large as lets a tile of everything that is read and written lie in L1, which saves calls.
constexpr int64_t kLargestTile = 4096;
constexpr int64_t kNearBytes = 32768;
constexpr int kMaxRegisters = 256;
constexpr size_t kMaxOuter = 256;  // operands and outputs together

template <class T>
void gather(char* to, const char* from, int64_t rows, int64_t cols, int64_t row, int64_t col) {
  T* out = reinterpret_cast<T*>(to);
  const T* in = reinterpret_cast<const T*>(from);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) *out++ = in[r * row + c * col];
}

void gather(DType type, char* to, const char* from, int64_t rows, int64_t cols, int64_t row, int64_t col) {
  switch (size_of(type)) {
    case 1: return gather<uint8_t>(to, from, rows, cols, row, col);
    case 4: return gather<uint32_t>(to, from, rows, cols, row, col);
    default: return gather<uint64_t>(to, from, rows, cols, row, col);
  }
}

}  // namespace

void TileProgram::bind(const Binder& binder, size_t keep) {
  const Sizes domain = binder.symbols.eval(cluster_.domain);
  const DType computed = precision_ == kernels::kF64 ? DType::float64 : DType::float32;
  check(registers_.size() <= kMaxRegisters && externals_.size() + outputs_.size() <= kMaxOuter, "an expression of ",
        registers_.size(), " values is too large for one step");

  // Everyone's strides over the domain, walked together.
  std::vector<Strided> views;
  traffic_ = 0;
  for (External& e : externals_) {
    Strided v = binder.locate(e.node);
    traffic_ += static_cast<double>(count(v.sizes)) * static_cast<double>(size_of(v.dtype));
    if (e.row_form && v.sizes.size() < domain.size()) {
      v = v.broadcast(Sizes(domain.begin(), domain.end() - 1));
      v.sizes.push_back(domain.back());
      v.strides.push_back(0);
    } else {
      v = v.broadcast(domain);
    }
    views.push_back(v);
  }
  for (Output& o : outputs_) {
    Strided v = binder.locate(o.node);
    traffic_ += static_cast<double>(count(v.sizes)) * static_cast<double>(size_of(v.dtype));
    v.sizes = domain;
    v.strides = dense_strides(o.row_form ? Sizes(domain.begin(), domain.end() - 1) : domain);
    if (o.row_form) v.strides.push_back(0);
    for (size_t i = 0; i < domain.size(); ++i)
      if (domain[i] == 1) v.strides[i] = 0;
    views.push_back(v);
  }

  Sizes sizes = domain;
  std::vector<Sizes*> strides;
  for (Strided& v : views) strides.push_back(&v.strides);
  if (cluster_.has_rows || cluster_.has_columns) keep = std::max<size_t>(keep, 1);
  collapse(sizes, strides, std::min(keep, sizes.size()));
  while (sizes.size() < 2) {
    sizes.insert(sizes.begin(), 1);
    for (Sizes* s : strides) s->insert(s->begin(), 0);
  }
  cols_ = sizes[sizes.size() - 1];
  rows_ = sizes[sizes.size() - 2];
  outer_sizes_.assign(sizes.begin(), sizes.end() - 2);
  outer_ = count(outer_sizes_);

  for (size_t i = 0; i < externals_.size(); ++i) {
    External& e = externals_[i];
    const Strided& v = views[i];
    e.buffer = v.buffer;
    e.dtype = v.dtype;
    e.offset = v.offset;
    e.col = cols_ == 1 ? 0 : v.strides[v.strides.size() - 1];
    e.row = rows_ == 1 ? 0 : v.strides[v.strides.size() - 2];
    e.outer_strides.assign(v.strides.begin(), v.strides.end() - 2);
    const int64_t along = e.row_form ? e.row : e.col;  // row values are walked as one row
    const bool walkable = along == 0 || along == 1;
    e.direct = walkable && e.dtype == computed;
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Output& o = outputs_[i];
    const Strided& v = views[externals_.size() + i];
    o.buffer = v.buffer;
    o.dtype = v.dtype;
    o.row = o.row_form && rows_ == 1 ? 1 : v.strides[v.strides.size() - 2];
    o.outer_strides.assign(v.strides.begin(), v.strides.end() - 2);
  }
  for (Partial& p : partials_) {
    const Strided v = binder.locate(p.node);
    p.buffer = v.buffer;
    p.dtype = v.dtype;
    p.width = p.total ? 1 : cols_;
  }
  for (Rule& rule : rules_) {
    rule.constants_buffer = binder.locate(rule.tensors[2]).buffer;
    rule.buffers.clear();
    for (size_t i = 0; i < rule.tensors.size(); ++i)
      if (i != 1 && i != 2) rule.buffers.push_back(binder.locate(rule.tensors[i]).buffer);
    traffic_ += 2.0 * static_cast<double>(count(domain)) * static_cast<double>(rule.buffers.size() * element_);
  }

  const int64_t tile = tile_elements();
  tile_cols_ = cluster_.has_rows ? std::max<int64_t>(cols_, 1) : std::clamp<int64_t>(cols_, 1, tile);
  tile_rows_ = std::clamp<int64_t>(tile / tile_cols_, 1, std::max<int64_t>(rows_, 1));
  slot_bytes_ = align_up(static_cast<size_t>(tile_rows_ * tile_cols_) * 8);  // 8: room for what is gathered before it is converted
  scratch_bytes_ = slot_bytes_ * static_cast<size_t>(scratch_slots_ + 2);
}

int64_t TileProgram::tile_elements() const {
  if (cluster_.has_totals) return kTile;
  int64_t streams = scratch_slots_ + static_cast<int64_t>(outputs_.size());  // each operand has a slot
  for (const Register& reg : registers_) streams += reg.product;
  for (const Rule& rule : rules_) streams += static_cast<int64_t>(rule.buffers.size());
  return std::clamp(kNearBytes / (std::max<int64_t>(streams, 1) * static_cast<int64_t>(element_)), kTile, kLargestTile);
}

void TileProgram::set_slots(int64_t slots, int64_t row_slots) {
  slots_ = slots;
  row_slots_ = row_slots;
  for (Partial& p : partials_)
    p.slots.grow(static_cast<size_t>(std::max<int64_t>(p.total ? slots : row_slots, 1) * p.width) * element_,
                 [&] { return "partial results of " + p.node->op->name; });
}

// An operand that cannot be read in place: gathered, where its columns are not neighbours, and converted.
void TileProgram::bring(const Run& run, const External& e, int64_t offset, int64_t rows, int64_t cols, char* scratch,
                        View& view) const {
  const char* from = run.at(e.buffer) + offset * static_cast<int64_t>(size_of(e.dtype));
  int64_t row = e.row, col = e.col;
  if (e.row_form || col == 0) cols = 1;
  if (col == 0 && row == 0) rows = 1;
  char* to = view.data;
  if ((col != 0 && col != 1) || (e.row_form && row != 0 && row != 1)) {
    char* dense = e.dtype == cluster_.compute ? to : scratch;
    gather(e.dtype, dense, from, rows, cols, row, col);
    from = dense;
    row = cols;
    col = 1;
  }
  if (e.dtype != cluster_.compute) {
    kernels::TileArgs args;
    args.out = to;
    args.out_row = cols;
    args.in[0] = {from, row, cols == 1 ? 0 : 1};
    args.rows = rows;
    args.cols = cols;
    kernels_.convert[stored(e.dtype)][stored(cluster_.compute)](args);
  }
  view.row = rows == 1 && e.row == 0 ? 0 : cols;
  view.col = e.row_form || e.col == 0 ? 0 : 1;
}

void TileProgram::run_tile(const Run& run, const Block& block, int64_t r0, int64_t r1, int64_t c0, int64_t c1, View* views,
                           const int64_t* outer_offsets, char* scratch) const {
  const int64_t rows = r1 - r0, cols = c1 - c0;
  const auto element = static_cast<int64_t>(element_);
  for (size_t i = 0; i < registers_.size(); ++i) {
    const Register& reg = registers_[i];
    View& view = views[i];
    if (reg.slot >= 0)
      view = {scratch + static_cast<size_t>(reg.slot + 2) * slot_bytes_, reg.row_form ? 1 : cols, reg.row_form ? 0 : 1};
    if (reg.external >= 0) {
      const External& e = externals_[static_cast<size_t>(reg.external)];
      const int64_t offset = e.offset + outer_offsets[reg.external] + r0 * e.row + (e.row_form ? 0 : c0 * e.col);
      if (e.direct)
        view = {run.at(e.buffer) + offset * element, e.row, e.row_form ? 0 : e.col};
      else
        bring(run, e, offset, rows, cols, scratch, view);
    } else if (reg.product) {
      const char* data = static_cast<const char*>(block.product);
      const int64_t at = (r0 - block.row0) * block.product_row + (c0 - block.col0);
      view = {const_cast<char*>(data) + at * element, block.product_row, 1};
    } else if (reg.output >= 0) {
      const Output& o = outputs_[static_cast<size_t>(reg.output)];
      const int64_t offset =
          outer_offsets[externals_.size() + static_cast<size_t>(reg.output)] + r0 * o.row + (o.row_form ? 0 : c0);
      view = {run.at(o.buffer) + offset * element, o.row_form ? 1 : o.row, o.row_form ? 0 : 1};
      if (!o.row_form && view.row == 0) view.row = cols;
    }
  }

  kernels::TileArgs args;  // not cleared: that takes as long as a small tile, and kernels read only what they need
  for (const Instruction& instruction : instructions_) {
    const View& out = views[instruction.out];
    args.out = out.data;
    args.out_row = out.row;
    args.rows = instruction.row_domain ? 1 : rows;
    args.cols = instruction.row_domain ? rows : cols;
    args.first_row = r0;
    args.first_col = c0;
    args.params = instruction.params;
    for (int k = 0; k < instruction.count; ++k) {
      const View& in = views[instruction.in[k]];
      args.in[k] = instruction.row_domain ? kernels::Operand{in.data, 0, in.row} : kernels::Operand{in.data, in.row, in.col};
    }
    instruction.fn(args);
  }

  for (const Partial& p : partials_) add_partial(p, block, views[p.reg], rows, cols, c0, scratch);
  for (const Rule& rule : rules_) {
    kernels::RuleArgs a;
    const int64_t at = (block.outer * rows_ + r0) * cols_ + c0;
    a.w = run.at(rule.buffers[0]) + at * element;
    a.w_row = cols_;
    for (size_t s = 1; s < rule.buffers.size(); ++s) a.slot[s - 1] = run.at(rule.buffers[s]) + at * element;
    a.g = views[rule.gradient].data;
    a.g_row = views[rule.gradient].row;
    a.rows = rows;
    a.cols = cols;
    a.constants = reinterpret_cast<const double*>(run.at(rule.constants_buffer));
    rule.entry->apply[precision_](a);
  }
  for (size_t k = 0; k < outputs_.size(); ++k) {
    const Output& o = outputs_[k];
    if (o.direct) continue;
    const View& in = views[o.reg];
    const int64_t offset = outer_offsets[externals_.size() + k] + r0 * o.row + (o.row_form ? 0 : c0);
    args.out = run.at(o.buffer) + offset * static_cast<int64_t>(size_of(o.dtype));
    args.out_row = o.row_form ? rows : o.row;
    args.rows = o.row_form ? 1 : rows;
    args.cols = o.row_form ? rows : cols;
    args.in[0] = o.row_form ? kernels::Operand{in.data, 0, in.row} : kernels::Operand{in.data, in.row, in.col};
    kernels_.convert[stored(cluster_.compute)][stored(o.dtype)](args);
  }
}

// partial[slot] = combine(partial[slot], the tile): column by column, or the whole tile to one number.
void TileProgram::add_partial(const Partial& p, const Block& block, const View& view, int64_t rows, int64_t cols, int64_t c0,
                              char* scratch) const {
  kernels::TileArgs args;
  char* slot = p.slots.data() + (p.total ? block.slot : block.row_slot * p.width + c0) * static_cast<int64_t>(element_);
  if (!p.total) {
    args.out = slot;
    args.in[0] = {view.data, view.row, view.col};
    args.rows = rows;
    args.cols = cols;
    return p.combine(args);
  }
  // In pieces of a tile's width, whether or not the tile holds whole rows: the order of a sum depends on the shape alone.
  const int64_t most = p.from == Form::full ? kTile : std::max<int64_t>(cols, 1);
  for (int64_t c = 0; c == 0 || c < cols; c += most) {
    kernels::Operand values{view.data, 0, view.row};  // row values: one row of them
    if (p.from == Form::full) {
      args.out = scratch;
      args.out_row = 1;
      args.in[0] = {view.data + c * view.col * static_cast<int64_t>(element_), view.row, view.col};
      args.rows = rows;
      args.cols = std::min(most, cols - c);
      p.reduce_row(args);
      values = {scratch, 0, 1};
    }
    combine_total(p, slot, values, rows, scratch + slot_bytes_);
  }
}

// slot = combine(slot, reduction of the row of values).
void TileProgram::combine_total(const Partial& p, char* slot, const kernels::Operand& values, int64_t count, char* total) const {
  kernels::TileArgs args;
  args.out = total;
  args.out_row = 1;
  args.in[0] = values;
  args.rows = 1;
  args.cols = count;
  p.reduce_row(args);
  args.out = slot;
  args.in[0] = {total, 0, 1};
  args.rows = 1;
  args.cols = 1;
  p.combine(args);
}

void TileProgram::run_block(const Run& run, const Block& block, char* scratch) const {
  int64_t outer_offsets[kMaxOuter];
  std::fill_n(outer_offsets, externals_.size() + outputs_.size(), 0);
  int64_t rest = block.outer;
  for (size_t axis = outer_sizes_.size(); axis-- > 0;) {
    const int64_t index = rest % outer_sizes_[axis];
    rest /= outer_sizes_[axis];
    for (size_t i = 0; i < externals_.size(); ++i) outer_offsets[i] += index * externals_[i].outer_strides[axis];
    for (size_t i = 0; i < outputs_.size(); ++i) outer_offsets[externals_.size() + i] += index * outputs_[i].outer_strides[axis];
  }
  for (const Partial& p : partials_) {
    const int64_t first = p.total ? block.slot : block.row_slot * p.width + block.col0;
    const int64_t n = p.total ? 1 : block.col1 - block.col0;
    for (int64_t i = 0; i < n; ++i) {
      if (precision_ == kernels::kF64)
        reinterpret_cast<double*>(p.slots.data())[first + i] = p.start;
      else
        reinterpret_cast<float*>(p.slots.data())[first + i] = static_cast<float>(p.start);
    }
  }
  View views[kMaxRegisters];
  for (int64_t r = block.row0; r < block.row1; r += tile_rows_) {
    const int64_t r1 = std::min(r + tile_rows_, block.row1);
    int64_t c = block.col0;
    do {  // at least once: a row without columns still has a sum
      run_tile(run, block, r, r1, c, std::min(c + tile_cols_, block.col1), views, outer_offsets, scratch);
      c += tile_cols_;
    } while (c < block.col1);
  }
}

namespace {

template <class T>
double merge(const AlignedBuffer& slots, int64_t count, int64_t width, int64_t column, double start, bool sum) {
  const T* values = reinterpret_cast<const T*>(slots.data());
  double total = start;
  for (int64_t s = 0; s < count; ++s) {
    const double v = static_cast<double>(values[s * width + column]);
    if (sum)
      total += v;
    else
      total = total != total || v != v ? total + v : start < 0 ? std::max(total, v) : std::min(total, v);
  }
  return total;
}

void put(char* base, DType type, int64_t index, double value) {
  switch (type) {
    case DType::boolean: reinterpret_cast<uint8_t*>(base)[index] = value != 0; break;
    case DType::int64: reinterpret_cast<int64_t*>(base)[index] = static_cast<int64_t>(value); break;
    case DType::float32: reinterpret_cast<float*>(base)[index] = static_cast<float>(value); break;
    case DType::float64: reinterpret_cast<double*>(base)[index] = value; break;
  }
}

}  // namespace

void TileProgram::finish(const Run& run) const {
  for (const Partial& p : partials_) {
    const bool sum = p.start == 0;
    const int64_t slots = p.total ? slots_ : row_slots_;
    for (int64_t c = 0; c < p.width; ++c) {
      const double value = precision_ == kernels::kF64 ? merge<double>(p.slots, slots, p.width, c, p.start, sum)
                                                       : merge<float>(p.slots, slots, p.width, c, p.start, sum);
      put(run.at(p.buffer), p.dtype, c, value);
    }
  }
}

}  // namespace lamina::runtime
