// The contract between the kernels and everything above them: one plain struct of function pointers an instruction set.
// Kernels take raw pointers and sizes; whoever calls them has checked the shapes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lamina::kernels {

// Index into every [2] of the table.
enum Precision : int { kF32 = 0, kF64 = 1 };

// ---- Tile instructions: out[r, c] = f(in0[r, c], in1[r, c], ...), one SIMD loop over a tile that stays in L1 ----

// Element (r, c) of an operand is data[r * row + c * col]; strides count elements. col is 1, or 0 (one value a row; with
// row == 0 as well, one value for all).
struct Operand {
  const void* data;
  ptrdiff_t row;
  ptrdiff_t col;
};

constexpr int kMaxOperands = 4;

struct TileArgs {
  void* out;          // columns are dense; may be the very data of an operand (in place), never a shifted overlap
  ptrdiff_t out_row;  // elements between rows of out
  Operand in[kMaxOperands];
  ptrdiff_t rows, cols;
  ptrdiff_t first_col;   // of this tile in the whole tensor (one_hot)
  const double* params;  // hyper-parameters of the instruction, in the order of its definition
  bool fresh;            // down columns: whether the rows are the first, and what out holds means nothing

  // Made by what a kind of instruction reads, so that none of it is forgotten. The rest is not cleared: that takes as long as a small
  // tile. Of any operands, which are filled in afterwards:
  [[gnu::always_inline]] static TileArgs of_any(void* out, ptrdiff_t out_row, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t first_col,
                                                const double* params) {
    TileArgs t;
    t.out = out;
    t.out_row = out_row;
    t.rows = rows;
    t.cols = cols;
    t.first_col = first_col;
    t.params = params;
    return t;
  }
  // Of one operand and no parameters: copies, conversions, reductions along rows.
  [[gnu::always_inline]] static TileArgs of_one(void* out, ptrdiff_t out_row, const Operand& x, ptrdiff_t rows, ptrdiff_t cols) {
    TileArgs t = of_any(out, out_row, rows, cols, 0, nullptr);
    t.in[0] = x;
    return t;
  }
  // Reductions down columns.
  [[gnu::always_inline]] static TileArgs of_columns(void* out, const Operand& x, ptrdiff_t rows, ptrdiff_t cols, bool fresh) {
    TileArgs t = of_one(out, cols, x, rows, cols);
    t.fresh = fresh;
    return t;
  }

 private:
  TileArgs() = default;
};

using TileFn = void (*)(const TileArgs&);

// Beside those that calculate element by element there are
//   softmax      out[r, :] from in0[r, :]
//   plus_max     of one dense row
//   row_..       out[r * out_row] from in0[r, :]                            (sum, max, min, argmax, argmin over the columns)
//   column_..    out[c] = combine(out[c], in0[r, c]) for r = 0.. in order   (sum, max, min)
struct TileEntry {
  const char* name;
  int arity;
  double flops;  // operations an element
  double work;   // what an element takes, in FLOP of a matrix product that take as long
  TileFn fn[2];
};

// Conversions between stored types: out[r, c] = To(in0[r, c]). Order of both indices: bool (uint8), int64, f32, f64.
// To bool: x != 0. To an integer: as whole_number().
enum Stored : int { kBool = 0, kInt64 = 1, kFloat32 = 2, kFloat64 = 3, kStoredCount = 4 };

// Toward zero; the nearest there is beyond int64's range, and the least for no number.
static inline constexpr int64_t whole_number(double x) {
  const double least = x >= -0x1p63 ? x : -0x1p63;
  const auto whole = static_cast<int64_t>(least < 0x1p63 ? least : 0.0);  // in any case: a loop of these becomes one of vectors
  return least < 0x1p63 ? whole : INT64_MAX;
}

// ---- Update rules: one instruction that reads the gradient and writes the weight and its slots in place ----

constexpr int kMaxSlots = 4;

