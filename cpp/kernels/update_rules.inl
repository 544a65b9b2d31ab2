// Every optimizer's update, w' = rule(w, g, slots), each one sweep over the parameters
// (update_sweep.inl). Formulas: PyTorch's single-tensor code.
//
// A rule states its slots and hyper-parameters by name, has enumerators for them and for the constants of a step, and two functions:
//   prepare(h, lr, t, clock, c)   once a step: hyper-parameters h and the step's number t (1, 2, ...) -> constants c, in double
//   step(c, w, g, s)              for one vector: gradient g -> weight w and slots s, in place
// It may name another rule, Short, whose step gives the same with less where is_short(c).
// Adding one: write its struct, add it to Rules at the end, and its Python class; tests/ want a plain formula to compare with.
#pragma once

#include "base/list.h"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

// a + t (b - a)
template <class V>
LAMINA_INLINE V lerp(V a, V b, V t) {
  return fma(t, b - a, a);
}

template <class V>
LAMINA_INLINE V sign_of(V x) {
  return where(x > 0.0, V(1.0), where(x < 0.0, V(-1.0), x));
}

// a / (c sqrt(v) + e). With a root and a division it takes 7.5 ns a vector of 64 bytes on Emerald Rapids, longer than the rest of Adam;
// by estimates and one step of Newton's each 3.2, and is off by 2.3 units in the last place at most (of 32 million tried).
template <class V>
LAMINA_INLINE V over_root(V a, V v, V c, V e) {
  using T = typename V::Number;
  if constexpr (kHasTables && sizeof(T) == 4) {
    v = first_if_less(V(kLargest<T>).raw, v.raw);  // for an infinity, whose root would not be a number
    const V inverse = where(v != 0.0, V(near_root(v.raw)), v), near = v * inverse;
    const V root = fma(0.5 * inverse, fma(-near, near, v), near);
    const V divisor = fma(root, c, e), over = near_inverse(divisor.raw), quotient = a * over;
    return fma(fma(-divisor, quotient, a), over, quotient);
  } else {
    return a / fma(sqrt(v), c, e);
  }
}

// g += wd w;  w -= lr g
template <bool kDecays>
struct SgdRule {
  static constexpr int slots = 0, hypers = 1;
  static constexpr const char* const* slot_names = nullptr;
  static constexpr const char* hyper_names[] = {"weight_decay"};
  enum Hyper { weight_decay };
  enum Constant { decay, rate, constants };
  static void prepare(const double* h, double lr, double, double*, double* c) {
    c[decay] = h[weight_decay];
    c[rate] = -lr;
  }
  template <class V>
  static void step(const V* c, V& w, V g, V*) {
    if constexpr (kDecays) g = fma(c[decay], w, g);
    w = fma(c[rate], g, w);
  }
};

struct SgdPlain : SgdRule<true> {
  static constexpr const char* name = "sgd_plain";
  using Short = SgdRule<false>;
  static bool is_short(const double* c) { return c[decay] == 0; }
};

// b = mu b + (1 - dampening) g, at first b = g;   w -= lr (nesterov ? g + mu b : b)
// kPlain: without decay and Nesterov
template <bool kPlain>
struct MomentumRule {
  static constexpr int slots = 1, hypers = 4;
  static constexpr const char* slot_names[] = {"momentum_buffer"};
  static constexpr const char* hyper_names[] = {"momentum", "dampening", "nesterov", "weight_decay"};
  enum Slot { buffer };
  enum Hyper { momentum, dampening, nesterov, weight_decay };
  enum Constant { decay, kept, added, of_buffer, of_gradient, rate, constants };
  static void prepare(const double* h, double lr, double t, double*, double* c) {
    const bool ahead = h[nesterov] != 0;
    c[decay] = h[weight_decay];
    c[kept] = h[momentum];
    c[added] = t == 1 ? 1.0 : 1.0 - h[dampening];
    c[of_buffer] = ahead ? h[momentum] : 1.0;
    c[of_gradient] = ahead ? 1.0 : 0.0;
    c[rate] = -lr;
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    if constexpr (!kPlain) g = fma(c[decay], w, g);
    s[buffer] = fma(c[added], g, c[kept] * s[buffer]);
    w = fma(c[rate], kPlain ? s[buffer] : fma(c[of_buffer], s[buffer], c[of_gradient] * g), w);
  }
};

