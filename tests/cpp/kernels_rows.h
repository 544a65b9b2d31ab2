// Reductions along rows and down columns, conversions, and the random stream.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels_common.h"
#include "philox.h"

namespace kernels_test {

template <class T>
T reduced(const std::string& op, const std::vector<T>& x) {
  Wider<T> sum = 0;
  T best = x[0];
  size_t at = 0;
  const bool lower = op.find("min") != std::string::npos;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += x[i];
    const bool better = best == best && (x[i] != x[i] || (lower ? x[i] < best : x[i] > best));
    if (better) best = x[i], at = i;
  }
  if (op == "sum") return T(sum);
  return op.substr(0, 3) == "arg" ? T(at) : best;
}

template <class T>
void check_row_reduce(const Table& table, const std::string& op, ptrdiff_t cols, bool with_nan, bool dense) {
  const ptrdiff_t rows = dense ? 37 : 3, out_row = dense ? 1 : 2;  // results side by side are made some at a time
  const ptrdiff_t row = cols + 1;
  std::vector<T> x = normal_values<T>(size_t(rows * row)), out(size_t(rows * out_row + 1), T(77));
  for (T& v : x)
    if (op.find("arg") == 0) v = T(std::round(2 * double(v)));  // ties: the first counts
  if (with_nan) x[size_t(row + cols / 2)] = std::numeric_limits<T>::quiet_NaN();
  const TileArgs t = TileArgs::of_one(out.data(), out_row, {x.data(), row, 1}, rows, cols);
  find_tile(table, "row_" + op).fn[precision<T>()](t);
  for (ptrdiff_t r = 0; r < rows; ++r) {
    const std::vector<T> one(x.begin() + r * row, x.begin() + r * row + cols);
    const T right = reduced(op, one), got = out[size_t(r * out_row)];
    const double tolerance = op == "sum" ? std::numeric_limits<T>::epsilon() * double(cols) * 3 : 0;
    CHECK((right != right && got != got) || std::fabs(got - right) <= tolerance,
          table.isa << " " << type_name<T>() << " row_" << op << " of " << cols << ": " << got << " for " << right);
    T alone = 0;  // the same bits as beside other rows
    find_tile(table, "row_" + op).fn[precision<T>()](TileArgs::of_one(&alone, out_row, {x.data() + r * row, row, 1}, 1, cols));
    CHECK(same_bits(&alone, &got, 1), table.isa << " " << type_name<T>() << " row_" << op << " of " << cols << ", alone");
    if (!dense || r == rows - 1) CHECK(out[size_t(r * out_row + 1)] == T(77), table.isa << " row_" << op << " wrote beyond");
  }
}

template <class T>
void check_row_splat(const Table& table, const std::string& op) {
  const T x = T(1.25);
  T out = 0;
  find_tile(table, "row_" + op).fn[precision<T>()](TileArgs::of_one(&out, 1, {&x, 0, 0}, 1, 37));
  CHECK(out == (op == "sum"           ? T(1.25 * 37)
                : op.find("arg") == 0 ? T(0)
                                      : T(1.25)),
        table.isa << " row_" << op << " of a splat: " << out);
}

template <class T>
void check_column_reduce(const Table& table, const std::string& op, ptrdiff_t cols, bool splat) {
  constexpr ptrdiff_t kRows = 7;
  const ptrdiff_t row = splat ? 1 : cols + 2;
  std::vector<T> x = normal_values<T>(size_t(kRows * row)), out = normal_values<T>(size_t(cols + 1));
  x[size_t(2 * row)] = op == "sum" ? T(1) : std::numeric_limits<T>::quiet_NaN();
  const std::vector<T> before = out;
  find_tile(table, "column_" + op)
      .fn[precision<T>()](TileArgs::of_columns(out.data(), {x.data(), row, splat ? 0 : 1}, kRows, cols, false));
  for (ptrdiff_t c = 0; c < cols; ++c) {
    T right = before[size_t(c)];
    for (ptrdiff_t r = 0; r < kRows; ++r) {
      const T v = x[size_t(r * row + (splat ? 0 : c))];
      if (op == "sum") right += v;  // in this order, so to the bit
      if (op == "max") right = right != right || right > v ? right : v;
      if (op == "min") right = right != right || right < v ? right : v;
    }
    CHECK(same_bits(&out[size_t(c)], &right, 1), table.isa << " column_" << op << " column " << c << " of " << cols);
  }
  CHECK(out[size_t(cols)] == before[size_t(cols)], table.isa << " column_" << op << " wrote beyond");
}