struct RuleArgs {
  void* w;  // [rows, cols], w_row elements between rows; the slots lie exactly like w
  ptrdiff_t w_row;
  void* slot[kMaxSlots];
  const void* g;  // the gradient, g_row elements between rows
  ptrdiff_t g_row;
  ptrdiff_t rows, cols;
  const double* constants;  // what prepare() wrote for this step
  bool far;                 // whether w and the slots come from beyond the caches, and are better asked for ahead
  // Of rank one, where there is `left`: its row r is left[r * left_row] times the row at g.
  const void* left = nullptr;
  ptrdiff_t left_row = 0;
};

// `clock` persists: clock[0] = t, the steps taken; clock[1..3] belong to the rule. prepare() advances it by one step and writes the
// constants of that step (bias corrections and the like), so that the sweep itself does no scalar work.
using PrepareFn = void (*)(const double* hyper, double lr, double* clock, double* constants);

struct RuleEntry {
  const char* name;
  int slots;
  int hypers;
  const char* const* slot_names;   // [slots], e.g. "exp_avg"
  const char* const* hyper_names;  // [hypers], the order of `hyper` in prepare()
  PrepareFn prepare;
  void (*apply[2])(const RuleArgs&);
};

// ---- Matrix products ----

// A part of C: rows [row0, row1), columns [col0, col1), the first one at c.
struct GemmPart {
  ptrdiff_t row0, row1, col0, col1;
  void* c;
  ptrdiff_t c_row;
  bool asked;  // whether there was time to ask for all that lies far
};

constexpr int kMaxFar = 6;

struct GemmArgs {
  ptrdiff_t m, n, k;
  const void* a;
  ptrdiff_t a_row, a_col;  // any strides: A is read one element at a time, broadcast
  const void* b;
  ptrdiff_t b_row, b_col;  // any strides as well, fastest where b_col is 1, then where b_row is
  void* c;
  ptrdiff_t c_row;
  const void* start = nullptr;  // where the sums begin: C itself, or, with start_row 0, one row for all; nullptr: at zero
  ptrdiff_t start_row = 0;
  bool adds = false;   // c += (start + a b) instead: the product is summed first, and added with one rounding; k is at most `piece`
  bool far_a = false;  // A may come from memory, row behind row: it is asked for before it is read
  void* room = nullptr;                  // as many elements as room() says
  ptrdiff_t diagonal = PTRDIFF_MAX / 2;  // only elements in columns >= row - diagonal are wanted; others may be left out

  // Called for every part of C as soon as it is finished, while it is near; all parts together are C. Parts begin at multiples of
  // `grain` rows. With in_parts, C is room for one part alone, of as many elements as part() says.
  void (*finished)(void* context, const GemmPart& part) = nullptr;
  void* context = nullptr;
  ptrdiff_t grain = 1;
  bool in_parts = false;
  // Matrices that lie as C does, `row` bytes between their rows, which finished() will read or write and which are better asked for.
  struct Far {
    const void* at;
    ptrdiff_t row;
  };
  const Far* far = nullptr;
  int far_count = 0;  // at most kMaxFar
};

struct GemmKernel {
  int mr, nr;             // the register tile
  ptrdiff_t piece;        // the longest k in one piece where C is added to, or handed out; else C is passed over several times
  ptrdiff_t packed_rows;  // the most rows of an A that is packed
  // c[m, n] = start[m, n] + a[m, k] b[k, n]. Every element of C is ONE chain of fused multiply-adds over ascending k (whatever m, n
  // and the place in the tile), so results do not depend on how C is cut, and a second piece of k that begins with C equals one pass.
  void (*block)(const GemmArgs&);
  ptrdiff_t (*room)(const GemmArgs&);  // elements for factors that are packed, whether C is handed out or not
  ptrdiff_t (*part)(const GemmArgs&);  // elements of the largest part of C that it hands out, of so many rows and columns or fewer
  bool (*packs_a)(const GemmArgs&);    // whether A is packed, once for all columns
  // The same product for few columns or rows, B given transposed: c[i, j] = start[i, j] + sum_k a[i * a_row + k] bt[j * b_row + k]; a_col
  // is 1. Partial sums in lanes, merged in a fixed order that depends on k alone.
  void (*narrow)(const GemmArgs&);
  // dst[c * dst_row + r] = src[r * src_row + c] for r < rows, c < cols.
  void (*transpose)(void* dst, ptrdiff_t dst_row, const void* src, ptrdiff_t src_row, ptrdiff_t rows, ptrdiff_t cols);
};

