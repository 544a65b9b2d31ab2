// What is kept of a partial result while tiles run, and how it is merged behind them.
#include "runtime/tile_partial.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/dispatch.h"
#include "runtime/cuts.h"
#include "runtime/kernel_types.h"
#include "runtime/words.h"

namespace lamina::runtime {

namespace {

constexpr int64_t kChunks = 128;  // more than so many of short rows are made longer instead
constexpr int64_t kMerged = 64;   // columns at once

// Rows of a partial sum. They follow from the number of rows alone, or are twice, four times, .. that: steps of one batch can be cut
// alike.
int64_t chunk_of(int64_t rows, int64_t cols) {
  int64_t chunk = chunk_of_rows(rows);
  while (chunk * std::max<int64_t>(cols, 1) < kTile && rows > kChunks * chunk) chunk *= 2;
  return chunk;
}

double of_nothing(Reduction reduction) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return reduction == Reduction::sum ? 0 : reduction == Reduction::max ? -kInfinity : kInfinity;
}

// total[c] = the reduction over s of slots[s * width + c], in double.
template <class T>
void merge(const char* data, int64_t slots, int64_t width, int64_t cols, Reduction reduction, double* total) {
  const T* row = reinterpret_cast<const T*>(data);
  const bool sums = reduction == Reduction::sum;
  if (!sums || slots == 0) std::fill_n(total, cols, of_nothing(reduction));
  for (int64_t s = 0; s < slots; ++s, row += width) {
    if (sums)
      for (int64_t c = 0; c < cols; ++c) total[c] = (s == 0 ? 0.0 : total[c]) + static_cast<double>(row[c]);
    else
      for (int64_t c = 0; c < cols; ++c) {
        const double t = total[c], v = static_cast<double>(row[c]);
        total[c] = t != t || v != v ? t + v : reduction == Reduction::max ? std::max(t, v) : std::min(t, v);
      }
  }
}

// The sum of two numbers, or of one, has the same bits in their own type: double has more than twice their digits, and so is rounded
// to the same number.
template <class T>
void add_two(char* to, const char* data, int64_t slots, int64_t width) {
  T* total = reinterpret_cast<T*>(to);
  const T *first = reinterpret_cast<const T*>(data), *second = first + width;
  if (slots == 1)
    for (int64_t c = 0; c < width; ++c) total[c] = T(0) + first[c];
  else
    for (int64_t c = 0; c < width; ++c) total[c] = (T(0) + first[c]) + second[c];
}

template <class T>
void put(char* to, const double* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    if constexpr (std::is_same_v<T, int64_t>)
      reinterpret_cast<T*>(to)[i] = kernels::whole_number(values[i]);
    else
      reinterpret_cast<T*>(to)[i] = static_cast<T>(values[i]);
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

PartialResult::PartialResult(const TileCode::Partial& code, DType type, const kernels::Table& kernels)
    : code_(code),
      slot_type_(type),
      element_(static_cast<int64_t>(size_of(type))),
      copy_(kernels::find_tile(kernels, "copy").fn[precision_of(type)]) {}

void PartialResult::bind(const Binder& binder, int64_t outer, int64_t rows, int64_t cols, bool behind_product) {
  const Strided to = binder.locate(code_.node);
  buffer_ = to.buffer;
  result_type_ = to.dtype;
  domain_cols_ = cols;
  const Sizes sizes = binder.symbols.eval(code_.node->inputs[0]->shape());
  width_ = sizes.empty() ? 1 : sizes.back();
  rows_ = sizes.empty() ? 1 : count(Sizes(sizes.begin(), sizes.end() - 1));
  if (code_.total && width_ == 1) std::swap(rows_, width_);
  chunk_ = chunk_of(rows_, width_);
  const bool in_step = is_vector() ? !behind_product && outer == 1 && rows == 1 : cols == width_ && (!behind_product || outer == 1);
  apart_ = code_.from == Form::row || !in_step;
  const int64_t slots = is_vector() ? ceil_div(width_, kTile) : ceil_div(rows_, chunk_) * width_;
  const auto purpose = [&] { return text("partial results of ", code_.node->op->name, " over ", to_string(known(sizes))); };
  slots_.grow(static_cast<size_t>(std::max<int64_t>(slots, 1)) * size_of(slot_type_), purpose);
  if (apart_) kept_.grow(static_cast<size_t>(std::max<int64_t>(rows_ * width_, 1)) * size_of(slot_type_), purpose);
}

// The operand as it is.
void PartialResult::keep(const kernels::Operand& x, int64_t r, int64_t rows, int64_t c, int64_t cols) const {
  const bool one_row = code_.from == Form::row || (domain_cols_ == 1 && x.row <= 1);  // of values that lie side by side
  copy_(one_row ? kernels::TileArgs::of_one(kept_.data() + r * element_, rows, {x.data, 0, x.row}, 1, rows)
                : kernels::TileArgs::of_one(kept_.data() + (r * domain_cols_ + c) * element_, domain_cols_, x, rows, cols));
}

// slots[r / chunk, c ..] = combine(slots[r / chunk, c ..], the row), row by row. Whoever comes to a chunk begins with its first row.
void PartialResult::add(const kernels::Operand& x, int64_t r, int64_t rows, int64_t c, int64_t cols) const {
  if (is_vector()) return add_pieces(x, c, cols);
  const char* data = static_cast<const char*>(x.data);
  for (int64_t some = 0; rows > 0; r += some, rows -= some, data += some * x.row * element_) {
    some = std::min(rows, chunk_ - r % chunk_);
    char* slots = slots_.data() + (r / chunk_ * width_ + c) * element_;
    code_.combine(kernels::TileArgs::of_columns(slots, {data, x.row, x.col}, some, cols, r % chunk_ == 0));
  }
}

// slots[i / kTile] = elements i, i + 1, .. of a vector's piece, reduced. The slots may be the vector.
void PartialResult::add_pieces(const kernels::Operand& x, int64_t first, int64_t count) const {
  const char* data = static_cast<const char*>(x.data);
  for (int64_t i = 0; i < count; i += kTile)
    code_.reduce_row(kernels::TileArgs::of_one(slots_.data() + (first + i) / kTile * element_, 1,
                                               {data + i * x.col * element_, 0, x.col}, 1, std::min(kTile, count - i)));
}

void PartialResult::finish(const Run& run) const {
  if (apart_) add({kept_.data(), width_, 1}, 0, rows_, 0, width_);
  int64_t slots = ceil_div(rows_, chunk_), width = width_;
  if (code_.total) {  // the slots of a matrix are a vector themselves
    if (!is_vector()) add_pieces({slots_.data(), 0, 1}, 0, slots * width);
    slots = ceil_div(is_vector() ? width : slots * width, kTile);
    width = 1;
  }
  const bool in_double = slot_type_ == DType::float64;
  if (code_.reduction == Reduction::sum && (slots == 1 || slots == 2) && result_type_ == slot_type_) {
    char* to = run.at(buffer_);
    return in_double ? add_two<double>(to, slots_.data(), slots, width) : add_two<float>(to, slots_.data(), slots, width);
  }
  double merged[kMerged];
  for (int64_t c = 0; c < width; c += kMerged) {
    const int64_t cols = std::min(kMerged, width - c);
    const char* from = slots_.data() + c * element_;
    if (in_double)
      merge<double>(from, slots, width, cols, code_.reduction, merged);
    else
      merge<float>(from, slots, width, cols, code_.reduction, merged);
    put(result_type_, run.at(buffer_) + c * static_cast<int64_t>(size_of(result_type_)), merged, cols);
  }
}

}  // namespace lamina::runtime
