// Products: against double sums, bit-equal however they are cut; narrow products; transposes.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels_common.h"

namespace kernels_test {

// How B lies: its rows are dense, its columns are, or neither.
enum class Right { rows, columns, sparse };

// Where the sums begin: at zero, at what C holds, at a row.
enum class Start { zero, result, row };

template <class T>
struct Matrices {
  ptrdiff_t m, n, k, a_row, a_col, b_row, b_col, c_row;
  std::shared_ptr<T[]> a, b, row;  // which end with the last number that a product needs
  std::vector<T> c;

  Matrices(ptrdiff_t m_, ptrdiff_t n_, ptrdiff_t k_, bool transposed, Right right = Right::rows) : m(m_), n(n_), k(k_) {
    a_row = transposed ? 1 : k + 1;
    a_col = transposed ? m + 2 : 1;
    b_row = right == Right::columns ? 1 : right == Right::rows ? n + 3 : 2 * n + 1;
    b_col = right == Right::columns ? k + 2 : right == Right::rows ? 1 : 2;
    c_row = n + 1;
    a = guarded(normal_values<T>(k == 0 ? 0 : size_t((m - 1) * a_row + (k - 1) * a_col + 1)));
    b = guarded(normal_values<T>(k == 0 ? 0 : size_t((k - 1) * b_row + (n - 1) * b_col + 1)));
    c = normal_values<T>(size_t(m * c_row + 1));
    row = guarded(normal_values<T>(size_t(n)));
  }
  GemmArgs args(std::vector<T>& out, Start start) const {
    const T* begin = start == Start::result ? out.data() : start == Start::row ? row.get() : nullptr;
    return {m, n, k, a.get(), a_row, a_col, b.get(), b_row, b_col, out.data(), c_row, begin, start == Start::result ? c_row : 0};
  }
  Wider<T> right(ptrdiff_t i, ptrdiff_t j, Start start) const {
    Wider<T> sum = start == Start::result ? c[size_t(i * c_row + j)] : start == Start::row ? row[size_t(j)] : T(0);
    for (ptrdiff_t p = 0; p < k; ++p)
      sum += Wider<T>(a[size_t(i * a_row + p * a_col)]) * Wider<T>(b[size_t(p * b_row + j * b_col)]);
    return sum;
  }
};

// The product, with as much room as it asks for; what lies behind that stays as it is.
template <class T>
void multiply(const Table& table, GemmArgs g) {
  const GemmKernel& gemm = table.gemm[precision<T>()];
  std::vector<T> room(size_t(gemm.room(g) + 1), T(77));
  g.room = room.data();
  gemm.block(g);
  CHECK(room.back() == T(77), table.isa << " block wrote beyond its room");
}

template <class T>
double product_tolerance(ptrdiff_t k) {
  return std::numeric_limits<T>::epsilon() * 4 * (std::sqrt(double(k)) + 4);  // k roundings of sums of size sqrt(k), in one chain
}

// Parts: each element of C is handed out once, finished, in parts that begin at multiples of the grain.
template <class T>
struct Handed {
  const Table& table;
  const Matrices<T>& x;
  const std::vector<T>& whole;
  ptrdiff_t grain;
  std::vector<int> times;

