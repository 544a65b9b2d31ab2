// Tile programs at work: bind() lays the domain out for a batch size, run_block() walks the tiles.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/strided_copy.h"
#include "runtime/tile_program.h"

namespace lamina::runtime {

namespace {

// A tile is as large as lets a tile of everything that is read and written lie in L1, which saves calls, between kTile and this.
constexpr int64_t kLargestTile = 4096;
constexpr int64_t kNearBytes = 24576;
constexpr int kMaxRegisters = 256;
constexpr size_t kMaxOuter = 256;   // operands and outputs together
constexpr int64_t kChunkRows = 32;  // rows of a partial sum, about: so few that a small batch has work for several threads
constexpr int64_t kChunks = 128;    // more than so many of short rows are made longer instead
constexpr double kRuleWork = 30;    // of an element of an update, and of a sum; as TileEntry::work
constexpr double kSumWork = 3;
constexpr int64_t kFarBytes = 1 << 20;  // of weights and slots that no longer lie near when an update comes back to them

// Rows of a partial sum. They follow from the number of rows alone, or are twice, four times, .. that: steps of one batch can be cut
// alike.
int64_t chunk_of(int64_t rows, int64_t cols) {
  const int64_t chunks = rows >= 3 * kChunkRows ? 4 * ceil_div(rows, 4 * kChunkRows) : rows >= kChunkRows * 3 / 2 ? 2 : 1;
  int64_t chunk = std::max<int64_t>(ceil_div(rows, chunks), 1);
  while (chunk * std::max<int64_t>(cols, 1) < kTile && rows > kChunks * chunk) chunk *= 2;
  return chunk;
}

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
    if (e.row_form && !e.kept) {
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
    e.direct = walkable && e.dtype == computed && (!e.written_out || along == 1 || cols_ == 1);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Output& o = outputs_[i];
    const Strided& v = views[externals_.size() + i];
    o.buffer = v.buffer;
    o.dtype = v.dtype;
    o.row = o.row_form && rows_ == 1 ? 1 : v.strides[v.strides.size() - 2];
    o.outer_strides.assign(v.strides.begin(), v.strides.end() - 2);
  }
  grain_ = 1;
  for (Partial& p : partials_) bind_partial(p, binder);
  for (Rule& rule : rules_) {
    rule.constants_buffer = binder.locate(rule.tensors[2]).buffer;
    rule.buffers.clear();
    for (size_t i = 0; i < rule.tensors.size(); ++i)
      if (i != 1 && i != 2) rule.buffers.push_back(binder.locate(rule.tensors[i]).buffer);
    const double bytes = static_cast<double>(count(domain)) * static_cast<double>(rule.buffers.size() * element_);
    rule.far = bytes > kFarBytes;
    traffic_ += 2.0 * bytes;
  }

  bind_far();

  work_ = 0;
  const auto all_rows = static_cast<double>(outer_ * rows_), elements = all_rows * static_cast<double>(cols_);
  for (const Instruction& i : instructions_) work_ += (i.row_domain ? all_rows : elements) * i.work;
  work_ += elements * (kRuleWork * static_cast<double>(rules_.size()) + kSumWork * static_cast<double>(partials_.size()));

