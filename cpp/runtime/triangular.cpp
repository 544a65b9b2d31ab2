#include "runtime/triangular.h"

#include <algorithm>

#include "base/aligned.h"
#include "base/threads.h"
#include "kernels/dispatch.h"
#include "runtime/cuts.h"
#include "runtime/kernel_types.h"

namespace lamina::runtime {

namespace {

constexpr int64_t kFewColumns = 8;          // one by one: fewer than fill the vectors of a row
constexpr int64_t kBlock = 32;              // rows that are solved together; what is done of the others is subtracted as a product
constexpr int64_t kNearXBytes = 256 << 10;  // of x, so that it stays in L2
constexpr int64_t kFewestColumns = 64;      // of a part, else T is read too often; columns know nothing of each other
constexpr double kSharedSolutions = 1 << 20;  // multiply-adds from which on threads share them

// One of the systems, some of its columns.
class Solver {
 public:
  explicit Solver(const TriangularSystems& s)
      : s_(s),
        precision_(precision_of(s.dtype)),
        element_(static_cast<int64_t>(size_of(s.dtype))),
        t_row_(s.transposed ? 1 : s.n),
        t_col_(s.transposed ? s.n : 1),
        forward_(s.lower != s.transposed),
        t_(static_cast<const char*>(s.t)),
        x_(static_cast<char*>(s.x)) {}

  // What solve() needs of scratch for so many columns at once.
  int64_t scratch_bytes(int64_t columns) const {
    if (columns < kFewColumns) return s_.n * element_;
    int64_t most = 0;
    each_block([&](int64_t begin, int64_t end, int64_t done) {
      most = std::max<int64_t>(most, kernel().room(product(begin, end, columns, done)));
    });
    return most * element_;
  }

  void solve(int64_t matrix, int64_t first, int64_t columns, char* scratch) {
    t_ = static_cast<const char*>(s_.t) + matrix * s_.n * s_.n * element_;
    x_ = static_cast<char*>(s_.x) + (matrix * s_.n * s_.columns + first) * element_;
    if (columns < kFewColumns)
      for (int64_t j = 0; j < columns; ++j) solve_column(x_ + j * element_, scratch);
    else
      solve_rows(columns, scratch);
  }

 private:
  const kernels::GemmKernel& kernel() const { return kernels::table().gemm[precision_]; }

  // Calls f(begin, end, done) for the rows [begin, end) that are solved together, in their order, after `done` others.
  template <class F>
  void each_block(const F& f) const {
    for (int64_t done = 0; done < s_.n; done += kBlock) {
      const int64_t rows = std::min(kBlock, s_.n - done), begin = forward_ ? done : s_.n - done - rows;
      f(begin, begin + rows, done);
    }
  }

  // These rows of T, and of x, in the order in which they are solved.
  kernels::Triangle triangle(char* x, int64_t x_row, int64_t columns, int64_t begin, int64_t end) const {
    const int64_t first = forward_ ? begin : end - 1, way = forward_ ? 1 : -1;
    const char* t = t_ + first * (t_row_ + t_col_) * element_;
    return {t, end - begin, way * t_row_, way * t_col_, s_.unit, x + first * x_row * element_, way * x_row, columns};
  }

  void solve_column(char* x, char* scratch) const {
    const auto dense = [&](char* column) { kernels::table().substitute_column[precision_](triangle(column, 1, 1, 0, s_.n)); };
    if (s_.columns == 1) return dense(x);
    const auto move = [&](char* to, int64_t to_row, const char* from, int64_t from_row) {
      for (int64_t i = 0; i < s_.n; ++i) std::copy_n(from + i * from_row, element_, to + i * to_row);
    };
    move(scratch, element_, x, s_.columns * element_);
    dense(scratch);
    move(x, s_.columns * element_, scratch, element_);
  }

  void solve_rows(int64_t columns, char* scratch) const {
    each_block([&](int64_t begin, int64_t end, int64_t done) {
      kernels::GemmArgs others = product(begin, end, columns, done);
      others.room = scratch;
      if (done > 0) kernel().block(others);
      kernels::table().substitute_rows[precision_](triangle(x_, s_.columns, columns, begin, end));
    });
    for (int64_t i = 0; i < s_.n; ++i) negate(x_ + i * s_.columns * element_, columns);
  }

  // x[begin, end) += T x of the rows that are done, which x holds with the other sign.
  kernels::GemmArgs product(int64_t begin, int64_t end, int64_t columns, int64_t done) const {
    const int64_t others = forward_ ? 0 : end;
    kernels::GemmArgs g{};
    g.m = end - begin, g.n = columns, g.k = done;
    g.a = t_ + (begin * t_row_ + others * t_col_) * element_;
    g.a_row = t_row_, g.a_col = t_col_;
    g.b = x_ + others * s_.columns * element_;
    g.b_row = s_.columns, g.b_col = 1;
    g.c = x_ + begin * s_.columns * element_;
    g.c_row = s_.columns;
    g.start = g.c, g.start_row = g.c_row;
    return g;
  }

  void negate(char* row, int64_t columns) const {
    const auto each = [&](auto* x) { std::transform(x, x + columns, x, [](auto number) { return -number; }); };
    if (s_.dtype == DType::float64)
      each(reinterpret_cast<double*>(row));
    else
      each(reinterpret_cast<float*>(row));
  }

  const TriangularSystems& s_;
  const kernels::Precision precision_;
  const int64_t element_, t_row_, t_col_;
  const bool forward_;  // from the first unknown to the last
  const char* t_;
  char* x_;
};

}  // namespace

void solve_triangular(const TriangularSystems& s) {
  if (s.count * s.n * s.columns == 0) return;
  const int64_t near = kNearXBytes / (s.n * static_cast<int64_t>(size_of(s.dtype)));
  const int64_t part = std::min(s.columns, std::max(kFewestColumns, near / kFewestColumns * kFewestColumns));
  const int64_t parts = ceil_div(s.columns, part);
  const auto size = [](int64_t number) { return static_cast<double>(number); };
  const int threads = size(s.count) * size(s.n) * size(s.n) * size(s.columns) < kSharedSolutions ? 1 : num_threads();
  const Solver sample(s);
  const int64_t bytes = round_up(std::max(sample.scratch_bytes(part), sample.scratch_bytes(s.columns - (parts - 1) * part)), 64);
  AlignedBuffer scratch;
  scratch.reset(static_cast<size_t>(threads * bytes), [] { return "a triangular system"; });
  parallel_for(s.count * parts, threads, [&](ptrdiff_t begin, ptrdiff_t end, int worker) {
    Solver solver(s);
    for (ptrdiff_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit % parts * part;
      solver.solve(unit / parts, first, std::min(part, s.columns - first), scratch.data() + worker * bytes);
    }
  });
}

}  // namespace lamina::runtime