  static void finished(void* context, const GemmPart& part) {
    Handed& h = *static_cast<Handed*>(context);
    CHECK(part.row0 % h.grain == 0, h.table.isa << " part begins at row " << part.row0 << ", grain " << h.grain);
    for (ptrdiff_t i = part.row0; i < part.row1; ++i)
      for (ptrdiff_t j = part.col0; j < part.col1; ++j) {
        const T c = static_cast<const T*>(part.c)[(i - part.row0) * part.c_row + j - part.col0];
        CHECK(same_bits(&c, &h.whole[size_t(i * h.x.c_row + j)], 1), h.table.isa << " part at " << i << "," << j);
        ++h.times[size_t(i * h.x.n + j)];
      }
  }
};

template <class T>
void check_parts(const Table& table, const Matrices<T>& x, const std::vector<T>& whole, Start start, ptrdiff_t grain,
                 bool in_parts) {
  Handed<T> handed{table, x, whole, grain, std::vector<int>(size_t(x.m * x.n))};
  std::vector<T> c = x.c;
  const std::vector<T> wanted(size_t(x.m * x.n));
  GemmArgs g = x.args(c, start);
  g.finished = Handed<T>::finished;
  g.context = &handed;
  g.grain = grain;
  g.in_parts = in_parts;
  const std::vector<GemmArgs::Far> far(kMaxFar, {wanted.data(), x.n * ptrdiff_t(sizeof(T))});
  g.far = far.data();
  g.far_count = kMaxFar;
  const ptrdiff_t largest = table.gemm[precision<T>()].part(g);
  std::vector<T> part(size_t(largest + 1), T(77));
  if (in_parts) g.c = part.data();
  multiply<T>(table, g);
  CHECK(part.back() == T(77), table.isa << " block wrote beyond its part");
  CHECK(std::all_of(handed.times.begin(), handed.times.end(), [](int n) { return n == 1; }),
        table.isa << " " << type_name<T>() << " parts of " << x.m << "x" << x.n << "x" << x.k << " grain " << grain);
}

// Added to C: one addition for each element.
template <class T>
void check_added(const Table& table, const Matrices<T>& x, const std::vector<T>& whole, Start start) {
  std::vector<T> sums = x.c, right = x.c;
  GemmArgs g = x.args(sums, start);
  g.adds = true;
  multiply<T>(table, g);
  for (ptrdiff_t i = 0; i < x.m; ++i)
    for (ptrdiff_t j = 0; j < x.n; ++j) right[size_t(i * x.c_row + j)] += whole[size_t(i * x.c_row + j)];
  CHECK(same_bits(sums.data(), right.data(), ptrdiff_t(sums.size())),
        table.isa << " " << type_name<T>() << " block " << x.m << "x" << x.n << "x" << x.k << " added to C");
}

template <class T>
void check_block(const Table& table, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, bool transposed, Start start,
                 Right right = Right::rows) {
  const Matrices<T> x(m, n, k, transposed, right);
  std::vector<T> whole = x.c, cut = x.c;
  multiply<T>(table, x.args(whole, start));
  for (ptrdiff_t i = 0; i < m; ++i) {
    for (ptrdiff_t j = 0; j < n; ++j)
      CHECK(std::fabs(whole[size_t(i * x.c_row + j)] - x.right(i, j, start)) <= product_tolerance<T>(k) * std::sqrt(double(k)),
            table.isa << " " << type_name<T>() << " block " << m << "x" << n << "x" << k << " at " << i << "," << j);
    CHECK(whole[size_t(i * x.c_row + n)] == x.c[size_t(i * x.c_row + n)], table.isa << " block wrote beyond its columns");
  }
  CHECK(whole.back() == x.c.back(), table.isa << " block wrote beyond its rows");

  // The same in four pieces of C and two of k.
  const ptrdiff_t mc[] = {0, m / 3, m}, nc[] = {0, (2 * n) / 3, n}, kc[] = {0, k / 2, k};
  for (int p = 0; p < 2; ++p)
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) {
        GemmArgs g = x.args(cut, p > 0 ? Start::result : start);
        g.m = mc[i + 1] - mc[i];
        g.n = nc[j + 1] - nc[j];
        g.k = kc[p + 1] - kc[p];
        g.a = x.a.get() + mc[i] * x.a_row + kc[p] * x.a_col;
        g.b = x.b.get() + kc[p] * x.b_row + nc[j] * x.b_col;
        g.c = cut.data() + mc[i] * x.c_row + nc[j];
        if (g.start) g.start = p == 0 && start == Start::row ? x.row.get() + nc[j] : g.c;
        multiply<T>(table, g);
      }
  CHECK(same_bits(cut.data(), whole.data(), ptrdiff_t(cut.size())),
        table.isa << " " << type_name<T>() << " block " << m << "x" << n << "x" << k << " depends on how it is cut");

  if (k <= table.gemm[precision<T>()].piece && start != Start::result) check_added(table, x, whole, start);
  if (n * k > 1 << 20) return;             // of the largest, nothing is handed out
  const bool large = m * n * k > 1 << 24;  // which take most of the time, on an emulated processor above all
  for (ptrdiff_t grain : large ? std::vector<ptrdiff_t>{5, 150} : std::vector<ptrdiff_t>{1, 5, 32, 150}) {
    check_parts(table, x, whole, start, grain, false);
    if (k <= table.gemm[precision<T>()].piece && start != Start::result) check_parts(table, x, whole, start, grain, true);
  }
}