struct Sgd : MomentumRule<false> {
  static constexpr const char* name = "sgd";
  using Short = MomentumRule<true>;
  static bool is_short(const double* c) { return c[decay] == 0 && c[of_gradient] == 0; }
};

// m = lerp(m, g, 1 - b1);  v = b2 v + (1 - b2) g^2;  w -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
// decoupled: w *= 1 - lr wd first, else g += wd w.  eps_keras: eps is added to sqrt(v) before the bias correction.
template <bool kAmsgrad, bool kDecays = true>
struct AdamRule {
  static constexpr int slots = kAmsgrad ? 3 : 2, hypers = 6;
  static constexpr const char* slot_names[] = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
  static constexpr const char* hyper_names[] = {"beta1", "beta2", "eps", "weight_decay", "decoupled", "eps_keras"};
  enum Slot { m, v, max_v };
  enum Hyper { beta1, beta2, eps, weight_decay, decoupled, eps_keras };
  enum Constant { decay, shrink, new_m, kept_v, new_v, root_scale, root_eps, rate, constants };
  static void prepare(const double* h, double lr, double t, double*, double* c) {
    const double correction1 = 1 - __builtin_pow(h[beta1], t), root2 = __builtin_sqrt(1 - __builtin_pow(h[beta2], t));
    const bool apart = h[decoupled] != 0, keras = h[eps_keras] != 0;
    c[decay] = apart ? 0.0 : h[weight_decay];
    c[shrink] = apart ? 1 - lr * h[weight_decay] : 1.0;
    c[new_m] = 1 - h[beta1];
    c[kept_v] = h[beta2];
    c[new_v] = 1 - h[beta2];
    c[root_scale] = keras ? 1.0 : 1 / root2;
    c[root_eps] = h[eps];
    c[rate] = -lr / correction1 * (keras ? root2 : 1.0);
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    if constexpr (kDecays) g = fma(c[decay], w, g);
    s[m] = lerp(s[m], g, c[new_m]);
    s[v] = fma(c[new_v] * g, g, c[kept_v] * s[v]);
    V largest = s[v];
    if constexpr (kAmsgrad) largest = s[max_v] = max(s[max_v], s[v]);
    w = fma(c[rate], over_root(s[m], largest, c[root_scale], c[root_eps]), kDecays ? c[shrink] * w : w);
  }
};

struct Adam : AdamRule<false> {
  static constexpr const char* name = "adam";
  using Short = AdamRule<false, false>;
  static bool is_short(const double* c) { return c[decay] == 0 && c[shrink] == 1; }
};
struct AdamAmsgrad : AdamRule<true> {
  static constexpr const char* name = "adam_amsgrad";
};

// v = a v + (1 - a) g^2;  w -= lr g / (sqrt(v) + eps)
struct RmsProp {
  static constexpr const char* name = "rmsprop";
  static constexpr int slots = 1, hypers = 3;
  static constexpr const char* slot_names[] = {"square_avg"};
  static constexpr const char* hyper_names[] = {"alpha", "eps", "weight_decay"};
  enum Slot { v };
  enum Hyper { alpha, eps, weight_decay };
  enum Constant { decay, kept_v, new_v, root_eps, rate, constants };
  static void prepare(const double* h, double lr, double, double*, double* c) {
    c[decay] = h[weight_decay];
    c[kept_v] = h[alpha];
    c[new_v] = 1 - h[alpha];
    c[root_eps] = h[eps];
    c[rate] = -lr;
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    g = fma(c[decay], w, g);
    s[v] = fma(c[new_v] * g, g, c[kept_v] * s[v]);
    w = fma(c[rate], over_root(g, s[v], V(1.0), c[root_eps]), w);
  }
};

