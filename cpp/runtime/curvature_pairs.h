// The inverse Hessian of L-BFGS: the last m pairs (s, y) of differences of weights and gradients, and H g from them by two products with
// one matrix instead of 4 m operations of vectors (Byrd, Nocedal and Schnabel 1994).
//
// H g = gamma g + S^T p + Y^T q;  with R = triu(S Y^T), D its diagonal, gamma = s.y / y.y of the last pair:
// u = R^-1 S g,  p = R^-T ((D + gamma Y Y^T) u - gamma Y g),  q = -gamma u
//
// The rows of W are s and y in turns, in float32: reading it is what a step costs besides the gradient, and H is an estimate; sums over
// the pairs are in float64. The last columns of S Y^T and Y Y^T are what W g has changed by. A pair that is too long for float32 goes in
// shorter: (a s, a y) gives the same H.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace lamina::runtime {

class CurvaturePairs {
 public:
  CurvaturePairs(int64_t most, int64_t size);

  int64_t size() const { return size_; }
  int64_t count() const { return last_ - first_; }
  double largest() const { return largest_; }  // max |g|; not a number where g is none

  // The gradient where the next step starts.
  void start_at(const double* g);
  // Takes in a step and the gradient after it, unless they show no positive curvature; the oldest pair goes.
  void add(const double* s, const double* g);
  // -H g, or -g where that is not finite, or there are no pairs.
  void direction(double* d) const;

  // s and y: (2, n, P); Y Y^T and R^-1: (2, n, n).
  void copy_to(float* pairs, double* products) const;
  void take(const float* pairs, const double* products, int64_t n);

 private:
  float* row(int64_t i) const { return memory_.get() + 2 * i * size_; }
  double* products_of_y(int64_t i) const { return products_.get() + i * 2 * most_; }
  double* inverse(int64_t i) const { return products_.get() + (2 * most_ + i) * 2 * most_; }
  std::pair<int64_t, int64_t> place_for_another();
  void multiply(int64_t first, int64_t last, const double* g, double* result);
  void extend_products(int64_t first, int64_t last, const std::vector<double>& wg, double excess, double sy, double yy);

  // -H g = excess W^T factors - gamma g; the excess, by which the factors would be too large for float32, is 1 as a rule.
  struct Combination {
    double gamma, excess;
    std::vector<float> factors;
  };
  std::optional<Combination> combination() const;
  std::vector<float> combine(const std::vector<float>& factors) const;

  int64_t most_, size_;
  int64_t first_ = 0, last_ = 0;        // where the pairs lie: of 2 m places, so that they are moved once in m steps
  std::unique_ptr<float[]> memory_;     // (2 m, 2, P)
  std::unique_ptr<double[]> products_;  // Y Y^T, and R^-1: (2 m, 2 m) each
  std::vector<double> g_, wg_, y_;      // the gradient, W g, and a difference
  std::vector<float> narrow_;           // the gradient in float32
  double largest_ = 0;
};

}  // namespace lamina::runtime