template <class T>
void check_narrow(const Table& table, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, Start start) {
  const GemmKernel& gemm = table.gemm[precision<T>()];
  const Matrices<T> x(m, n, k, false);
  const auto bt = guarded(std::vector<T>(k == 0 ? 0 : size_t((n - 1) * (k + 2) + k)));
  std::vector<T> out = x.c, one = x.c;
  for (ptrdiff_t j = 0; j < n; ++j)
    for (ptrdiff_t p = 0; p < k; ++p) bt[j * (k + 2) + p] = x.b[size_t(p * x.b_row + j)];
  GemmArgs g = x.args(out, start);
  g.b = bt.get();
  g.b_row = k + 2;
  gemm.narrow(g);
  for (ptrdiff_t i = 0; i < m; ++i)
    for (ptrdiff_t j = 0; j < n; ++j) {
      CHECK(std::fabs(out[size_t(i * x.c_row + j)] - x.right(i, j, start)) <= product_tolerance<T>(k) * std::sqrt(double(k)),
            table.isa << " " << type_name<T>() << " narrow " << m << "x" << n << "x" << k);
      GemmArgs single = g;
      single.m = single.n = 1;
      single.a = x.a.get() + i * x.a_row;
      single.b = bt.get() + j * (k + 2);
      single.c = one.data() + i * x.c_row + j;
      if (g.start) single.start = start == Start::row ? x.row.get() + j : single.c;
      gemm.narrow(single);
    }
  CHECK(same_bits(one.data(), out.data(), ptrdiff_t(out.size())), table.isa << " narrow depends on how it is cut");
}

// A column whose elements are neighbours, which are merged a vector at a time, is the one whose elements are not; so where all sums
// begin at one number.
template <class T>
void check_column(const Table& table, ptrdiff_t m, ptrdiff_t k, Start start) {
  const std::vector<T> a = normal_values<T>(size_t(m * (k + 1))), b = normal_values<T>(size_t(k) + 1);
  const std::vector<T> row = normal_values<T>(1);
  std::vector<T> dense = normal_values<T>(size_t(m) + 1), apart(size_t(2 * m));
  for (size_t i = 0; i < size_t(m); ++i) apart[2 * i] = dense[i];
  const T behind = dense.back();
  GemmArgs g{};
  g.m = m, g.n = 1, g.k = k, g.a = a.data(), g.a_row = k + 1, g.a_col = 1, g.b = b.data(), g.b_row = k;
  for (auto [c, c_row] : {std::pair{dense.data(), 1}, std::pair{apart.data(), 2}}) {
    g.c = c, g.c_row = c_row, g.start_row = start == Start::result ? c_row : 0;
    g.start = start == Start::result ? c : start == Start::row ? row.data() : nullptr;
    table.gemm[precision<T>()].narrow(g);
  }
  for (size_t i = 0; i < size_t(m); ++i)
    CHECK(same_bits(&dense[i], &apart[2 * i], 1),
          table.isa << " " << type_name<T>() << " column of " << m << ", k " << k << " at " << i);
  CHECK(dense.back() == behind, table.isa << " column of " << m << " wrote beyond");
}

template <class T>
void check_transpose(const Table& table, ptrdiff_t rows, ptrdiff_t cols) {
  const ptrdiff_t src_row = cols + 3, dst_row = rows + 1;
  const auto src = guarded(normal_values<T>(size_t((rows - 1) * src_row + cols)));
  std::vector<T> dst(size_t(cols * dst_row + 1), T(77));
  table.gemm[precision<T>()].transpose(dst.data(), dst_row, src.get(), src_row, rows, cols);
  for (ptrdiff_t c = 0; c < cols; ++c) {
    for (ptrdiff_t r = 0; r < rows; ++r)
      CHECK(dst[size_t(c * dst_row + r)] == src[r * src_row + c], table.isa << " transpose " << rows << "x" << cols);
    CHECK(dst[size_t(c * dst_row + rows)] == T(77), table.isa << " transpose wrote beyond");
  }
}

// What is on and above the diagonal has the bits of the whole product, wherever the block lies.
template <class T>
void check_half(const Table& table, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t diagonal) {
  const Matrices<T> x(m, n, k, true);
  std::vector<T> whole = x.c, half = x.c;
  GemmArgs g = x.args(whole, Start::result);
  multiply<T>(table, g);
  g.c = half.data();
  g.start = g.c;
  g.diagonal = diagonal;
  multiply<T>(table, g);
  for (ptrdiff_t i = 0; i < m; ++i)
    for (ptrdiff_t j = 0; j <= n; ++j) {
      const auto at = size_t(i * x.c_row + j);
      const bool untouched = j < n && j < i - diagonal && half[at] == x.c[at];
      CHECK(half[at] == whole[at] || untouched, table.isa << " half block " << m << "x" << n << " at " << i << "," << j);
    }
}

