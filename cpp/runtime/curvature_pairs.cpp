#include "runtime/curvature_pairs.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <new>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"
#include "kernels/dispatch.h"

namespace lamina::runtime {

namespace {

constexpr double kSteep = 1e-10;                    // of |s| |y|: a pair whose s.y is no larger says nothing about curvature
constexpr double kLong = 1e28, kLarge = 1e8;        // |s| or |y|, and a factor of theirs: sums of products stay within float32
constexpr int64_t kSharedPairs = int64_t{1} << 20;  // of W: less is read sooner than another thread has begun
constexpr int64_t kLine = 16;

using kernels::kF32;
using kernels::kF64;

// c[i] = a[i, ..] . b for rows of a, a_row apart.
template <class T>
void dots(const T* a, int64_t rows, int64_t a_row, const T* b, int64_t k, T* c) {
  kernels::GemmArgs args{rows, 1, k, a, a_row, 1, b, k, 1, c, 1};
  kernels::table().gemm[sizeof(T) == sizeof(float) ? kF32 : kF64].narrow(args);
}

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  if (n > 0) dots(a, 1, n, b, n, &sum);
  return sum;
}

// max |x|; not a number where one is none.
double largest_of(const double* x, int64_t n) {
  constexpr int64_t kAtOnce = 8;  // each of which would wait for the one before
  double most[kAtOnce] = {}, sum[kAtOnce] = {};
  for (int64_t i = 0; i < n; i += kAtOnce)
    for (int64_t j = 0; j < std::min(kAtOnce, n - i); ++j) {
      const double size = std::abs(x[i + j]);
      most[j] = size > most[j] ? size : most[j];
      sum[j] += size;
    }
  const double total = std::accumulate(sum, sum + kAtOnce, 0.0);
  return total == total ? *std::max_element(most, most + kAtOnce) : total;
}

// The power of two by which what is longer than `most` is divided; 1 where it is not.
double excess_of(double length, double most) { return length > most ? std::exp2(std::ceil(std::log2(length / most))) : 1.0; }

int threads_for(int64_t bytes) { return bytes < kSharedPairs ? 1 : num_threads(); }

// Ranges of [0, n) on so many threads: body(begin, end, worker).
template <class F>
void share(int64_t n, int threads, F&& body) {
  parallel_for(threads, threads, [&](ptrdiff_t begin, ptrdiff_t end, int worker) {
    const auto at = [&](int64_t part) { return part == threads ? n : n * part / threads / kLine * kLine; };
    body(at(begin), at(end), worker);
  });
}

}  // namespace

CurvaturePairs::CurvaturePairs(int64_t most, int64_t size) : most_(most), size_(size) {
  check(most > 0 && most < (1 << 20) && size >= 0 && size < (int64_t{1} << 40),
        "expected a number of pairs and one of weights, got ", most, " and ", size);
  const auto places = static_cast<size_t>(2 * most);
  memory_.reset(new (std::nothrow) float[2 * places * static_cast<size_t>(size)]);  // not cleared: pages come as pairs do
  products_.reset(new (std::nothrow) double[2 * places * places]);
  if (!memory_ || !products_)
    throw MemoryError(text("[optim.LBFGS] expected room for ", most, " pairs of differences of ", size,
                           " weights, got none; use a smaller history"));
  g_.resize(static_cast<size_t>(size));
  y_.resize(g_.size());
  narrow_.resize(g_.size());
}

void CurvaturePairs::start_at(const double* g) {
  wg_.resize(2 * static_cast<size_t>(count()));
  multiply(first_, last_, g, wg_.data());
  std::copy(g, g + size_, g_.begin());
}