// As above with  b = mu b + g / (root + eps), w -= lr b;  centered: root = sqrt(v - a^2), a = the average of g
struct RmsPropFull {
  static constexpr const char* name = "rmsprop_full";
  static constexpr int slots = 3, hypers = 5;
  static constexpr const char* slot_names[] = {"square_avg", "momentum_buffer", "grad_avg"};
  static constexpr const char* hyper_names[] = {"alpha", "eps", "weight_decay", "momentum", "centered"};
  enum Slot { v, buffer, mean };
  enum Hyper { alpha, eps, weight_decay, momentum, centered };
  enum Constant { decay, kept_v, new_v, root_eps, rate, kept, minus_mean, constants };
  static void prepare(const double* h, double lr, double, double*, double* c) {
    c[decay] = h[weight_decay];
    c[kept_v] = h[alpha];
    c[new_v] = 1 - h[alpha];
    c[root_eps] = h[eps];
    c[rate] = -lr;
    c[kept] = h[momentum];
    c[minus_mean] = h[centered] != 0 ? 1.0 : 0.0;
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    g = fma(c[decay], w, g);
    s[v] = fma(c[new_v] * g, g, c[kept_v] * s[v]);
    s[mean] = lerp(s[mean], g, c[new_v]);
    const V variance = s[v] - c[minus_mean] * s[mean] * s[mean];  // in this order: 0 times infinity is none
    s[buffer] = fma(c[kept], s[buffer], over_root(g, variance, V(1.0), c[root_eps]));
    w = fma(c[rate], s[buffer], w);
  }
};

// v += g^2;  w -= lr / (1 + (t - 1) decay) g / (sqrt(v) + eps)
struct Adagrad {
  static constexpr const char* name = "adagrad";
  static constexpr int slots = 1, hypers = 3;
  static constexpr const char* slot_names[] = {"sum"};
  static constexpr const char* hyper_names[] = {"eps", "weight_decay", "lr_decay"};
  enum Slot { v };
  enum Hyper { eps, weight_decay, lr_decay };
  enum Constant { decay, root_eps, rate, constants };
  static void prepare(const double* h, double lr, double t, double*, double* c) {
    c[decay] = h[weight_decay];
    c[root_eps] = h[eps];
    c[rate] = -lr / (1 + (t - 1) * h[lr_decay]);
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    g = fma(c[decay], w, g);
    s[v] = fma(g, g, s[v]);
    w = fma(c[rate], over_root(g, s[v], V(1.0), c[root_eps]), w);
  }
};

// v = rho v + (1 - rho) g^2;  d = g sqrt(a + eps) / sqrt(v + eps);  a = rho a + (1 - rho) d^2;  w -= lr d
struct Adadelta {
  static constexpr const char* name = "adadelta";
  static constexpr int slots = 2, hypers = 3;
  static constexpr const char* slot_names[] = {"square_avg", "acc_delta"};
  static constexpr const char* hyper_names[] = {"rho", "eps", "weight_decay"};
  enum Slot { v, a };
  enum Hyper { rho, eps, weight_decay };
  enum Constant { decay, kept, added, root_eps, rate, constants };
  static void prepare(const double* h, double lr, double, double*, double* c) {
    c[decay] = h[weight_decay];
    c[kept] = h[rho];
    c[added] = 1 - h[rho];
    c[root_eps] = h[eps];
    c[rate] = -lr;
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    g = fma(c[decay], w, g);
    s[v] = fma(c[added] * g, g, c[kept] * s[v]);
    const V delta = sqrt(s[a] + c[root_eps]) / sqrt(s[v] + c[root_eps]) * g;
    s[a] = fma(c[added] * delta, delta, c[kept] * s[a]);
    w = fma(c[rate], delta, w);
  }
};

