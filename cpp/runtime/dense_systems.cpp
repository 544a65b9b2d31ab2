#include "runtime/dense_systems.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "kernels/dispatch.h"
#include "runtime/conditions.h"
#include "runtime/elimination.h"
#include "runtime/exponential.h"
#include "runtime/matrix_stack.h"
#include "runtime/triangular.h"

namespace lamina::runtime {

namespace {

using graph::Attrs;
using graph::HostArray;
using Inputs = std::vector<HostArray>;

constexpr int64_t kMost = 64;           // rows whose inverse is made here: of more, LAPACK's blocks are ahead
constexpr int64_t kMostExact = 16;      // rows whose condition number is that of the inverse
constexpr int64_t kMostRoom = 1 << 15;  // numbers, so that they stay in L2
constexpr int64_t kMostPositive = 512;  // rows of a positive definite matrix, whose factor is made in blocks here as well
constexpr int64_t kFewRows = 20;        // of such a matrix up to which that takes longer than going element by element

// ---- By A = P L U ----

// Between -1 and 1, the same at each call (splitmix64, Steele et al. 2014).
double arbitrary(uint64_t index) {
  uint64_t z = (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return static_cast<double>(static_cast<int64_t>(z ^ z >> 31)) * 0x1p-63;
}

double squares(const double* x, int64_t row, int64_t m, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) sum += x[i * row + j] * x[i * row + j];
  return sum;
}

// Columns beside A that tell its condition number by what A^-1 makes of them: the identity, or, of larger matrices, some that are
// arbitrary and become as large as A^-1 is.
class Witness {
 public:
  const int64_t columns;

  Witness(int64_t n, bool exact) : columns(exact ? n : kProbes), n_(n), exact_(exact) {}

  // Into zeros.
  void fill(double* to, int64_t row) const {
    for (int64_t i = 0; i < n_; ++i, to += row)
      if (exact_)
        to[i] = 1;
      else
        for (int64_t j = 0; j < columns; ++j) to[j] = arbitrary(static_cast<uint64_t>(i * columns + j));
  }
  double size_of(const double* a, int64_t row) const { return exact_ ? one_norm(a, row, n_) : std::sqrt(squares(a, row, n_, n_)); }
  // The condition number, or one above it, of an A of this size.
  double condition(double size, const double* x, int64_t row) const {
    return exact_ ? size * one_norm(x, row, n_) : kProbeMargin * size * std::sqrt(3 * squares(x, row, n_, columns) / kProbes);
  }