// s.g and y.g of each pair; g goes in as numbers up to 1, so that y.g does not leave float32's range.
void CurvaturePairs::multiply(int64_t first, int64_t last, const double* g, double* result) {
  largest_ = largest_of(g, size_);
  const double scale = largest_ > 0 && largest_ < std::numeric_limits<double>::infinity() ? largest_ : 1.0;
  for (int64_t i = 0; i < size_; ++i) narrow_[static_cast<size_t>(i)] = static_cast<float>(g[i] / scale);
  const int64_t rows = 2 * (last - first);
  std::vector<float> sums(static_cast<size_t>(rows));
  share(rows, threads_for(rows * size_ * static_cast<int64_t>(sizeof(float))), [&](int64_t begin, int64_t end, int) {
    dots(row(first) + begin * size_, end - begin, size_, narrow_.data(), size_, sums.data() + begin);
  });
  for (int64_t i = 0; i < rows; ++i) result[i] = static_cast<double>(sums[static_cast<size_t>(i)]) * scale;
}

// The pairs [first, last) that are kept, before the place of the next one.
std::pair<int64_t, int64_t> CurvaturePairs::place_for_another() {
  const int64_t first = first_ + (count() == most_), n = last_ - first;
  if (last_ < 2 * most_) return {first, last_};
  std::copy(row(first), row(last_), row(0));  // slid to the end: back to the front
  for (int64_t i = 0; i < n; ++i) {
    std::copy(products_of_y(first + i) + first, products_of_y(first + i) + last_, products_of_y(i));
    std::copy(inverse(first + i) + first, inverse(first + i) + last_, inverse(i));
  }
  return {0, n};
}

void CurvaturePairs::add(const double* s, const double* g) {
  for (int64_t i = 0; i < size_; ++i) y_[static_cast<size_t>(i)] = g[i] - g_[static_cast<size_t>(i)];
  const double* y = y_.data();
  double sy = dot(s, y, size_), yy = dot(y, y, size_);
  const double ss = dot(s, s, size_);
  if (!(sy > kSteep * std::sqrt(ss * yy))) return start_at(g);
  const double excess = excess_of(std::sqrt(std::max(ss, yy)), kLong);
  if (excess > 1 && std::sqrt(std::min(ss, yy)) / excess < 1 / kLong) return start_at(g);  // nothing in float32 beside the other
  sy /= excess * excess;
  yy /= excess * excess;

  const auto [first, last] = place_for_another();
  float *new_s = row(last), *new_y = new_s + size_;
  const double shorter = 1 / excess;
  for (int64_t i = 0; i < size_; ++i) new_s[i] = static_cast<float>(shorter * s[i]);
  for (int64_t i = 0; i < size_; ++i) new_y[i] = static_cast<float>(shorter * y[i]);

  std::vector<double> wg(2 * static_cast<size_t>(last + 1 - first));
  multiply(first, last + 1, g, wg.data());
  extend_products(first, last, wg, excess, sy, yy);
  std::copy(g, g + size_, g_.begin());
  wg_ = std::move(wg);
  first_ = first;
  last_ = last + 1;
}

// The line and the column of the pair at `last`, of Y Y^T and R^-1, from what W g is now and what it was before.
void CurvaturePairs::extend_products(int64_t first, int64_t last, const std::vector<double>& wg, double excess, double sy,
                                     double yy) {
  const int64_t n = last - first;
  std::vector<double> s_change(static_cast<size_t>(n)), column(s_change.size());
  const double *now = wg.data(), *before = wg_.data() + wg_.size() - 2 * s_change.size();
  for (int64_t i = 0; i < n; ++i) {
    s_change[static_cast<size_t>(i)] = (now[2 * i] - before[2 * i]) / excess;
    products_of_y(last)[first + i] = products_of_y(first + i)[last] = (now[2 * i + 1] - before[2 * i + 1]) / excess;
  }
  if (n > 0) dots(inverse(first) + first, n, 2 * most_, s_change.data(), n, column.data());
  for (int64_t i = 0; i < n; ++i) {  // a triangle's part inverts that part
    inverse(last)[first + i] = 0;
    inverse(first + i)[last] = -column[static_cast<size_t>(i)] / sy;
  }
  products_of_y(last)[last] = yy;
  inverse(last)[last] = 1 / sy;
}