// Sums of outer products of rows, whole and upper triangles; with a guard behind everything that is read and written.
template <class T>
void check_outer(const Table& table, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t m, ptrdiff_t pairs, bool triangle) {
  if (triangle) m = n;
  std::vector<std::vector<T>> a, b;
  std::vector<const void*> as, bs;
  for (ptrdiff_t k = 0; k < pairs; ++k) {
    a.push_back(normal_values<T>(size_t(rows * n)));
    b.push_back(triangle ? a.back() : normal_values<T>(size_t(rows * m)));
  }
  for (ptrdiff_t k = 0; k < pairs; ++k) {
    as.push_back(a[size_t(k)].data());
    bs.push_back(b[size_t(k)].data());
  }
  const ptrdiff_t size = triangle ? n * (n + 1) / 2 : n * m;
  std::vector<T> out(size_t(rows * size + 1), T(77));
  table.outer[precision<T>()]({rows, n, m, pairs, as.data(), bs.data(), out.data(), triangle});
  const T* at = out.data();
  for (ptrdiff_t r = 0; r < rows; ++r)
    for (ptrdiff_t i = 0; i < n; ++i)
      for (ptrdiff_t j = triangle ? i : 0; j < m; ++j, ++at) {
        Wider<T> sum = 0;
        for (size_t k = 0; k < size_t(pairs); ++k) sum += Wider<T>(a[k][size_t(r * n + i)]) * Wider<T>(b[k][size_t(r * m + j)]);
        CHECK(std::fabs(*at - sum) <= 16 * std::numeric_limits<T>::epsilon() * double(pairs),
              table.isa << " outer " << rows << "x" << n << "x" << m << " pairs " << pairs << " at " << r << "," << i << "," << j);
      }
  CHECK(*at == T(77), table.isa << " outer wrote beyond");
}

// A step asks for the room of its largest block; the last one may have any number of rows and columns, and be handed out whole.
template <class T>
void check_room(const Table& table) {
  const GemmKernel& gemm = table.gemm[precision<T>()];
  for (const auto& [n, k] : {std::pair<ptrdiff_t, ptrdiff_t>{60000, 40},
                             {9000, 300},
                             {1024, 2100},
                             {700, 1100},
                             {576, 3800},
                             {576, 1900},
                             {300, 800},
                             {160, 4096},
                             {192, 18000}})
    for (bool columns : {false, true})
      for (bool transposed : {false, true})
        for (bool parts : {false, true})
          for (ptrdiff_t most : {3, 12, 64, 65, 100, 200, 300}) {
            GemmArgs g{};
            g.n = n;
            g.k = k;
            g.a_row = transposed ? 1 : k;
            g.a_col = transposed ? most : 1;
            g.b_row = columns ? 1 : n;
            g.b_col = columns ? k : 1;
            if (parts) g.finished = [](void*, const GemmPart&) {};
            g.m = most;
            const ptrdiff_t room = gemm.room(g), part = gemm.part(g);
            g.finished = nullptr;
            for (ptrdiff_t left :
                 {n, n - 52, n * 3 / 4, n / 2, n / 4, ptrdiff_t(130), ptrdiff_t(70), ptrdiff_t(15), ptrdiff_t(7), ptrdiff_t(3)})
              for (g.n = left, g.m = 1; g.m <= most; ++g.m)
                CHECK(gemm.room(g) <= room && (!parts || gemm.part(g) <= part),
                      table.isa << " " << type_name<T>() << " room of " << g.m << " rows of " << most << ", " << left
                                << " columns of " << n << ", k " << k);
          }
}

#ifdef LAMINA_EMULATED  // .ci/aarch64: the largest products would take half of its time
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

// All of them, as i goes on.
constexpr Start start_of(ptrdiff_t i) { return static_cast<Start>(i % 3); }