 private:
  const int64_t n_;
  const bool exact_;
};

// A^-1 b; without b, A^-1.
bool solve(const MatrixStack& a, const MatrixStack* b, const MatrixStack& x) {
  const int64_t n = a.rows, k = b == nullptr ? 0 : b->columns;
  const Witness witness(n, b == nullptr || n <= kMostExact);
  const AugmentedMatrix augmented(n, n, k + witness.columns);
  if (n == 0 || n > kMost || augmented.room() > kMostRoom) return false;
  return for_all(a.count, augmented.room(), augmented.work(), [&](int64_t index, double* room) {
    double* right = room + augmented.right;
    std::fill_n(room, n * augmented.row, 0.0);
    a.read(index, room, augmented.row);
    if (b != nullptr) b->read(index, right, augmented.row);
    witness.fill(right + k, augmented.row);
    const double size = witness.size_of(room, augmented.row);
    augmented.eliminate(room);
    augmented.substitute(room);
    return witness.condition(size, right + k, augmented.row) <= a.limit() && x.write(index, right, augmented.row);
  });
}

bool inverse(const Attrs&, const Inputs& inputs, const HostArray& output) {
  return solve(MatrixStack(inputs[0]), nullptr, MatrixStack(output));
}

bool solution(const Attrs&, const Inputs& inputs, const HostArray& output) {
  const MatrixStack b(inputs[1]);
  return solve(MatrixStack(inputs[0]), &b, MatrixStack(output));
}

// f(index, a, its layout, whether an odd number of rows was exchanged) for each matrix.
using OfFactors = std::function<bool(int64_t, double*, const AugmentedMatrix&, bool)>;

bool by_elimination(const HostArray& array, int64_t most, const OfFactors& f) {
  const MatrixStack a(array);
  if (std::max(a.rows, a.columns) > most) return false;
  const AugmentedMatrix augmented(a.rows, a.columns, 0);
  return for_all(a.count, augmented.room(), augmented.work(), [&](int64_t index, double* room) {
    std::fill_n(room, augmented.m * augmented.row, 0.0);
    return a.read(index, room, augmented.row) && f(index, room, augmented, augmented.eliminate(room));
  });
}

bool determinant(const Attrs&, const Inputs& inputs, const HostArray& output) {
  const MatrixStack to = MatrixStack::of_numbers(output);
  return by_elimination(inputs[0], kMost, [&](int64_t index, const double* a, const AugmentedMatrix& augmented, bool odd) {
    double product = odd ? -1 : 1;
    for (int64_t i = 0; i < augmented.n && product != 0; ++i) {
      const double pivot = a[i * augmented.row + i];
      product *= pivot;
      if (pivot != 0 && !std::isnormal(product)) return false;  // on its way, perhaps, to a number of usual size
    }
    to.write(index, &product, 1);
    return true;
  });
}

// Its sign, and the logarithm of its size.
bool logarithm_of_determinant(const Attrs&, const Inputs& inputs, const HostArray& output) {
  const MatrixStack to = MatrixStack::of_numbers(output);
  return by_elimination(inputs[0], kMost, [&](int64_t index, const double* a, const AugmentedMatrix& augmented, bool odd) {
    double sign = odd ? -1 : 1, sum = 0;
    for (int64_t i = 0; i < augmented.n; ++i) {
      const double pivot = a[i * augmented.row + i];
      sign *= pivot == 0 ? 0 : std::copysign(1, pivot);
      sum += std::log(std::abs(pivot));
    }
    if (std::isnan(sum)) return false;  // -inf is that of a singular matrix
    to.write(2 * index, &sign, 1);
    to.write(2 * index + 1, &sum, 1);
    return true;
  });
}

bool lu(const Attrs&, const Inputs& inputs, const HostArray& output) {
  const MatrixStack to(output);
  return by_elimination(inputs[0], INT64_MAX, [&](int64_t index, const double* a, const AugmentedMatrix& augmented, bool) {
    to.write(index, a, augmented.row);
    return true;
  });
}

bool order_of_lu(const Attrs&, const Inputs& inputs, const HostArray& output) {
  return by_elimination(inputs[0], INT64_MAX, [&](int64_t index, double* a, const AugmentedMatrix& augmented, bool) {
    std::copy_n(augmented.order(a), augmented.m, reinterpret_cast<int64_t*>(output.data) + index * augmented.m);
    return true;
  });
}

// ---- Others ----

// A, of which the lower triangle is read, becomes L there; false where it is not positive definite.
bool factor_by_elements(double* a, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const double* own = a + j * n;
    double factor = 0;
    for (int64_t i = j; i < n; ++i) {
      double* row = a + i * n;
      double rest = row[j];
      for (int64_t k = 0; k < j; ++k) rest -= row[k] * own[k];
      if (i == j && !(rest > 0)) return false;
      if (i == j) factor = 1 / std::sqrt(rest);
      row[j] = rest * factor;
    }
  }
  return true;
}

// The same by panels of U = L^T, in a room of positive_room(n) + n numbers.
bool factor_by_panels(double* a, int64_t n, double* room) {
  double* x = room + kernels::positive_room(n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j) a[i * n + j] = a[j * n + i];
  std::fill_n(x, n, 0.0);
  const double none = 0;
  if (!kernels::table().solve_positive({a, nullptr, false, 1, &none, true, x}, room, x, n)) return false;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) a[i * n + j] = room[j * kernels::positive_row(n) + i];
  return true;
}

bool cholesky(const Attrs&, const Inputs& inputs, const HostArray& output) {
  const MatrixStack a(inputs[0]), to(output);
  const int64_t n = a.rows;
  if (n == 0 || n > kMostPositive) return false;
  const int64_t room = n * n + (n > kFewRows ? kernels::positive_room(n) + n : 0);
  return for_all(a.count, room, static_cast<double>(n * n * n) / 6, [&](int64_t index, double* memory) {
    if (!a.read(index, memory, n)) return false;
    if (!(n > kFewRows ? factor_by_panels(memory, n, memory + n * n) : factor_by_elements(memory, n))) return false;
    for (int64_t i = 0; i < n; ++i) std::fill_n(memory + i * n + i + 1, n - i - 1, 0.0);
    return to.write(index, memory, n);
  });
}

