// Tile programs, bound: how the domain is laid out for a batch size, in what tiles, and where everything lies.
#include <algorithm>

#include "base/cpu.h"
#include "runtime/tile_program.h"

namespace lamina::runtime {

namespace {

// A tile is as large as lets a tile of everything that is read and written lie in L1, which saves calls, between kTile and this.
constexpr int64_t kLargestTile = 4096;
constexpr int64_t kNearTileBytes = 24576;
constexpr double kSumWork = 3;           // of an element; as TileEntry::work: in L1 on a Zen 3 sums take 2 to 5
constexpr int64_t kLeastNear = 1 << 20;  // bytes that any L2 holds, or about

// Bytes of weights and slots that still lie near when an update comes back to them. The processor follows these by itself: to ask for
// them takes longer (see docs/why_fast.md).
double near_bytes() { return static_cast<double>(std::max<int64_t>(kLeastNear, cpu_features().near_cache / 2)); }

}  // namespace

void TileProgram::bind(const Binder& binder, size_t keep) {
  const Sizes domain = binder.symbols.eval(cluster_.domain);
  check(registers_.size() <= kMaxRegisters, "an expression of ", registers_.size(), " values is too large for one step");
  traffic_ = 0;
  std::vector<Strided> views = views_over(domain, binder);
  lay_out(domain, views, keep);
  for (size_t i = 0; i < externals_.size(); ++i) bind_external(externals_[i], views[i]);
  for (size_t i = 0; i < outputs_.size(); ++i) bind_output(outputs_[i], views[externals_.size() + i]);
  grain_ = 1;
  for (PartialResult& p : partials_) {
    p.bind(binder, outer_, rows_, cols_, cluster_.product != nullptr);
    grain_ = std::max(grain_, p.grain());  // they all have the domain's shape
  }
  for (Rule& rule : rules_) bind_rule(rule, binder, count(domain));
  bind_far();
  estimate();
  cut_tiles();
  bind_views();
}

// How the externals, and after them the outputs, lie over the domain.
std::vector<Strided> TileProgram::views_over(const Sizes& domain, const Binder& binder) {
  std::vector<Strided> views;
  const Sizes without_last(domain.begin(), domain.end() - (domain.empty() ? 0 : 1));
  const auto locate = [&](const graph::Node* node) {
    Strided v = binder.locate(node);
    traffic_ += static_cast<double>(count(v.sizes)) * static_cast<double>(size_of(v.dtype));
    return v;
  };
  for (const External& e : externals_) {
    const bool shorter = e.row_form && !e.kept;
    Strided v = locate(e.node).broadcast(shorter ? without_last : domain);
    if (shorter) {
      v.sizes.push_back(domain.back());
      v.strides.push_back(0);
    }
    views.push_back(v);
  }
  for (const Output& o : outputs_) {
    Strided v = locate(o.node);
    v.sizes = domain;
    v.strides = dense_strides(o.row_form ? without_last : domain);
    if (o.row_form) v.strides.push_back(0);
    for (size_t i = 0; i < domain.size(); ++i)
      if (domain[i] == 1) v.strides[i] = 0;
    views.push_back(v);
  }
  return views;
}

// The domain, and the views of it, as a stack of matrices with as few axes as will do.
void TileProgram::lay_out(const Sizes& domain, std::vector<Strided>& views, size_t keep) {
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
}

void TileProgram::bind_external(External& e, const Strided& v) const {
  e.buffer = v.buffer;
  e.dtype = v.dtype;
  e.offset = v.offset;
  e.col = cols_ == 1 ? 0 : v.strides[v.strides.size() - 1];
  e.row = rows_ == 1 ? 0 : v.strides[v.strides.size() - 2];
  e.outer_strides.assign(v.strides.begin(), v.strides.end() - 2);
  const int64_t along = e.row_form ? e.row : e.col;  // row values are walked as one row
  const bool walkable = along == 0 || along == 1;
  e.direct = walkable && e.dtype == cluster_.compute && (!e.written_out || along == 1 || cols_ == 1);
}

void TileProgram::bind_output(Output& o, const Strided& v) const {
  o.buffer = v.buffer;
  o.dtype = v.dtype;
  o.row = o.row_form && rows_ == 1 ? 1 : v.strides[v.strides.size() - 2];
  o.outer_strides.assign(v.strides.begin(), v.strides.end() - 2);
}

void TileProgram::bind_rule(Rule& rule, const Binder& binder, int64_t elements) {
  rule.bind(binder);
  const double bytes = static_cast<double>(elements) * static_cast<double>(rule.buffers.size() * element_);
  rule.far = bytes > near_bytes();
  traffic_ += 2.0 * bytes;
}

// FLOP and time, from what an element takes.
void TileProgram::estimate() {
  const auto all_rows = static_cast<double>(outer_ * rows_), elements = all_rows * static_cast<double>(cols_);
  const auto rules = static_cast<double>(rules_.size()), sums = static_cast<double>(partials_.size());
  flops_ = elements * (rules + sums);
  work_ = elements * (kRuleWork * rules + kSumWork * sums);
  for (const Instruction& i : instructions_) {
    flops_ += (i.row_domain ? all_rows : elements) * i.flops;
    work_ += (i.row_domain ? all_rows : elements) * i.work;
  }
}

void TileProgram::cut_tiles() {
  const int64_t tile = tile_elements();
  tile_cols_ = cluster_.has_rows ? std::max<int64_t>(cols_, 1) : std::clamp<int64_t>(cols_, 1, tile);
  tile_rows_ = std::clamp<int64_t>(tile / tile_cols_, 1, std::max<int64_t>(rows_, 1));
  slot_bytes_ = align_up(static_cast<size_t>(tile_rows_ * tile_cols_) * 8);  // 8: room for what is gathered before it is converted
  scratch_bytes_ = slot_bytes_ * static_cast<size_t>(scratch_slots_ + 1);
}

int64_t TileProgram::tile_elements() const {
  int64_t streams = scratch_slots_ + static_cast<int64_t>(outputs_.size());  // each operand has a slot
  for (const Register& reg : registers_) streams += reg.product;
  for (const Rule& rule : rules_) streams += static_cast<int64_t>(rule.buffers.size());
  const int64_t near = kNearTileBytes / (std::max<int64_t>(streams, 1) * static_cast<int64_t>(element_));
  return std::clamp(near, kTile, kLargestTile) / kTile * kTile;  // whole pieces of a vector's total
}

// `brought`: into scratch.
TileProgram::Place TileProgram::place_of(const Register& reg, bool brought) const {
  const auto element = static_cast<int64_t>(element_);
  if (brought || (reg.external < 0 && !reg.product && reg.output < 0))
    return {Place::scratch, -1, (reg.slot + 1) * static_cast<int64_t>(slot_bytes_), 0, 0, 1, reg.row_form ? 0 : 1, nullptr};
  if (reg.product) return {Place::product, -1, 0, 0, 0, 0, 1, nullptr};
  if (reg.external >= 0) {
    const External& e = externals_[static_cast<size_t>(reg.external)];
    const int64_t col = e.row_form ? 0 : e.col;
    return {Place::memory, e.buffer, e.offset * element, e.row * element, col * element, e.row, col, &e.outer_strides};
  }
  const Output& o = outputs_[static_cast<size_t>(reg.output)];
  const int64_t col = o.row_form ? 0 : 1;
  return {Place::memory, o.buffer, 0, o.row * element, col * element, o.row_form ? 1 : o.row, col, &o.outer_strides};
}

void TileProgram::bind_views() {
  places_.clear();
  dense_.clear();
  brought_.clear();
  converted_.clear();
  for (size_t i = 0; i < registers_.size(); ++i) {
    const Register& reg = registers_[i];
    const bool brought = reg.external >= 0 && !externals_[static_cast<size_t>(reg.external)].direct;
    const bool dense = reg.external < 0 && (reg.output >= 0 ? outputs_[static_cast<size_t>(reg.output)].row == 0 : reg.slot >= 0);
    places_.push_back(place_of(reg, brought));
    if (brought) brought_.push_back(i);
    if (dense && !reg.row_form) dense_.push_back(i);
  }
  for (size_t k = 0; k < outputs_.size(); ++k)
    if (!outputs_[k].direct) converted_.push_back(k);
}

void TileProgram::bind_far() {
  far_.clear();
  const double near = rules_.empty() ? double{kLeastNear} : 2 * near_bytes();  // results pay from where L2 does not hold them
  if (traffic_ < near || outer_sizes_.size() > 1) return;
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

}  // namespace lamina::runtime
