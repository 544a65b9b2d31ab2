#include "runtime/gather.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "kernels/table.h"

namespace lamina::runtime {

namespace {

size_t bytes_of(Source type) {
  switch (type) {
    case Source::boolean:
    case Source::int8:
    case Source::uint8: return 1;
    case Source::int16:
    case Source::uint16:
    case Source::float16: return 2;
    case Source::int32:
    case Source::uint32:
    case Source::float32: return 4;
    default: return 8;
  }
}

bool same(Source source, DType type) {
  switch (type) {
    case DType::boolean: return source == Source::boolean;
    case DType::int64: return source == Source::int64;
    case DType::float32: return source == Source::float32;
    default: return source == Source::float64;
  }
}

bool row_is_dense(const Rows& rows) {
  auto expected = static_cast<int64_t>(bytes_of(rows.type));
  for (size_t i = rows.sizes.size(); i-- > 1;) {
    if (rows.sizes[i] != 1 && rows.byte_strides[i] != expected) return false;
    expected *= rows.sizes[i];
  }
  return true;
}

int64_t row_elements(const Rows& rows) {
  int64_t n = 1;
  for (size_t i = 1; i < rows.sizes.size(); ++i) n *= rows.sizes[i];
  return n;
}

// Rows in any order come from anywhere in memory: while one is read, the one so many bytes behind it, and at least two rows, is
// asked for. Into L2 only: in L1 it would be in the way of what is being read.
constexpr int64_t kAheadBytes = 4096;
constexpr int64_t kAheadRows = 2;
constexpr int64_t kMostAsked = 16384;  // of a row: from there the processor itself goes on

class Ahead {
 public:
  Ahead(const Rows& rows, const Which& which)
      : rows_(rows),
        which_(which),
        bytes_(row_is_dense(rows) ? std::min(row_elements(rows) * static_cast<int64_t>(bytes_of(rows.type)), kMostAsked) : 0),
        distance_(std::max(kAheadRows, kAheadBytes / std::max<int64_t>(bytes_, 1))) {}

  // While row i is read. Inline, as GCC takes away the calls of a function that does nothing but ask.
  [[gnu::always_inline]] void ask(int64_t i) const {
    if (which_.order == nullptr || i + distance_ >= which_.known) return;
    const char* row = rows_.data + which_.row(i + distance_) * rows_.byte_strides[0];
    const char* line = row - reinterpret_cast<uintptr_t>(row) % kLine;
    for (; line < row + bytes_; line += kLine) __builtin_prefetch(line, 0, 2);
  }

 private:
  static constexpr int64_t kLine = 64;
  const Rows& rows_;
  const Which& which_;
  const int64_t bytes_, distance_;
};

template <size_t kBytes>
void copy_rows(char* to, const Rows& rows, const Which& which, int64_t count, size_t bytes = kBytes) {
  const Ahead ahead(rows, which);
  for (int64_t i = 0; i < count; ++i, to += bytes) {
    ahead.ask(i);
    std::memcpy(to, rows.data + which.row(i) * rows.byte_strides[0], kBytes ? kBytes : bytes);
  }
}

// A float16 of IEEE 754.
struct Half {
  uint16_t bits;

  // Of whole numbers, as a step of training takes small float32 for zero; without branches, so that a loop is one of vectors.
  explicit operator float() const {
    constexpr uint32_t kExponent = 0x1fU << 23, kBias = uint32_t{127 - 15} << 23;
    const uint32_t magnitude = (bits & 0x7fffU) << 13, exponent = magnitude & kExponent;
    const uint32_t plain = magnitude + kBias + (kBias & -uint32_t{exponent == kExponent});  // infinity and NaN stay so
    const auto subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(bits & 0x7fffU)) * 0x1p-24F);
    const uint32_t normal = -uint32_t{exponent != 0};
    return std::bit_cast<float>((plain & normal) | (subnormal & ~normal) | (bits & 0x8000U) << 16);
  }
};

template <class To, class From>
To converted(From value) {
  if constexpr (std::is_same_v<To, int64_t> && std::is_floating_point_v<From>)
    return kernels::whole_number(static_cast<double>(value));
  else
    return static_cast<To>(value);
}