// m = lerp(m, g, 1 - b1);  u = max(b2 u, |g| + eps);  w -= lr / (1 - b1^t) m / u
struct Adamax {
  static constexpr const char* name = "adamax";
  static constexpr int slots = 2, hypers = 4;
  static constexpr const char* slot_names[] = {"exp_avg", "exp_inf"};
  static constexpr const char* hyper_names[] = {"beta1", "beta2", "eps", "weight_decay"};
  enum Slot { m, u };
  enum Hyper { beta1, beta2, eps, weight_decay };
  enum Constant { decay, new_m, kept_u, least_u, rate, constants };
  static void prepare(const double* h, double lr, double t, double*, double* c) {
    c[decay] = h[weight_decay];
    c[new_m] = 1 - h[beta1];
    c[kept_u] = h[beta2];
    c[least_u] = h[eps];
    c[rate] = -lr / (1 - __builtin_pow(h[beta1], t));
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    g = fma(c[decay], w, g);
    s[m] = lerp(s[m], g, c[new_m]);
    s[u] = max(c[kept_u] * s[u], abs(g) + c[least_u]);
    w = fma(c[rate], s[m] / s[u], w);
  }
};

// mu_t = b1 (1 - .96^(t psi) / 2), P_t = mu_1 ... mu_t;  d = sqrt(v / (1 - b2^t)) + eps
// w -= lr ((1 - mu_t) / (1 - P_t) g + mu_{t+1} / (1 - P_{t+1}) m) / d          clock[1] = P
struct NAdam {
  static constexpr const char* name = "nadam";
  static constexpr int slots = 2, hypers = 5;
  static constexpr const char* slot_names[] = {"exp_avg", "exp_avg_sq"};
  static constexpr const char* hyper_names[] = {"beta1", "beta2", "eps", "weight_decay", "psi"};
  enum Slot { m, v };
  enum Hyper { beta1, beta2, eps, weight_decay, psi };
  enum Constant { decay, new_m, kept_v, new_v, root_scale, root_eps, rate_of_gradient, rate_of_m, constants };
  static double momentum_at(const double* h, double t) { return h[beta1] * (1 - 0.5 * __builtin_pow(0.96, t * h[psi])); }
  static void prepare(const double* h, double lr, double t, double* clock, double* c) {
    const double mu = momentum_at(h, t), next = momentum_at(h, t + 1);
    const double product = clock[1] = (t == 1 ? 1.0 : clock[1]) * mu;
    c[decay] = h[weight_decay];
    c[new_m] = 1 - h[beta1];
    c[kept_v] = h[beta2];
    c[new_v] = 1 - h[beta2];
    c[root_scale] = 1 / __builtin_sqrt(1 - __builtin_pow(h[beta2], t));
    c[root_eps] = h[eps];
    c[rate_of_gradient] = -lr * (1 - mu) / (1 - product);
    c[rate_of_m] = -lr * next / (1 - product * next);
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    g = fma(c[decay], w, g);
    s[m] = lerp(s[m], g, c[new_m]);
    s[v] = fma(c[new_v] * g, g, c[kept_v] * s[v]);
    w = w + over_root(fma(c[rate_of_gradient], g, c[rate_of_m] * s[m]), s[v], c[root_scale], c[root_eps]);
  }
};