template <class T>
void check_plus_max(const Table& table, ptrdiff_t n) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> a = normal_values<T>(size_t(n)), m = normal_values<T>(size_t(n), 3.0), out(size_t(n) + 1, T(77));
  const T tops[] = {infinity, -infinity, nan};
  for (size_t i = 0; i < size_t(n); ++i)
    if (i % 5 < 3) m[i] = tops[i % 5], a[i] = nan;
  run<T>(find_tile(table, "plus_max"), flat_args<T>(out.data(), n, {a.data(), m.data()}));
  for (size_t i = 0; i < size_t(n); ++i) {
    const T right = std::isinf(m[i]) ? m[i] : a[i] + m[i];
    CHECK(out[i] == right || (right != right && out[i] != out[i]), table.isa << " plus_max at " << i << " of " << n);
  }
  CHECK(out[size_t(n)] == T(77), table.isa << " plus_max wrote beyond " << n);
}

// Softmax has the bits of its parts one after the other, in place too; with a guard behind the last row.
template <class T>
void check_softmax(const Table& table, ptrdiff_t rows, ptrdiff_t cols, double scale, int col, bool in_place) {
  const ptrdiff_t row = col || in_place ? cols + 2 : 1, out_row = in_place ? row : cols + 1;
  std::vector<T> x = normal_values<T>(size_t(rows * row)), m(static_cast<size_t>(rows)), s = m, e(size_t(rows * cols)), right = e;
  for (T& v : x) v *= T(scale);
  const auto run = [&](const char* name, T* out, ptrdiff_t to_row, Operand a, Operand b) {
    TileArgs t = TileArgs::of_any(out, to_row, rows, cols, 0, nullptr);
    t.in[0] = a;
    t.in[1] = b;
    find_tile(table, name).fn[precision<T>()](t);
  };
  const Operand given = {x.data(), row, col};
  run("row_max", m.data(), 1, given, {});
  run("exp_minus", e.data(), cols, given, {m.data(), 1, 0});
  run("row_sum", s.data(), 1, {e.data(), cols, 1}, {});
  run("div", right.data(), cols, {e.data(), cols, 1}, {s.data(), 1, 0});
  std::vector<T> apart(size_t(rows * out_row), T(77));
  std::vector<T>& out = in_place ? x : apart;
  const std::vector<T> before = out;
  run("softmax", out.data(), out_row, given, {});
  for (ptrdiff_t r = 0; r < rows; ++r) {
    CHECK(same_bits(&out[size_t(r * out_row)], &right[size_t(r * cols)], cols),
          table.isa << " " << type_name<T>() << " softmax of " << rows << " x " << cols << ", row " << r);
    CHECK(out[size_t(r * out_row + cols)] == before[size_t(r * out_row + cols)], table.isa << " softmax wrote beyond row " << r);
  }
}

template <class T>
void check_rows(const Table& table) {
  section(std::string("rows ") + table.isa);
  std::vector<ptrdiff_t> sizes = kSizes;
  sizes.push_back(1000);
  for (const std::string& op : kAlongRows) {
    for (ptrdiff_t cols : sizes)
      for (bool with_nan : {false, true})
        for (bool dense : {false, true}) check_row_reduce<T>(table, op, cols, with_nan, dense);
    check_row_splat<T>(table, op);
  }
  for (const std::string& op : kDownColumns)
    for (ptrdiff_t cols : sizes)
      for (bool splat : {false, true}) check_column_reduce<T>(table, op, cols, splat);
  for (ptrdiff_t rows : {1, 16, 37})
    for (ptrdiff_t cols : sizes)
      for (double scale : {1.0, 12.0}) {
        check_softmax<T>(table, rows, cols, scale, 1, false);
        check_softmax<T>(table, rows, cols, scale, 1, true);
        check_softmax<T>(table, rows, cols, scale, 0, false);
      }
  for (ptrdiff_t n : kSizes) check_plus_max<T>(table, n);
  check_softmax<T>(table, 5, 5000, 12.0, 1, false);  // fewer rows at a time than a vector has lanes
}

// What a conversion may meet: by turns a common number, and one at an end of a range or beside it.
template <class From>
std::vector<From> convertible_values(size_t n, size_t first) {
  using L = std::numeric_limits<From>;
  std::vector<From> ends;
  if constexpr (std::is_floating_point_v<From>) {
    ends = special_values<From>();
    for (const From x : {From(0x1p63), std::nextafter(From(0x1p63), From(0)), From(1e30), From(3e9), From(0.3)})
      ends.insert(ends.end(), {x, -x});
  } else {
    ends = {0, 1, -1, L::max(), L::min(), L::max() - 1, (From(1) << 24) + 1, (From(1) << 53) + 1};  // beyond 24, 53 bits: rounded
  }
  std::vector<From> x(n);
  for (size_t i = 0; i < n; ++i)
    x[i] = i % 2 ? From(int(generator()() % 200) - 100) / From(3) : ends[(first + i / 2) % ends.size()];
  return x;
}
template <>
inline std::vector<uint8_t> convertible_values(size_t n, size_t) {  // bools
  std::vector<uint8_t> x(n);
  for (uint8_t& v : x) v = uint8_t(generator()() % 2);
  return x;
}