bool triangular(const Attrs& attrs, const Inputs& inputs, const HostArray& output) {
  const MatrixStack a(inputs[0]), b(inputs[1]), x(output);
  const auto is_set = [&](const char* name) { return attrs.get<bool>(name, false); };
  const bool lower = is_set("lower"), transposed = is_set("transposed"), unit = is_set("unit_diagonal");
  const bool for_factor = attrs.find("of") != nullptr;  // whose condition number counts
  if (for_factor || a.rows == 0 || b.columns == 0) return false;
  const auto has_diagonal = [&](const auto* t) {
    bool held = true;
    for (int64_t i = 0; i < a.rows; ++i, t += a.rows + 1) held &= std::isfinite(*t) && (unit || *t != 0);
    return held;
  };
  for (int64_t i = 0; i < a.count; ++i)
    if (!a.with(i, has_diagonal)) return false;
  std::memcpy(output.data, inputs[1].data, static_cast<size_t>(lamina::count(output.sizes)) * size_of(output.dtype));
  solve_triangular({output.dtype, inputs[0].data, a.count, a.rows, lower, transposed, unit, output.data, b.columns});
  for (int64_t i = 0; i < x.count; ++i)
    if (!x.is_finite(i)) return false;
  return true;
}

bool exponential(const Attrs&, const Inputs& inputs, const HostArray& output) {
  const MatrixStack a(inputs[0]), to(output);
  const int64_t n = a.rows;
  const Exponential exponential(n);
  return for_all(a.count, n * n + exponential.room(), exponential.work(), [&](int64_t index, double* room) {
    a.read(index, room, n);
    return exponential.run(room, room + n * n) && to.write(index, room, n);
  });
}

}  // namespace

struct OwnWay {
  // What there is for each matrix: what is like the last input, a number, two of them, or a whole number for each row.
  enum class Gives { like_input, number, two_numbers, whole_of_rows };

  const char* name;
  size_t inputs;
  bool square;  // the first of them
  Gives gives;
  bool (*compute)(const Attrs& attrs, const Inputs& inputs, const HostArray& output);
};

namespace {

using Gives = OwnWay::Gives;

constexpr OwnWay kOwnWays[] = {
    {"inv", 1, true, Gives::like_input, inverse},
    {"solve", 2, true, Gives::like_input, solution},
    {"det", 1, true, Gives::number, determinant},
    {"slogdet", 1, true, Gives::two_numbers, logarithm_of_determinant},
    {"lu", 1, false, Gives::like_input, lu},
    {"lu_order", 1, false, Gives::whole_of_rows, order_of_lu},
    {"cholesky", 1, true, Gives::like_input, cholesky},
    {"solve_triangular", 2, true, Gives::like_input, triangular},
    {"expm", 1, true, Gives::like_input, exponential},
};

// Whether the arrays are such as the operation has: the node may come from a file, which is not trusted.
bool fits(const OwnWay& way, const Inputs& inputs, const HostArray& output) {
  if (inputs.size() != way.inputs) return false;
  const Sizes &first = inputs.front().sizes, &last = inputs.back().sizes, &made = output.sizes;
  const size_t axes = first.size();
  const auto begins = [&](const Sizes& sizes, const Sizes& as, size_t count) {
    return sizes.size() >= count && std::equal(as.begin(), as.begin() + static_cast<ptrdiff_t>(count), sizes.begin());
  };
  for (const HostArray& a : inputs)
    if (!is_float(a.dtype) || a.dtype != inputs.front().dtype || a.sizes.size() != axes || axes < 2) return false;
  if (!begins(last, first, axes - 1) || (way.square && first[axes - 1] != first[axes - 2])) return false;
  if (output.dtype != (way.gives == Gives::whole_of_rows ? DType::int64 : inputs.front().dtype)) return false;
  switch (way.gives) {
    case Gives::like_input: return made == last;
    case Gives::number: return made.size() == axes - 2 && begins(made, first, axes - 2);
    case Gives::two_numbers: return made.size() == axes - 1 && begins(made, first, axes - 2) && made.back() == 2;
    default: return made.size() == axes - 1 && begins(made, first, axes - 1);
  }
}

}  // namespace

const OwnWay* own_way(const std::string& name) {
  for (const OwnWay& way : kOwnWays)
    if (name == way.name) return &way;
  return nullptr;
}

bool compute(const OwnWay& way, const Attrs& attrs, const Inputs& inputs, const HostArray& output) {
  return fits(way, inputs, output) && way.compute(attrs, inputs, output);
}

}  // namespace lamina::runtime