// r = rho_inf - 2 t b2^t / (1 - b2^t), rho_inf = 2 / (1 - b2) - 1
// r > 5: Adam's step times a rectifier, else w -= lr m / (1 - b1^t)
struct RAdam {
  static constexpr const char* name = "radam";
  static constexpr int slots = 2, hypers = 4;
  static constexpr const char* slot_names[] = {"exp_avg", "exp_avg_sq"};
  static constexpr const char* hyper_names[] = {"beta1", "beta2", "eps", "weight_decay"};
  enum Slot { m, v };
  enum Hyper { beta1, beta2, eps, weight_decay };
  enum Constant { decay, new_m, kept_v, new_v, root_eps, rectified, rectifier, rate, constants };
  static void prepare(const double* h, double lr, double t, double*, double* c) {
    const double power2 = __builtin_pow(h[beta2], t), correction2 = 1 - power2;
    const double limit = 2 / (1 - h[beta2]) - 1, rho = limit - 2 * t * power2 / correction2;
    const bool certain = rho > 5;
    const double ratio = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho);
    c[decay] = h[weight_decay];
    c[new_m] = 1 - h[beta1];
    c[kept_v] = h[beta2];
    c[new_v] = 1 - h[beta2];
    c[root_eps] = h[eps];
    c[rectified] = certain ? 1.0 : 0.0;
    c[rectifier] = certain ? __builtin_sqrt(ratio * correction2) : 1.0;
    c[rate] = -lr / (1 - __builtin_pow(h[beta1], t));
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    g = fma(c[decay], w, g);
    s[m] = lerp(s[m], g, c[new_m]);
    s[v] = fma(c[new_v] * g, g, c[kept_v] * s[v]);
    const V scale = where(c[rectified] > 0.0, over_root(c[rectifier], s[v], V(1.0), c[root_eps]), c[rectifier]);
    w = fma(c[rate] * s[m], scale, w);
  }
};

// eta = eta+ where g agrees with the last g, eta- where it turned (then g = 0), else 1;  step = clamp(eta step);  w -= sign(g) step
struct RProp {
  static constexpr const char* name = "rprop";
  static constexpr int slots = 2, hypers = 4;
  static constexpr const char* slot_names[] = {"prev", "step_size"};
  static constexpr const char* hyper_names[] = {"eta_minus", "eta_plus", "step_min", "step_max"};
  enum Slot { last, size };
  enum Constant { eta_minus, eta_plus, least, most, constants };  // the hyper-parameters as they are
  static void prepare(const double* h, double, double, double*, double* c) {
    for (int i = 0; i < constants; ++i) c[i] = h[i];
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    const V agree = g * s[last];
    const V eta = where(agree > 0.0, c[eta_plus], where(agree < 0.0, c[eta_minus], V(1.0)));
    s[size] = clamp(s[size] * eta, c[least], c[most]);
    s[last] = where(agree < 0.0, V(0.0), g);
    w = w - sign_of(s[last]) * s[size];
  }
};

// w = (1 - lr wd) w - lr sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) g        (Chen et al. 2023)
struct Lion {
  static constexpr const char* name = "lion";
  static constexpr int slots = 1, hypers = 3;
  static constexpr const char* slot_names[] = {"exp_avg"};
  static constexpr const char* hyper_names[] = {"beta1", "beta2", "weight_decay"};
  enum Slot { m };
  enum Hyper { beta1, beta2, weight_decay };
  enum Constant { of_m, of_gradient, kept_m, new_m, shrink, rate, constants };
  static void prepare(const double* h, double lr, double, double*, double* c) {
    c[of_m] = h[beta1];
    c[of_gradient] = 1 - h[beta1];
    c[kept_m] = h[beta2];
    c[new_m] = 1 - h[beta2];
    c[shrink] = 1 - lr * h[weight_decay];
    c[rate] = -lr;
  }
  template <class V>
  static void step(const V* c, V& w, V g, V* s) {
    const V direction = sign_of(fma(c[of_m], s[m], c[of_gradient] * g));
    w = fma(c[rate], direction, c[shrink] * w);
    s[m] = fma(c[kept_m], s[m], c[new_m] * g);
  }
};

using Rules = List<SgdPlain, Sgd, Adam, AdamAmsgrad, RmsProp, RmsPropFull, Adagrad, Adadelta, Adamax, NAdam, RAdam, RProp, Lion>;

LAMINA_KERNELS_END