template <class From, class To>
To* convert_line(To* __restrict to, const char* from, int64_t n, int64_t stride) {
  const auto at = [&](int64_t i, int64_t apart) {
    From value;
    std::memcpy(&value, from + i * apart, sizeof value);
    if constexpr (std::is_same_v<From, Half>)
      to[i] = converted<To>(static_cast<float>(value));
    else
      to[i] = converted<To>(value);
  };
  if (stride == sizeof(From))  // a loop of its own, in vectors
    for (int64_t i = 0; i < n; ++i) at(i, sizeof(From));
  else
    for (int64_t i = 0; i < n; ++i) at(i, stride);
  return to + n;
}

// Walks the axes from `axis` on.
template <class From, class To>
To* convert_axes(To* to, const char* from, const Rows& rows, size_t axis) {
  const size_t rank = rows.sizes.size();
  if (axis >= rank) return convert_line<From>(to, from, 1, sizeof(From));
  const int64_t n = rows.sizes[axis], stride = rows.byte_strides[axis];
  if (axis + 1 == rank) return convert_line<From>(to, from, n, stride);
  for (int64_t i = 0; i < n; ++i) to = convert_axes<From>(to, from + i * stride, rows, axis + 1);
  return to;
}

template <class From, class To>
void gather_as(To* to, const Rows& rows, const Which& which, int64_t count) {
  const Ahead ahead(rows, which);
  for (int64_t i = 0; i < count; ++i) {
    ahead.ask(i);
    to = convert_axes<From>(to, rows.data + which.row(i) * rows.byte_strides[0], rows, 1);
  }
}

template <class To>
void gather_to(To* to, const Rows& rows, const Which& which, int64_t count) {
  switch (rows.type) {
    case Source::boolean:
    case Source::uint8: return gather_as<uint8_t>(to, rows, which, count);
    case Source::int8: return gather_as<int8_t>(to, rows, which, count);
    case Source::int16: return gather_as<int16_t>(to, rows, which, count);
    case Source::uint16: return gather_as<uint16_t>(to, rows, which, count);
    case Source::int32: return gather_as<int32_t>(to, rows, which, count);
    case Source::uint32: return gather_as<uint32_t>(to, rows, which, count);
    case Source::int64: return gather_as<int64_t>(to, rows, which, count);
    case Source::uint64: return gather_as<uint64_t>(to, rows, which, count);
    case Source::float16: return gather_as<Half>(to, rows, which, count);
    case Source::float32: return gather_as<float>(to, rows, which, count);
    case Source::float64: return gather_as<double>(to, rows, which, count);
  }
}

// uint8 that holds a truth: anything but 0 is 1.
struct Truth {
  uint8_t value = 0;
  Truth() = default;
  template <class From>
  explicit Truth(From from) : value(from != From(0)) {}
};

}  // namespace

const void* Rows::in_place(DType wanted, int64_t first) const {
  const bool aligned = reinterpret_cast<uintptr_t>(data) % bytes_of(type) == 0;
  const bool dense = aligned && same(type, wanted) && row_is_dense(*this) &&
                     (byte_strides[0] == row_elements(*this) * static_cast<int64_t>(bytes_of(type)) || sizes[0] <= 1);
  return dense ? data + first * byte_strides[0] : nullptr;
}

void gather_rows(void* to, DType type, const Rows& rows, const Which& which, int64_t count) {
  if (same(rows.type, type) && row_is_dense(rows)) {
    const size_t bytes = static_cast<size_t>(row_elements(rows)) * bytes_of(rows.type);
    auto* dense = static_cast<char*>(to);
    switch (bytes) {  // of a known size there is no call
      case 4: return copy_rows<4>(dense, rows, which, count);
      case 8: return copy_rows<8>(dense, rows, which, count);
      case 16: return copy_rows<16>(dense, rows, which, count);
      default: return copy_rows<0>(dense, rows, which, count, bytes);
    }
  }
  switch (type) {
    case DType::boolean: return gather_to(static_cast<Truth*>(to), rows, which, count);
    case DType::int64: return gather_to(static_cast<int64_t*>(to), rows, which, count);
    case DType::float32: return gather_to(static_cast<float*>(to), rows, which, count);
    case DType::float64: return gather_to(static_cast<double*>(to), rows, which, count);
  }
}

}  // namespace lamina::runtime
