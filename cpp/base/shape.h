// Shapes whose axes may be symbolic: a Dim is c * s + o with one symbol s (the batch size B, say, or a product as B*T), or a number.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace lamina {

using Symbol = int;  // 0: none
constexpr Symbol kBatch = 1;
constexpr Symbol kProducts = 1 << 24;  // from here on: products of symbols

// The symbol of that name, made at first use; "B" is the batch axis, "B*T" the product of B and T.
Symbol symbol(const std::string& name);
const std::string& symbol_name(Symbol symbol);

struct Dim {
  int64_t offset = 0;
  int64_t coefficient = 0;
  Symbol symbol = 0;

  Dim() = default;
  Dim(int64_t size) : offset(size) {}  // NOLINT: a number is a Dim
  static Dim of(Symbol s) {
    Dim d;
    d.coefficient = 1;
    d.symbol = s;
    return d;
  }
  bool constant() const { return symbol == 0; }
  bool operator==(const Dim&) const = default;
};

using Shape = std::vector<Dim>;
using Sizes = std::vector<int64_t>;

constexpr int64_t kMostSize = int64_t{1} << 62;  // sizes, offsets and steps lie between -kMostSize and kMostSize

// Arithmetic that stays of the form c * s + o; throws ValueError where it would not.
Dim add(const Dim& a, const Dim& b);
Dim multiply(const Dim& a, const Dim& b);
Dim divide(const Dim& a, const Dim& b, const std::string& where);  // exact
Dim product(const Shape& shape, size_t first, size_t last);

std::string to_string(const Dim& dim);
std::string to_string(const Shape& shape);
std::ostream& operator<<(std::ostream& out, const Dim& dim);
std::ostream& operator<<(std::ostream& out, const Shape& shape);

// What the symbols stand for in one run; 0 and up are known, -1 is not.
class Bindings {
 public:
  void clear() { values_.clear(); }
  int64_t of(Symbol s) const {
    if (s >= kProducts) return of_product(s);
    return s < static_cast<Symbol>(values_.size()) ? values_[s] : -1;
  }
  void set(Symbol s, int64_t value);
  int64_t eval(const Dim& dim) const;
  // Lengths of axes: none may be unknown or negative.
  Sizes eval(const Shape& shape) const;
  // Makes `dim` equal `size`: solves for an unknown symbol, or compares. False when it cannot be.
  bool match(const Dim& dim, int64_t size);
  bool operator==(const Bindings&) const = default;

 private:
  int64_t of_product(Symbol s) const;

  std::vector<int64_t> values_;
};

// Number of elements; throws ValueError beyond 2^59: no memory has room for so many.
int64_t count(const Sizes& sizes);
inline size_t bytes_of(const Sizes& sizes, DType dtype) { return static_cast<size_t>(count(sizes)) * size_of(dtype); }
inline Shape known(const Sizes& sizes) { return Shape(sizes.begin(), sizes.end()); }
// The distance in elements between neighbours along each axis, last axis dense.
Sizes dense_strides(const Sizes& sizes);

}  // namespace lamina
