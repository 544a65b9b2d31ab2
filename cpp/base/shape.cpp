#include "base/shape.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/check.h"
#include "base/dtype.h"

namespace lamina {

namespace {
constexpr const char* kTooLarge = " elements are more than memory can address; make an axis shorter";

// Programs are bound, and then name what does not fit, while other threads build.
struct SymbolTable {
  std::mutex mutex;
  std::deque<std::string> names{"", "B"};  // whose elements stay where they are
  std::unordered_map<std::string, Symbol> numbers{{"B", kBatch}};
  std::deque<std::vector<Symbol>> factors;  // of each product, in order
  std::deque<std::string> product_names;
  std::map<std::vector<Symbol>, Symbol> products;
};

SymbolTable& symbols() {
  static auto* table = new SymbolTable;
  return *table;
}
}  // namespace

DType dtype_of(const std::string& name) {
  for (DType type : {DType::boolean, DType::int64, DType::float32, DType::float64})
    if (name == name_of(type)) return type;
  fail<TypeError>("dtype: expected bool, int64, float32 or float64, got '", name, "'; cast the data first");
}

const std::string& symbol_name(Symbol s) {
  SymbolTable& table = symbols();
  const std::lock_guard<std::mutex> guard(table.mutex);
  return s >= kProducts ? table.product_names.at(static_cast<size_t>(s - kProducts)) : table.names.at(static_cast<size_t>(s));
}

namespace {
// The factors of a symbol, in order; a symbol that is no product is its own and only factor.
std::vector<Symbol> factors_of(Symbol s) {
  if (s < kProducts) return {s};
  SymbolTable& table = symbols();
  const std::lock_guard<std::mutex> guard(table.mutex);
  return table.factors.at(static_cast<size_t>(s - kProducts));
}

Symbol product_of(std::vector<Symbol> factors) {
  if (factors.size() == 1) return factors[0];
  std::sort(factors.begin(), factors.end());
  std::string name;
  for (const Symbol s : factors) name += (name.empty() ? "" : "*") + symbol_name(s);
  SymbolTable& table = symbols();
  const std::lock_guard<std::mutex> guard(table.mutex);
  const auto [entry, fresh] = table.products.emplace(factors, kProducts + static_cast<Symbol>(table.factors.size()));
  if (fresh) {
    table.factors.push_back(std::move(factors));
    table.product_names.push_back(std::move(name));
  }
  return entry->second;
}
}  // namespace

Symbol symbol(const std::string& name) {
  if (size_t star = name.find('*'); star != std::string::npos) {
    std::vector<Symbol> factors;
    for (size_t first = 0; first <= name.size(); first = star + 1) {
      star = std::min(name.find('*', first), name.size());
      check(star > first, "shape: expected names between *, got ", name);
      factors.push_back(symbol(name.substr(first, star - first)));
    }
    return product_of(std::move(factors));
  }
  SymbolTable& table = symbols();
  const std::lock_guard<std::mutex> guard(table.mutex);
  const auto [entry, fresh] = table.numbers.emplace(name, static_cast<Symbol>(table.names.size()));
  if (fresh) table.names.push_back(name);
  return entry->second;
}

namespace {
Dim affine(int64_t coefficient, Symbol s, int64_t offset) {
  for (int64_t part : {coefficient, offset}) check(-kMostSize < part && part < kMostSize, "shape: ", part, kTooLarge);
  Dim d(offset);
  if (coefficient != 0) {
    d.coefficient = coefficient;
    d.symbol = s;
  }
  return d;
}

int64_t checked_multiply(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) fail("shape: ", a, " * ", b, kTooLarge);
  return result;
}
}  // namespace

Dim add(const Dim& a, const Dim& b) {
  if (a.constant() || b.constant() || a.symbol == b.symbol)
    return affine(a.coefficient + b.coefficient, a.constant() ? b.symbol : a.symbol, a.offset + b.offset);
  fail("shape: cannot add the symbolic sizes ", a, " and ", b, "; fix one of them");
}

Dim multiply(const Dim& a, const Dim& b) {
  if (a.constant()) return affine(checked_multiply(a.offset, b.coefficient), b.symbol, checked_multiply(a.offset, b.offset));
  if (b.constant()) return multiply(b, a);
  if (a.offset != 0 || b.offset != 0) fail("shape: cannot multiply the symbolic sizes ", a, " and ", b, "; fix one of them");
  std::vector<Symbol> factors = factors_of(a.symbol);
  const std::vector<Symbol> others = factors_of(b.symbol);
  factors.insert(factors.end(), others.begin(), others.end());
  return affine(checked_multiply(a.coefficient, b.coefficient), product_of(std::move(factors)), 0);
}

