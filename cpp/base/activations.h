// Every activation, once, as math over any kind of number V: a SIMD vector (the kernels) or a node of the graph (derivatives of any
// order, equations). Adding one: write its struct, add it to the list at the end, add its oracles: CONTRIBUTING.md says where.
//
//   value(x, p)      y = f(x); constexpr, as is slope, so that their operations can be counted (kernels/work.inl)
//   slope(x|y, p)    f'(x), from what `keeps` names: the input x or the output y
//   param_count      how many hyper-parameters there are, with their defaults
//   has_flat_parts   f is constant for a range of x: nothing comes back from there, whatever is above it (0 for 0 * inf)
//
// V gives: + - * / with V and double, unary -, comparisons (> < >= <=) with V and double that give a mask, & and | of masks,
// where(mask, V, V), exp, exp_of_negative, log1p, expm1, tanh, sigmoid, falling_sigmoid, normal_below, gelu, abs, max, min. Literals
// convert from double.
//
// The output is kept where it determines the slope for every value of the parameters (it is at hand anyway, as the next layer's
// input), otherwise the input. An exponential inside where() gets a clamped argument: the branch that is not taken must stay
// finite, or its derivative would be 0 * inf.
#pragma once

#include "base/list.h"

namespace lamina::activations {

// Behind the name of an activation: the operation dy, kept -> dy f'(kept).
constexpr char kBackward[] = "_backward";

enum class Keep { input, output };

struct NoParams {
  static constexpr int param_count = 0;
  static constexpr double defaults[1] = {0.0};
};

// tanh(x)
struct Tanh : NoParams {
  static constexpr const char* name = "tanh";
  static constexpr Keep keeps = Keep::output;
  template <class V>
  static constexpr V value(V x, const double*) {
    return tanh(x);
  }
  template <class V>
  static constexpr V slope(V y, const double*) {
    return 1.0 - y * y;
  }
};

// 1 / (1 + e^-x)
struct Sigmoid : NoParams {
  static constexpr const char* name = "sigmoid";
  static constexpr Keep keeps = Keep::output;
  template <class V>
  static constexpr V value(V x, const double*) {
    return sigmoid(x);
  }
  template <class V>
  static constexpr V slope(V y, const double*) {
    return y * (1.0 - y);
  }
};

// max(0, x); slope 0 at the kink
struct Relu : NoParams {
  static constexpr const char* name = "relu";
  static constexpr Keep keeps = Keep::output;
  static constexpr bool has_flat_parts = true;
  template <class V>
  static constexpr V value(V x, const double*) {
    return where(x <= 0.0, V(0.0), x);  // not max(): a NaN stays a NaN
  }
  template <class V>
  static constexpr V slope(V y, const double*) {
    return where(y > 0.0, V(1.0), V(0.0));
  }
};

// x > 0 ? x : a x
struct LeakyRelu {
  static constexpr const char* name = "leaky_relu";
  static constexpr int param_count = 1;
  static constexpr double defaults[1] = {0.01};
  static constexpr Keep keeps = Keep::input;  // the output has not the sign of x when a < 0
  template <class V>
  static constexpr V value(V x, const double* p) {
    return where(x > 0.0, x, x * p[0]);
  }
  template <class V>
  static constexpr V slope(V x, const double* p) {
    return where(x > 0.0, V(1.0), V(p[0]));
  }
};

// x > 0 ? x : a (e^x - 1)
struct Elu {
  static constexpr const char* name = "elu";
  static constexpr int param_count = 1;
  static constexpr double defaults[1] = {1.0};
  static constexpr Keep keeps = Keep::input;
  template <class V>
  static constexpr V value(V x, const double* p) {
    return where(x > 0.0, x, p[0] * expm1(min(x, V(0.0))));
  }
  template <class V>
  static constexpr V slope(V x, const double* p) {
    return where(x > 0.0, V(1.0), p[0] * exp(min(x, V(0.0))));
  }
};

// s (x > 0 ? x : a (e^x - 1)), with s and a such that mean 0 and variance 1 are a fixed point (Klambauer et al. 2017)
struct Selu : NoParams {
  static constexpr const char* name = "selu";
  static constexpr Keep keeps = Keep::output;
  static constexpr double kScale = 1.0507009873554804934193349852946;
  static constexpr double kScaledAlpha = kScale * 1.6732632423543772848170429916717;
  template <class V>
  static constexpr V value(V x, const double*) {
    return where(x > 0.0, kScale * x, kScaledAlpha * expm1(min(x, V(0.0))));
  }
  template <class V>
  static constexpr V slope(V y, const double*) {
    return where(y > 0.0, V(kScale), y + kScaledAlpha);
  }
};

// x > 0 ? x : a (e^(x/a) - 1)
struct Celu {
  static constexpr const char* name = "celu";
  static constexpr int param_count = 1;
  static constexpr double defaults[1] = {1.0};
  static constexpr Keep keeps = Keep::input;
  template <class V>
  static constexpr V value(V x, const double* p) {
    return where(x > 0.0, x, p[0] * expm1(min(x, V(0.0)) / p[0]));
  }
  template <class V>
  static constexpr V slope(V x, const double* p) {
    return where(x > 0.0, V(1.0), exp(min(x, V(0.0)) / p[0]));
  }
};

// x P(N(0, 1) <= x) = x/2 (1 + erf(x / sqrt 2))
struct Gelu : NoParams {
  static constexpr const char* name = "gelu";
  static constexpr Keep keeps = Keep::input;
  static constexpr double kDensityAtZero = 0.39894228040143267794;  // 1 / sqrt(2 pi)
  template <class V>
  static constexpr V value(V x, const double*) {
    return gelu(x);
  }
  template <class V>
  static constexpr V slope(V x, const double*) {
    return normal_below(x) + kDensityAtZero * x * exp_of_negative(-0.5 * x * x);
  }
};

// x/2 (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)
struct GeluTanh : NoParams {
  static constexpr const char* name = "gelu_tanh";
  static constexpr Keep keeps = Keep::input;
  static constexpr double kRoot = 0.79788456080286535588;  // sqrt(2 / pi)
  static constexpr double kCubic = 0.044715;
  template <class V>
  static constexpr V value(V x, const double*) {
    return x * falling_sigmoid(x * (-2.0 * kRoot - 2.0 * kRoot * kCubic * (x * x)));
  }
  template <class V>
  static constexpr V slope(V x, const double*) {
    const V square = x * x;
    const V s = falling_sigmoid(x * (-2.0 * kRoot - 2.0 * kRoot * kCubic * square));
    return s + s * (1.0 - s) * (x * (2.0 * kRoot + 6.0 * kRoot * kCubic * square));
  }
};

// x sigmoid(x), also called swish
struct Silu : NoParams {
  static constexpr const char* name = "silu";
  static constexpr Keep keeps = Keep::input;
  template <class V>
  static constexpr V value(V x, const double*) {
    return x * sigmoid(x);
  }
  template <class V>
  static constexpr V slope(V x, const double*) {
    const V s = sigmoid(x);
    return s * (1.0 + x * (1.0 - s));
  }
};

// x tanh(log(1 + e^x)). With n = e^x (e^x + 2), tanh(log(1 + e^x)) = n / (n + 2): no logarithm.
struct Mish : NoParams {
  static constexpr const char* name = "mish";
  static constexpr Keep keeps = Keep::input;
  static constexpr double kLinearAbove = 20.0;  // e^-40 is under half an ulp of 1 in f64 too
  template <class V>
  static constexpr V value(V x, const double*) {
    const V e = exp(min(x, V(kLinearAbove)));
    const V n = e * (e + 2.0);
    return x * (n / (n + 2.0));
  }
  template <class V>
  static constexpr V slope(V x, const double*) {
    const V e = exp(min(x, V(kLinearAbove)));
    const V n = e * (e + 2.0);
    const V t = n / (n + 2.0);
    return t + x * (1.0 - t * t) * (e / (e + 1.0));
  }
};

// log(1 + e^(b x)) / b, linear where b x > 20
struct Softplus {
  static constexpr const char* name = "softplus";
  static constexpr int param_count = 1;
  static constexpr double defaults[1] = {1.0};
  static constexpr Keep keeps = Keep::input;
  static constexpr double kLinearAbove = 20.0;
  template <class V>
  static constexpr V value(V x, const double* p) {
    const V z = x * p[0];
    return where(z > kLinearAbove, x, log1p(exp(min(z, V(kLinearAbove)))) / p[0]);
  }
  template <class V>
  static constexpr V slope(V x, const double* p) {
    const V z = x * p[0];
    return where(z > kLinearAbove, V(1.0), sigmoid(z));
  }
};

// x / (1 + |x|)
struct Softsign : NoParams {
  static constexpr const char* name = "softsign";
  static constexpr Keep keeps = Keep::input;
  template <class V>
  static constexpr V value(V x, const double*) {
    return x / (1.0 + abs(x));
  }
  template <class V>
  static constexpr V slope(V x, const double*) {
    const V r = 1.0 / (1.0 + abs(x));
    return r * r;
  }
};

// x/6 + 1/2, between 0 and 1
struct HardSigmoid : NoParams {
  static constexpr const char* name = "hard_sigmoid";
  static constexpr Keep keeps = Keep::input;
  static constexpr bool has_flat_parts = true;
  template <class V>
  static constexpr V value(V x, const double*) {
    return min(max(x + 3.0, V(0.0)), V(6.0)) / 6.0;
  }
  template <class V>
  static constexpr V slope(V x, const double*) {
    return where((x > -3.0) & (x < 3.0), V(1.0 / 6.0), V(0.0));
  }
};

// x hard_sigmoid(x)
struct HardSwish : NoParams {
  static constexpr const char* name = "hard_swish";
  static constexpr Keep keeps = Keep::input;
  static constexpr bool has_flat_parts = true;
  template <class V>
  static constexpr V value(V x, const double*) {
    return x * min(max(x + 3.0, V(0.0)), V(6.0)) / 6.0;
  }
  template <class V>
  static constexpr V slope(V x, const double*) {
    return where(x <= -3.0, V(0.0), where(x >= 3.0, V(1.0), x / 3.0 + 0.5));
  }
};

// x, between -1 and 1
struct HardTanh : NoParams {
  static constexpr const char* name = "hard_tanh";
  static constexpr Keep keeps = Keep::output;
  static constexpr bool has_flat_parts = true;
  template <class V>
  static constexpr V value(V x, const double*) {
    return min(max(x, V(-1.0)), V(1.0));
  }
  template <class V>
  static constexpr V slope(V y, const double*) {
    return where((y > -1.0) & (y < 1.0), V(1.0), V(0.0));
  }
};

// x, between 0 and 6
struct Relu6 : NoParams {
  static constexpr const char* name = "relu6";
  static constexpr Keep keeps = Keep::output;
  static constexpr bool has_flat_parts = true;
  template <class V>
  static constexpr V value(V x, const double*) {
    return min(max(x, V(0.0)), V(6.0));
  }
  template <class V>
  static constexpr V slope(V y, const double*) {
    return where((y > 0.0) & (y < 6.0), V(1.0), V(0.0));
  }
};

// log(1 / (1 + e^-x)) = min(x, 0) - log(1 + e^-|x|)
struct LogSigmoid : NoParams {
  static constexpr const char* name = "log_sigmoid";
  static constexpr Keep keeps = Keep::input;
  template <class V>
  static constexpr V value(V x, const double*) {
    return min(x, V(0.0)) - log1p(exp(-abs(x)));
  }
  template <class V>
  static constexpr V slope(V x, const double*) {
    return sigmoid(-x);
  }
};

using Activations = List<Tanh, Sigmoid, Relu, LeakyRelu, Elu, Selu, Celu, Gelu, GeluTanh, Silu, Mish, Softplus, Softsign,
                         HardSigmoid, HardSwish, HardTanh, Relu6, LogSigmoid>;

}  // namespace lamina::activations
