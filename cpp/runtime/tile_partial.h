// Sums down the columns of a tile program's domain, and over all of it: what leaves its tiles as partial results.
#pragma once

#include "base/aligned.h"
#include "runtime/step.h"
#include "runtime/tile_code.h"

namespace lamina::runtime {

// Elements of a piece of a vector's total, so that units begin at multiples of it; and of a tile, at least.
constexpr int64_t kTile = 1024;

// A sum, or an extreme, of the matrix (rows, width): `chunk` rows at a time down the columns into one slot for each chunk and column.
// A total of a vector, one row, has a slot for each piece of kTile elements instead. The cut follows from the shape of what is summed
// and from nothing else, so the bits are the same whatever runs beside it.
class PartialResult {
 public:
  PartialResult(const TileCode::Partial& code, DType type, const kernels::Table& kernels);

  int reg() const { return code_.reg; }
  // As part of a domain of so many matrices of rows and columns; `behind_product`: whose blocks lie in one matrix, and are cut across
  // anywhere.
  void bind(const Binder& binder, int64_t outer, int64_t rows, int64_t cols, bool behind_product);
  int64_t grain() const { return apart_ || is_vector() ? 1 : chunk_; }  // rows that blocks begin at multiples of
  bool has_pieces() const { return is_vector() && !apart_; }            // blocks begin at multiples of these
  int buffer() const { return buffer_; }

  // The operand's rows [r, r + rows), columns [c, c + cols) of all of the domain.
  void take(const kernels::Operand& x, int64_t r, int64_t rows, int64_t c, int64_t cols) const {
    return apart_ ? keep(x, r, rows, c, cols) : add(x, r, rows, c, cols);
  }
  void finish(const Run& run) const;

 private:
  bool is_vector() const { return code_.total && rows_ == 1; }
  void keep(const kernels::Operand& x, int64_t r, int64_t rows, int64_t c, int64_t cols) const;
  void add(const kernels::Operand& x, int64_t r, int64_t rows, int64_t c, int64_t cols) const;
  void add_pieces(const kernels::Operand& x, int64_t first, int64_t count) const;

  TileCode::Partial code_;
  DType slot_type_;
  int64_t element_;
  kernels::TileFn copy_;
  // bound
  int buffer_ = -1;
  DType result_type_ = DType::float32;
  int64_t rows_ = 1, width_ = 1, chunk_ = 1;
  int64_t domain_cols_ = 1;
  bool apart_ = false;  // the blocks do not end where the chunks do: the operand is kept, and summed at the end
  mutable AlignedBuffer slots_, kept_;
};

}  // namespace lamina::runtime