template <class T>
void check_gemm(const Table& table) {
  section(std::string("gemm ") + table.isa);
  check_room<T>(table);
  for (ptrdiff_t m : {1, 2, 3, 4, 5, 6, 7, 8, 11, 13})
    for (ptrdiff_t n : kSizes)
      for (ptrdiff_t k : {0, 1, 2, 9})
        for (bool transposed : {false, true})
          for (Right right : {Right::rows, Right::columns, Right::sparse})
            check_block<T>(table, m, n, k, transposed, start_of(m + n + k), right);
  for (Start start : {Start::zero, Start::result, Start::row}) check_block<T>(table, 37, 61, 53, false, start);
  check_block<T>(table, 37, 61, 53, true, Start::result);
  check_block<T>(table, 13, 70, 1500, false, Start::row);  // several pieces of k
  check_block<T>(table, 13, 3, 1500, true, Start::row);
  check_block<T>(table, 20, 300, 33, false, Start::result);
  check_block<T>(table, 150, 300, 1, false, Start::zero);             // an outer product in parts
  for (Right right : {Right::rows, Right::columns, Right::sparse}) {  // several groups of panels, several pieces of k
    for (ptrdiff_t m : {1, 2, 3, 4, 5})
      for (ptrdiff_t k : {254, 510, 700, 1022})  // columns of B that lie 256, 512 and 1,024 numbers apart, and 702
        check_block<T>(table, m, k == 700 ? 150 : 75, k, m % 2 == 0, k == 510 ? Start::result : start_of(m), right);
    for (ptrdiff_t m : {1, 2})
      for (ptrdiff_t n : {125, 2045})  // rows of B that lie 128 and 2,048 numbers apart, which begin within a vector
        check_block<T>(table, m, n, 37, m % 2 == 0, n == 125 ? Start::result : Start::row, right);
    check_block<T>(table, 40, 530, 130, true, Start::zero, right);
    check_block<T>(table, 40, 1030, 9, false, Start::row, right);
    check_block<T>(table, 33, 21, 1100, false, Start::result, right);
    check_block<T>(table, 66, 61, 1100, true, Start::row, right);  // a long k
    check_block<T>(table, 130, 45, 530, false, Start::zero, right);
    check_block<T>(table, 9, 3, 4200, false, Start::zero, right);
    check_block<T>(table, 300, 21, 70, true, Start::row, right);  // several blocks of rows
    check_block<T>(table, 2100, 37, 40, false, Start::row, right);
    check_block<T>(table, 530, 271, 37, true, Start::zero, right);  // the same, of an A that is packed
    check_block<T>(table, 270, 261, 39, false, Start::row, right);
    if (!kEmulated || right == Right::rows) {
      check_block<T>(table, 1100, 70, 1020, true, Start::row, right);
      for (bool transposed : {false, true})  // so many rows that pieces of k are longer, and blocks an eighth of some caches
        check_block<T>(table, 1040, 21, 2100, transposed, Start::row, right);
    }
    check_block<T>(table, 150, 1100, 20, true, Start::zero, right);  // several groups of strips
  }
  const ptrdiff_t far = (8 << 20) / 1100 / ptrdiff_t(sizeof(T)) + 2;  // columns of a B that comes from memory
  for (ptrdiff_t m : {7, 8, 9}) check_block<T>(table, m, far, 1100, m == 7, Start::row);
  for (ptrdiff_t m : {1, 2, 3, 4, 5, 9, 18})
    for (ptrdiff_t n : {1, 2, 3, 4, 5, 8, 10, 13, 21})
      for (ptrdiff_t k : {0, 1, 7, 8, 9, 16, 17, 33, 65, 130}) check_narrow<T>(table, m, n, k, start_of(m + k));
  for (ptrdiff_t m : kSizes)
    for (ptrdiff_t k : {0, 1, 16, 33, 130})
      for (Start start : {Start::zero, Start::result, Start::row}) check_column<T>(table, m, k, start);
  for (ptrdiff_t n : kSizes)
    for (ptrdiff_t diagonal : {-70, -9, -1, 0, 1, 8, 70}) {
      check_half<T>(table, n, n, 5, diagonal);
      check_half<T>(table, 40, n, 300, diagonal);
      check_half<T>(table, 260, n, 5, diagonal);
    }
  for (ptrdiff_t rows : {1, 2, 5})
    for (ptrdiff_t n : {1, 2, 3, 5, 8, 11})
      for (ptrdiff_t m : {1, 2, 3, 4, 5, 9, 16, 19})
        for (ptrdiff_t pairs : {1, 2, 3, 4})
          for (bool triangle : {false, true}) check_outer<T>(table, rows, n, m, pairs, triangle);
  for (ptrdiff_t rows : kSizes)
    for (ptrdiff_t cols : kSizes) check_transpose<T>(table, rows, cols);
}

}  // namespace kernels_test