// out[r] = sum over k < pairs of a[k][r] b[k][r]^T, n x m numbers a row; `triangle`: those on and above the diagonal alone (n == m).
struct OuterArgs {
  ptrdiff_t rows, n, m, pairs;
  const void* const* a;  // dense
  const void* const* b;
  void* out;
  bool triangle;
};

// ---- Systems of equations ----

// T x = b of a lower triangle T of n rows; x holds b. Strides count elements, and may be negative: an upper triangle, its rows and
// columns in reverse, is a lower one.
struct Triangle {
  const void* t;
  ptrdiff_t n, t_row, t_col;
  bool unit;  // ones are taken for the diagonal
  void* x;
  ptrdiff_t x_row, columns;  // of x, which are dense
};

// (scale (h + more) + D) x = b, h and more symmetric: their upper triangles are read.
struct PositiveTerms {
  const double* h;
  const double* more;  // null for none
  bool packed;         // the rows of the triangles alone, one after the other; else (n, n)
  double scale;
  const double* shift;  // D's diagonal: n numbers, or one for all
  bool uniform;
  const double* b;
};

// m rows of `row` numbers, a multiple of kEliminated; the columns [first, last) are to become zero below the diagonal. `end`, a multiple
// too: the columns up to it follow, others wait. order: m numbers, exchanged as the rows are.
struct Elimination {
  double* a;
  ptrdiff_t row, m, first, last, end;
  int64_t* order;
};
constexpr ptrdiff_t kEliminated = 8;

// Numbers in a row of the room in which a system of n equations is solved, n rows and one line: whole lines, and an odd number of them,
// so that columns do not fall into a few sets of the cache.
[[gnu::always_inline]] constexpr ptrdiff_t positive_row(ptrdiff_t n) { return ((n + 8) / 8 | 1) * 8; }
[[gnu::always_inline]] constexpr ptrdiff_t positive_room(ptrdiff_t n) { return n * positive_row(n) + 8; }

// ---- All of it ----

struct Table {
  const char* isa;  // "base", "avx2", "avx512", "neon"
  int vector_bytes;
  const TileEntry* tiles;
  int tile_count;
  TileFn convert[kStoredCount][kStoredCount];  // [from][to]
  const RuleEntry* rules;
  int rule_count;
  GemmKernel gemm[2];
  void (*outer[2])(const OuterArgs&);
  // One column: x_row and one of T's strides are 1, or both are -1.
  void (*substitute_column[2])(const Triangle&);
  // Any columns. Leaves -x in x, to be added where later rows subtract it.
  void (*substitute_rows[2])(const Triangle&);
  // A = P L U by partial pivoting: leaves U, below it L, whose diagonal is one, and L^-1 P^T of what stands to the right. Whether an odd
  // number of rows was exchanged.
  bool (*eliminate)(const Elimination&);
  // U^-1 of what stands from column `right` on, a multiple of kEliminated, of n rows.
  void (*substitute_upwards)(double* a, ptrdiff_t row, ptrdiff_t n, ptrdiff_t right);
  // A x = b by Cholesky's factorization A = U^T U, in the `room`, on whose and above whose diagonal U is left. False where A is not
  // positive definite in float64.
  bool (*solve_positive)(const PositiveTerms&, double* room, double* x, ptrdiff_t n);
  // The same A with another b, which x holds and A^-1 b replaces; the room as solve_positive left it.
  void (*solve_again)(const double* room, double* x, ptrdiff_t n);
  // S = kept S + w y^T + y w^T, so that (H + S) step = y, the change of the gradient; `kept`, at most 1, is as much of S as that
  // change shows. S and H: the rows of their upper triangles, one after the other; step^T y > 0; scratch: 2 n numbers.
  void (*secant)(double* s, const double* h, const double* step, const double* change, ptrdiff_t n, double* scratch);
  // out[i] = uniform in [0, 1) from the counter-based generator: element first + i of the stream (seed, stream).
  void (*uniform[2])(void* out, ptrdiff_t count, uint64_t seed, uint64_t stream, uint64_t first);
};

}  // namespace lamina::kernels