// Toward zero; to the nearest there is beyond int64's range, and to the least for no number.
template <class From>
int64_t whole(From x) {
  if constexpr (std::is_floating_point_v<From>) {
    if (std::isnan(x) || x < From(-0x1p63)) return std::numeric_limits<int64_t>::min();
    if (x >= From(0x1p63)) return std::numeric_limits<int64_t>::max();
  }
  return int64_t(x);
}

template <class From, class To>
void check_convert(const Table& table, int from, int to) {
  section(std::string("convert ") + table.isa);
  for (ptrdiff_t n : kSizes)
    for (int col : {0, 1}) {
      const std::vector<From> x = convertible_values<From>(size_t(2 * n), size_t(n));
      std::vector<To> out(size_t(2 * n + 2), To(77));
      table.convert[from][to](TileArgs::of_one(out.data(), n + 1, {x.data(), n, col}, 2, n));
      for (ptrdiff_t r = 0; r < 2; ++r) {
        const To* row = &out[size_t(r * (n + 1))];
        for (ptrdiff_t c = 0; c < n; ++c) {
          const From v = x[size_t(r * n + c * col)];
          const To right = to == kBool ? To(v != From(0)) : to == kInt64 ? To(whole(v)) : To(v);
          CHECK(same_bits(&row[c], &right, 1),
                table.isa << " convert " << from << " to " << to << ": " << +v << " became " << +row[c]);
        }
        CHECK(row[n] == To(77), table.isa << " convert " << from << " to " << to << " wrote beyond " << n);
      }
    }
}

template <class From>
void check_convert_from(const Table& table, int from) {
  check_convert<From, uint8_t>(table, from, kBool);
  check_convert<From, int64_t>(table, from, kInt64);
  check_convert<From, float>(table, from, kFloat32);
  check_convert<From, double>(table, from, kFloat64);
}

inline void check_conversions(const Table& table) {
  check_convert_from<uint8_t>(table, kBool);
  check_convert_from<int64_t>(table, kInt64);
  check_convert_from<float>(table, kFloat32);
  check_convert_from<double>(table, kFloat64);
}

// The published vectors of Philox4x32-10.
inline void check_philox() {
  section("philox");
  using Words = std::array<uint32_t, 4>;
  CHECK((lamina::Philox{0, 0}.block(0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), "zeros");
  const uint64_t ones = ~uint64_t(0);
  CHECK((lamina::Philox{ones, ones}.block(ones) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}), "ones");
  const lamina::Philox pi{0x299f31d0a4093822, 0x0370734413198a2e};
  CHECK((pi.block(0x85a308d3243f6a88) == Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), "digits of pi");
}

inline void check_uniform(const Table& table) {
  section(std::string("uniform ") + table.isa);
  const lamina::Philox philox{0x123456789abcdef0, 0xfedcba9876543210};
  for (uint64_t first : {uint64_t(0), uint64_t(1), uint64_t(3), uint64_t(6), uint64_t(1000), (uint64_t(1) << 34) - 5})
    for (ptrdiff_t n : kSizes) {
      std::vector<float> f(size_t(n + 1), 77.0f);
      std::vector<double> d(size_t(n + 1), 77.0);
      table.uniform[kF32](f.data(), n, philox.seed, philox.stream, first);
      table.uniform[kF64](d.data(), n, philox.seed, philox.stream, first);
      for (ptrdiff_t i = 0; i < n; ++i) {
        CHECK(f[size_t(i)] == philox.uniform_f32(first + uint64_t(i)), table.isa << " f32 element " << first << " + " << i);
        CHECK(d[size_t(i)] == philox.uniform_f64(first + uint64_t(i)), table.isa << " f64 element " << first << " + " << i);
        CHECK(f[size_t(i)] >= 0 && f[size_t(i)] < 1 && d[size_t(i)] >= 0 && d[size_t(i)] < 1, "range");
      }
      CHECK(f[size_t(n)] == 77.0f && d[size_t(n)] == 77.0, table.isa << " uniform wrote beyond");
    }
}

}  // namespace kernels_test