namespace {
// The symbols of a without those of b; none where b has some that a has not, or all of a's.
std::vector<Symbol> without(Symbol a, Symbol b) {
  std::vector<Symbol> rest = factors_of(a);
  for (const Symbol s : factors_of(b)) {
    const auto found = std::find(rest.begin(), rest.end(), s);
    if (found == rest.end()) return {};
    rest.erase(found);
  }
  return rest;
}
}  // namespace

Dim divide(const Dim& a, const Dim& b, const std::string& where) {
  if (a == b && !(a.constant() && a.offset == 0)) return Dim(1);
  if (b.constant() && b.offset != 0 && a.coefficient % b.offset == 0 && a.offset % b.offset == 0)
    return affine(a.coefficient / b.offset, a.symbol, a.offset / b.offset);
  if (!b.constant() && a.symbol == b.symbol && b.coefficient != 0 && a.coefficient % b.coefficient == 0) {
    const int64_t q = a.coefficient / b.coefficient;
    if (checked_multiply(q, b.offset) == a.offset) return Dim(q);
  }
  if (!a.constant() && !b.constant() && a.offset == 0 && b.offset == 0 && b.coefficient != 0 && a.coefficient % b.coefficient == 0)
    if (auto rest = without(a.symbol, b.symbol); !rest.empty())
      return affine(a.coefficient / b.coefficient, product_of(std::move(rest)), 0);
  fail("[", where, "] ", a, " elements cannot be split into parts of ", b, "; pass lengths that divide them");
}

Dim product(const Shape& shape, size_t first, size_t last) {
  Dim result(1);
  for (size_t i = first; i < last; ++i) result = multiply(result, shape[i]);
  return result;
}

std::string to_string(const Dim& d) {
  if (d.constant()) return std::to_string(d.offset);
  std::string out;
  if (d.coefficient != 1) {
    out += std::to_string(d.coefficient);
    out += '*';
  }
  out += symbol_name(d.symbol);
  if (d.offset > 0) out += '+';
  if (d.offset != 0) out += std::to_string(d.offset);
  return out;
}

std::string to_string(const Shape& shape) {
  std::string out = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ", ";
    out += to_string(shape[i]);
  }
  out += shape.size() == 1 ? ",)" : ")";
  return out;
}

std::ostream& operator<<(std::ostream& out, const Dim& dim) { return out << to_string(dim); }
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << to_string(shape); }

int64_t Bindings::of_product(Symbol s) const {
  int64_t total = 1;
  for (const Symbol factor : factors_of(s)) {
    const int64_t size = of(factor);
    if (size < 0) return -1;
    total = checked_multiply(total, size);
  }
  return total;
}

void Bindings::set(Symbol s, int64_t value) {
  if (s >= static_cast<Symbol>(values_.size())) values_.resize(static_cast<size_t>(s) + 1, -1);
  values_[static_cast<size_t>(s)] = value;
}

Sizes Bindings::eval(const Shape& shape) const {
  Sizes sizes(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    const Dim& dim = shape[i];
    sizes[i] = eval(dim);
    check(sizes[i] >= 0, "shape: ", shape, " has an axis of ", sizes[i], " elements with this batch; use a larger one");
  }
  return sizes;
}

int64_t Bindings::eval(const Dim& dim) const {
  if (dim.constant()) return dim.offset;
  const int64_t length = of(dim.symbol);
  check(length >= 0, "shape: the size ", Dim::of(dim.symbol), " is that of no input; give it a number, or an input of that size");
  const int64_t scaled = checked_multiply(dim.coefficient, length);
  int64_t size = 0;
  check(!__builtin_add_overflow(scaled, dim.offset, &size), "shape: ", dim, kTooLarge);
  return size;
}

bool Bindings::match(const Dim& dim, int64_t size) {
  if (dim.constant()) return dim.offset == size;
  if (size >= kMostSize) return false;
  if (of(dim.symbol) >= 0) return eval(dim) == size;
  const int64_t rest = size - dim.offset;
  if (dim.coefficient == 0 || dim.symbol >= kProducts || rest < 0 || rest % dim.coefficient != 0) return false;
  set(dim.symbol, rest / dim.coefficient);
  return true;
}

int64_t count(const Sizes& sizes) {
  int64_t total = 1;
  for (int64_t size : sizes) total = checked_multiply(total, size);
  constexpr int64_t kMost = int64_t{1} << 59;  // of 8 bytes each: what an offset in bytes can still say
  check(total <= kMost, "shape: ", total, kTooLarge);
  return total;
}

Sizes dense_strides(const Sizes& sizes) {
  Sizes strides(sizes.size());
  int64_t step = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = step;
    step = checked_multiply(step, sizes[i] > 0 ? sizes[i] : 1);
  }
  return strides;
}

}  // namespace lamina