  const int64_t tile = tile_elements();
  tile_cols_ = cluster_.has_rows ? std::max<int64_t>(cols_, 1) : std::clamp<int64_t>(cols_, 1, tile);
  tile_rows_ = std::clamp<int64_t>(tile / tile_cols_, 1, std::max<int64_t>(rows_, 1));
  slot_bytes_ = align_up(static_cast<size_t>(tile_rows_ * tile_cols_) * 8);  // 8: room for what is gathered before it is converted
  scratch_bytes_ = slot_bytes_ * static_cast<size_t>(scratch_slots_ + 1);
}

void TileProgram::bind_partial(Partial& p, const Binder& binder) {
  const Strided to = binder.locate(p.node);
  p.buffer = to.buffer;
  p.dtype = to.dtype;
  const Sizes sizes = binder.symbols.eval(p.node->inputs[0]->shape());
  p.width = sizes.empty() ? 1 : sizes.back();
  p.rows = sizes.empty() ? 1 : count(Sizes(sizes.begin(), sizes.end() - 1));
  if (p.total && p.width == 1) std::swap(p.rows, p.width);
  p.chunk = chunk_of(p.rows, p.width);
  const bool product = cluster_.product != nullptr;  // whose blocks lie in one matrix, and are cut across anywhere
  const bool in_step = p.vector() ? !product && outer_ == 1 && rows_ == 1 : cols_ == p.width && (!product || outer_ == 1);
  p.apart = p.from == Form::row || !in_step;
  if (!p.apart && !p.vector()) grain_ = p.chunk;  // they all have the domain's shape
  const int64_t slots = p.vector() ? ceil_div(p.width, kTile) : ceil_div(p.rows, p.chunk) * p.width;
  const auto purpose = [&] {
    return text("partial results of ", p.node->op->name, " over ", to_string(Shape(sizes.begin(), sizes.end())));
  };
  p.slots.grow(static_cast<size_t>(std::max<int64_t>(slots, 1)) * element_, purpose);
  if (p.apart) p.kept.grow(static_cast<size_t>(std::max<int64_t>(p.rows * p.width, 1)) * element_, purpose);
}

int64_t TileProgram::grain_along(int64_t rows) const {
  const bool pieces = std::any_of(partials_.begin(), partials_.end(), [](const Partial& p) { return p.vector() && !p.apart; });
  return pieces ? kTile / std::gcd(kTile, std::max<int64_t>(cols_ / std::max<int64_t>(rows, 1), 1)) : 1;
}

bool TileProgram::reads_rows(int buffer, int64_t rows, int64_t width) const {
  for (const Rule& rule : rules_)
    if (rule.constants_buffer == buffer || std::find(rule.buffers.begin(), rule.buffers.end(), buffer) != rule.buffers.end())
      return false;
  for (const External& e : externals_) {
    if (e.buffer != buffer) continue;
    if (outer_ != 1) return false;
    const bool long_row = rows_ == 1 && rows > 1;
    const int64_t along = e.row_form && !long_row ? 0 : e.col;
    if (long_row
            ? e.col != 1 || e.offset != 0 || cols_ != rows * width
            : rows_ != rows || (rows > 1 && e.row != width) || e.offset < 0 || along < 0 || e.offset + (cols_ - 1) * along >= width)
      return false;
  }
  return true;
}

bool TileProgram::leaves_rows(int buffer) const {
  return std::none_of(partials_.begin(), partials_.end(), [&](const Partial& p) { return p.buffer == buffer; });
}

int64_t TileProgram::tile_elements() const {
  int64_t streams = scratch_slots_ + static_cast<int64_t>(outputs_.size());  // each operand has a slot
  for (const Register& reg : registers_) streams += reg.product;
  for (const Rule& rule : rules_) streams += static_cast<int64_t>(rule.buffers.size());
  const int64_t near = kNearBytes / (std::max<int64_t>(streams, 1) * static_cast<int64_t>(element_));
  return std::clamp(near, kTile, kLargestTile) / kTile * kTile;  // whole pieces of a vector's total
}

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
  view.col = cols == 1 ? 0 : 1;
}