// None where they are not finite.
std::optional<CurvaturePairs::Combination> CurvaturePairs::combination() const {
  const auto n = static_cast<size_t>(count());
  const double gamma = 1 / (inverse(last_ - 1)[last_ - 1] * products_of_y(last_ - 1)[last_ - 1]);
  std::vector<double> sg(n), u(n), v(n), p(n);
  for (size_t i = 0; i < n; ++i) sg[i] = wg_[2 * i];
  dots(inverse(first_) + first_, count(), 2 * most_, sg.data(), count(), u.data());
  dots(products_of_y(first_) + first_, count(), 2 * most_, u.data(), count(), v.data());
  for (size_t i = 0; i < n; ++i) {
    const double* line = inverse(first_ + static_cast<int64_t>(i)) + first_;
    const double factor = gamma * (wg_[2 * i + 1] - v[i]) - u[i] / line[i];
    for (size_t j = i; j < n; ++j) p[j] += factor * line[j];
  }
  double length = 0;
  for (size_t i = 0; i < n; ++i) length += p[i] * p[i] + gamma * u[i] * gamma * u[i];
  length = std::sqrt(length);
  if (!std::isfinite(length)) return std::nullopt;
  Combination result{gamma, excess_of(length, kLarge), std::vector<float>(2 * n)};
  for (size_t i = 0; i < n; ++i) {
    result.factors[2 * i] = static_cast<float>(p[i] / result.excess);
    result.factors[2 * i + 1] = static_cast<float>(gamma * u[i] / result.excess);
  }
  return result;
}

// The sum of the rows of W times their factors.
std::vector<float> CurvaturePairs::combine(const std::vector<float>& factors) const {
  const auto rows = static_cast<int64_t>(factors.size());
  std::vector<float> sums(g_.size());
  const kernels::GemmKernel& kernel = kernels::table().gemm[kF32];
  const auto columns = [&](int64_t begin, int64_t end) {
    return kernels::GemmArgs{1, end - begin,         rows,       factors.data(), rows, 1, row(first_) + begin, size_,
                             1, sums.data() + begin, end - begin};
  };
  const int threads = threads_for(rows * size_ * static_cast<int64_t>(sizeof(float)));
  const auto room = static_cast<size_t>(kernel.room(columns(0, size_)));
  std::vector<float> rooms(static_cast<size_t>(threads) * room);
  share(size_, threads, [&](int64_t begin, int64_t end, int worker) {
    kernels::GemmArgs args = columns(begin, end);
    args.room = rooms.data() + static_cast<size_t>(worker) * room;
    kernel.block(args);
  });
  return sums;
}

void CurvaturePairs::direction(double* d) const {
  const auto found = count() > 0 ? combination() : std::nullopt;
  if (!found) {
    std::transform(g_.begin(), g_.end(), d, std::negate<>());
    return;
  }
  const std::vector<float> sums = combine(found->factors);
  for (size_t i = 0; i < sums.size(); ++i) d[i] = static_cast<double>(sums[i]) * found->excess - found->gamma * g_[i];
}

void CurvaturePairs::copy_to(float* pairs, double* products) const {
  const int64_t n = count();
  for (int64_t i = 0; i < n; ++i) {
    const float* s = row(first_ + i);
    std::copy(s, s + size_, pairs + i * size_);
    std::copy(s + size_, s + 2 * size_, pairs + (n + i) * size_);
    std::copy(products_of_y(first_ + i) + first_, products_of_y(first_ + i) + last_, products + i * n);
    std::copy(inverse(first_ + i) + first_, inverse(first_ + i) + last_, products + (n + i) * n);
  }
}

void CurvaturePairs::take(const float* pairs, const double* products, int64_t n) {
  check(n <= most_, "expected at most ", most_, " pairs, got ", n);
  for (int64_t i = 0; i < n; ++i) {
    std::copy(pairs + i * size_, pairs + (i + 1) * size_, row(i));
    std::copy(pairs + (n + i) * size_, pairs + (n + i + 1) * size_, row(i) + size_);
    std::copy(products + i * n, products + (i + 1) * n, products_of_y(i));
    std::copy(products + (n + i) * n, products + (n + i + 1) * n, inverse(i));
  }
  first_ = 0;
  last_ = n;
}

}  // namespace lamina::runtime