void TileProgram::run_tile(const Run& run, const Block& block, int64_t r0, int64_t r1, int64_t c0, int64_t c1, View* views,
                           const int64_t* outer_offsets, char* scratch) const {
  const int64_t rows = r1 - r0, cols = c1 - c0;
  const auto element = static_cast<int64_t>(element_);
  for (size_t i = 0; i < registers_.size(); ++i) {
    const Register& reg = registers_[i];
    View& view = views[i];
    if (reg.slot >= 0)
      view = {scratch + static_cast<size_t>(reg.slot + 1) * slot_bytes_, reg.row_form ? 1 : cols, reg.row_form ? 0 : 1};
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
    args.first_col = c0;
    args.params = instruction.params;
    for (int k = 0; k < instruction.count; ++k) {
      const View& in = views[instruction.in[k]];
      args.in[k] = instruction.row_domain ? kernels::Operand{in.data, 0, in.row} : kernels::Operand{in.data, in.row, in.col};
    }
    instruction.fn(args);
  }

  for (const Partial& p : partials_) {
    const View& view = views[p.reg];
    const int64_t r = block.outer * rows_ + r0;
    if (p.apart)
      keep(p, view, r, rows, c0, cols);
    else
      add_partial(p, {view.data, view.row, view.col}, r, rows, c0, cols);
  }
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
    a.far = rule.far;
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

// The operand's rows [r, r + rows), columns [c, c + cols), as they are.
void TileProgram::keep(const Partial& p, const View& view, int64_t r, int64_t rows, int64_t c, int64_t cols) const {
  kernels::TileArgs args;
  if (p.from == Form::row || (cols_ == 1 && view.row <= 1)) {  // one row of values that lie side by side
    args.out = p.kept.data() + r * static_cast<int64_t>(element_);
    args.out_row = rows;
    args.in[0] = {view.data, 0, view.row};
    args.rows = 1;
    args.cols = rows;
  } else {
    args.out = p.kept.data() + (r * cols_ + c) * static_cast<int64_t>(element_);
    args.out_row = cols_;
    args.in[0] = {view.data, view.row, view.col};
    args.rows = rows;
    args.cols = cols;
  }
  copy_(args);
}

// slots[r / chunk, c ..] = combine(slots[r / chunk, c ..], the row), row by row. Whoever comes to a chunk begins with its first row.
void TileProgram::add_partial(const Partial& p, const kernels::Operand& x, int64_t r, int64_t rows, int64_t c, int64_t cols) const {
  if (p.vector()) return add_pieces(p, x, c, cols);
  const char* data = static_cast<const char*>(x.data);
  kernels::TileArgs args;
  args.cols = cols;
  for (const int64_t last = r + rows; r < last; r += args.rows, data += args.rows * x.row * static_cast<int64_t>(element_)) {
    args.rows = std::min(last - r, p.chunk - r % p.chunk);
    args.out = p.slots.data() + (r / p.chunk * p.width + c) * static_cast<int64_t>(element_);
    args.in[0] = {data, x.row, x.col};
    if (r % p.chunk == 0) {
      if (precision_ == kernels::kF64)
        std::fill_n(static_cast<double*>(args.out), cols, p.start);
      else
        std::fill_n(static_cast<float*>(args.out), cols, static_cast<float>(p.start));
    }
    p.combine(args);
  }
}

// slots[i / kTile] = elements i, i + 1, .. of a vector's piece, reduced. The slots may be the vector.
void TileProgram::add_pieces(const Partial& p, const kernels::Operand& x, int64_t first, int64_t count) const {
  kernels::TileArgs args;
  args.rows = 1;
  for (int64_t i = 0; i < count; i += kTile) {
    args.out = p.slots.data() + (first + i) / kTile * static_cast<int64_t>(element_);
    args.in[0] = {static_cast<const char*>(x.data) + i * x.col * static_cast<int64_t>(element_), 0, x.col};
    args.cols = std::min(kTile, count - i);
    p.reduce_row(args);
  }
}

void TileProgram::bind_far() {
  far_.clear();
  if (traffic_ < kFarBytes || outer_sizes_.size() > 1) return;
  const auto add = [&](int buffer, int64_t offset, const Sizes& outer, int64_t row) {
    if (far_.size() < kernels::kMaxFar) far_.push_back({buffer, offset, outer.empty() ? 0 : outer[0], row});
  };
  for (const Rule& rule : rules_)
    for (const int buffer : rule.buffers) add(buffer, 0, {rows_ * cols_}, cols_);
  for (const External& e : externals_)
    if (e.direct && !e.row_form && e.col == 1 && e.row != 0) add(e.buffer, e.offset, e.outer_strides, e.row);
  for (const Output& o : outputs_)
    if (o.direct && !o.row_form) add(o.buffer, 0, o.outer_strides, o.row);
}

void TileProgram::find_far(const Run& run, int64_t outer, kernels::GemmArgs::Far* matrices) const {
  const auto element = static_cast<int64_t>(element_);
  for (const Far& far : far_) *matrices++ = {run.at(far.buffer) + (far.offset + outer * far.outer) * element, far.row * element};
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

constexpr int64_t kMerged = 64;  // columns at once

// total[c] = op over s of slots[s * width + c], in double.
template <class T>
void merge(const char* data, int64_t slots, int64_t width, int64_t cols, double start, double* total) {
  const T* row = reinterpret_cast<const T*>(data);
  std::fill_n(total, cols, start);
  for (int64_t s = 0; s < slots; ++s, row += width) {
    if (start == 0)
      for (int64_t c = 0; c < cols; ++c) total[c] += static_cast<double>(row[c]);
    else
      for (int64_t c = 0; c < cols; ++c) {
        const double t = total[c], v = static_cast<double>(row[c]);
        total[c] = t != t || v != v ? t + v : start < 0 ? std::max(t, v) : std::min(t, v);
      }
  }
}

template <class T>
void put(char* to, const double* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) reinterpret_cast<T*>(to)[i] = static_cast<T>(values[i]);
}

void put(DType type, char* to, const double* values, int64_t count) {
  switch (type) {
    case DType::boolean: return put<bool>(to, values, count);
    case DType::int64: return put<int64_t>(to, values, count);
    case DType::float32: return put<float>(to, values, count);
    case DType::float64: return put<double>(to, values, count);
  }
}

}  // namespace

void TileProgram::finish(const Run& run) const {
  for (const Partial& p : partials_) {
    if (p.apart) add_partial(p, {p.kept.data(), p.width, 1}, 0, p.rows, 0, p.width);
    int64_t slots = ceil_div(p.rows, p.chunk), width = p.width;
    if (p.total) {  // the slots of a matrix are a vector themselves
      if (!p.vector()) add_pieces(p, {p.slots.data(), 0, 1}, 0, slots * width);
      slots = ceil_div(p.vector() ? width : slots * width, kTile);
      width = 1;
    }
    double merged[kMerged];
    for (int64_t c = 0; c < width; c += kMerged) {
      const int64_t cols = std::min(kMerged, width - c);
      const char* from = p.slots.data() + c * static_cast<int64_t>(element_);
      if (precision_ == kernels::kF64)
        merge<double>(from, slots, width, cols, p.start, merged);
      else
        merge<float>(from, slots, width, cols, p.start, merged);
      put(p.dtype, run.at(p.buffer) + c * static_cast<int64_t>(size_of(p.dtype)), merged, cols);
    }
  }
}

}  // namespace lamina::runtime
