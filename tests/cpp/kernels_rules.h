// Update rules: ten steps of each against the textbook recurrence in a wider type; layouts and tails bit-equal.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "base/rule_layout.h"
#include "kernels_common.h"

namespace kernels_test {

// One weight and its slots by name.
template <class W>
struct Parameter {
  W w = 0;
  std::map<std::string, W> s;
};
using Hypers = std::map<std::string, double>;

// One step of a parameter: the parameter, its gradient, the step's number, the learning rate, hyper-parameters by name.
template <class W>
using Recurrence = std::function<void(Parameter<W>&, W, int, W, const Hypers&)>;

template <class W>
void adam_recurrence(Parameter<W>& p, W g, int t, W lr, const Hypers& h, bool amsgrad) {
  const W b1 = h.at("beta1"), b2 = h.at("beta2"), eps = h.at("eps"), decay = h.at("weight_decay");
  if (h.at("decoupled") != 0)
    p.w -= lr * decay * p.w;
  else
    g += decay * p.w;
  W &m = p.s["exp_avg"], &v = p.s["exp_avg_sq"];
  m = b1 * m + (1 - b1) * g;
  v = b2 * v + (1 - b2) * g * g;
  W used = v;
  if (amsgrad) used = p.s["max_exp_avg_sq"] = std::max(p.s["max_exp_avg_sq"], v);
  const W c1 = 1 - std::pow(b1, W(t)), c2 = 1 - std::pow(b2, W(t));
  if (h.at("eps_keras") != 0)
    p.w -= lr * std::sqrt(c2) / c1 * m / (std::sqrt(used) + eps);
  else
    p.w -= lr * (m / c1) / (std::sqrt(used / c2) + eps);
}

template <class W>
std::map<std::string, Recurrence<W>> recurrences() {
  using P = Parameter<W>;
  std::map<std::string, Recurrence<W>> m;
  m["sgd_plain"] = [](P& p, W g, int, W lr, const Hypers& h) { p.w -= lr * (g + W(h.at("weight_decay")) * p.w); };
  m["sgd"] = [](P& p, W g, int t, W lr, const Hypers& h) {
    g += W(h.at("weight_decay")) * p.w;
    W& b = p.s["momentum_buffer"];
    b = t == 1 ? g : W(h.at("momentum")) * b + (1 - W(h.at("dampening"))) * g;
    p.w -= lr * (h.at("nesterov") != 0 ? g + W(h.at("momentum")) * b : b);
  };
  m["adam"] = [](P& p, W g, int t, W lr, const Hypers& h) { adam_recurrence(p, g, t, lr, h, false); };
  m["adam_amsgrad"] = [](P& p, W g, int t, W lr, const Hypers& h) { adam_recurrence(p, g, t, lr, h, true); };
  m["rmsprop"] = [](P& p, W g, int, W lr, const Hypers& h) {
    g += W(h.at("weight_decay")) * p.w;
    W& v = p.s["square_avg"];
    v = W(h.at("alpha")) * v + (1 - W(h.at("alpha"))) * g * g;
    p.w -= lr * g / (std::sqrt(v) + W(h.at("eps")));
  };
  m["rmsprop_full"] = [](P& p, W g, int, W lr, const Hypers& h) {
    const W a = h.at("alpha");
    g += W(h.at("weight_decay")) * p.w;
    W &v = p.s["square_avg"], &mean = p.s["grad_avg"], &b = p.s["momentum_buffer"];
    v = a * v + (1 - a) * g * g;
    mean = a * mean + (1 - a) * g;
    const W spread = h.at("centered") != 0 ? v - mean * mean : v;
    b = W(h.at("momentum")) * b + g / (std::sqrt(spread) + W(h.at("eps")));
    p.w -= lr * b;
  };
  m["adagrad"] = [](P& p, W g, int t, W lr, const Hypers& h) {
    g += W(h.at("weight_decay")) * p.w;
    p.s["sum"] += g * g;
    p.w -= lr / (1 + (t - 1) * W(h.at("lr_decay"))) * g / (std::sqrt(p.s["sum"]) + W(h.at("eps")));
  };
  m["adadelta"] = [](P& p, W g, int, W lr, const Hypers& h) {
    const W rho = h.at("rho"), eps = h.at("eps");
    g += W(h.at("weight_decay")) * p.w;
    W &v = p.s["square_avg"], &a = p.s["acc_delta"];
    v = rho * v + (1 - rho) * g * g;
    const W delta = std::sqrt(a + eps) / std::sqrt(v + eps) * g;
    a = rho * a + (1 - rho) * delta * delta;
    p.w -= lr * delta;
  };
  m["adamax"] = [](P& p, W g, int t, W lr, const Hypers& h) {
    g += W(h.at("weight_decay")) * p.w;
    W &avg = p.s["exp_avg"], &u = p.s["exp_inf"];
    avg = W(h.at("beta1")) * avg + (1 - W(h.at("beta1"))) * g;
    u = std::max(W(h.at("beta2")) * u, std::fabs(g) + W(h.at("eps")));
    p.w -= lr / (1 - std::pow(W(h.at("beta1")), W(t))) * avg / u;
  };
  m["nadam"] = [](P& p, W g, int t, W lr, const Hypers& h) {
    const W b1 = h.at("beta1"), b2 = h.at("beta2");
    const auto mu = [&](int i) { return b1 * (1 - W(0.5) * std::pow(W(0.96), i * W(h.at("psi")))); };
    W product = 1;
    for (int i = 1; i <= t; ++i) product *= mu(i);
    g += W(h.at("weight_decay")) * p.w;
    W &avg = p.s["exp_avg"], &v = p.s["exp_avg_sq"];
    avg = b1 * avg + (1 - b1) * g;
    v = b2 * v + (1 - b2) * g * g;
    const W d = std::sqrt(v / (1 - std::pow(b2, W(t)))) + W(h.at("eps"));
    p.w -= lr * (1 - mu(t)) / (1 - product) * g / d + lr * mu(t + 1) / (1 - product * mu(t + 1)) * avg / d;
  };
  m["radam"] = [](P& p, W g, int t, W lr, const Hypers& h) {
    const W b1 = h.at("beta1"), b2 = h.at("beta2");
    g += W(h.at("weight_decay")) * p.w;
    W &avg = p.s["exp_avg"], &v = p.s["exp_avg_sq"];
    avg = b1 * avg + (1 - b1) * g;
    v = b2 * v + (1 - b2) * g * g;
    const W limit = 2 / (1 - b2) - 1, power = std::pow(b2, W(t)), rho = limit - 2 * t * power / (1 - power);
    W scale = 1;
    if (rho > 5)
      scale = std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) * std::sqrt(1 - power) /
              (std::sqrt(v) + W(h.at("eps")));
    p.w -= lr * avg / (1 - std::pow(b1, W(t))) * scale;
  };
  m["rprop"] = [](P& p, W g, int, W, const Hypers& h) {
    W &last = p.s["prev"], &size = p.s["step_size"];
    const W agree = g * last;
    size *= agree > 0 ? W(h.at("eta_plus")) : agree < 0 ? W(h.at("eta_minus")) : W(1);
    size = std::min(std::max(size, W(h.at("step_min"))), W(h.at("step_max")));
    if (agree < 0) g = 0;
    p.w -= W((g > 0) - (g < 0)) * size;
    last = g;
  };
  m["lion"] = [](P& p, W g, int, W lr, const Hypers& h) {
    W& avg = p.s["exp_avg"];
    const W u = W(h.at("beta1")) * avg + (1 - W(h.at("beta1"))) * g;
    p.w = p.w * (1 - lr * W(h.at("weight_decay"))) - lr * W((u > 0) - (u < 0));
    avg = W(h.at("beta2")) * avg + (1 - W(h.at("beta2"))) * g;
  };
  return m;
}

// Variants 0 to 3; the weights decay in all but the first.
inline Hypers test_hypers(const RuleEntry& rule, int variant) {
  Hypers numbers = {{"beta1", 0.9},    {"beta2", 0.99},    {"momentum", 0.9}, {"alpha", 0.9}, {"rho", 0.9},
                    {"eps", 1e-6},     {"dampening", 0.1}, {"lr_decay", 0.1}, {"psi", 4e-3},  {"eta_minus", 0.5},
                    {"eta_plus", 1.2}, {"step_min", 1e-6}, {"step_max", 50}};
  numbers["weight_decay"] = variant == 0 ? 0.0 : 0.01;
  const std::set<std::string> flags = {"nesterov", "decoupled", "eps_keras", "centered"};
  Hypers h;
  for (int i = 0; i < rule.hypers; ++i) {
    const std::string name = rule.hyper_names[i];
    const bool on = (variant >> (i % 2)) & 1;  // flags on and off, in both combinations
    const bool is_flag = flags.count(name) > 0, is_number = numbers.count(name) > 0;
    CHECK(is_flag || is_number, rule.name << " has a hyper-parameter " << name << ", for which this test has no value");
    h[name] = is_number ? numbers.at(name) : is_flag && on ? 1.0 : 0.0;
  }
  return h;
}

constexpr int kGap = 77;  // between rows of `cols` elements that begin `row` apart: what no kernel may write

template <class T>
void fill_gaps(std::vector<T>& x, ptrdiff_t cols, ptrdiff_t row) {
  for (size_t i = 0; i < x.size(); ++i)
    if (ptrdiff_t(i) % row >= cols) x[i] = T(kGap);
}

template <class T>
bool has_gaps(const std::vector<T>& x, ptrdiff_t cols, ptrdiff_t row) {
  for (size_t i = 0; i < x.size(); ++i)
    if (ptrdiff_t(i) % row >= cols && x[i] != T(kGap)) return false;
  return true;
}

template <class T>
void check_rule(const Table& table, const RuleEntry& rule, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t gap, int variant) {
  using W = Wider<T>;
  const auto all = recurrences<W>();
  const auto found = all.find(rule.name);
  CHECK(found != all.end(), rule.name << " has no recurrence in this test");
  if (found == all.end()) return;
  const Hypers named = test_hypers(rule, variant);
  double hyper[lamina::kRuleConstants], clock[lamina::kRuleClock] = {}, constants[lamina::kRuleConstants];
  for (int i = 0; i < rule.hypers; ++i) hyper[i] = named.at(rule.hyper_names[i]);
  const double lr = 0.01;

  const ptrdiff_t row = cols + gap;
  std::vector<T> w = normal_values<T>(size_t(rows * row));
  std::vector<std::vector<T>> slot(kMaxSlots, std::vector<T>(w.size(), T(0)));
  std::vector<Parameter<W>> right(w.size());
  for (size_t i = 0; i < w.size(); ++i) right[i].w = w[i];
  for (int s = 0; s < rule.slots; ++s)
    if (rule.slot_names[s] == std::string("step_size")) {
      slot[size_t(s)].assign(w.size(), T(lr));
      for (auto& p : right) p.s["step_size"] = T(lr);
    }
  fill_gaps(w, cols, row);
  for (auto& s : slot) fill_gaps(s, cols, row);
  const std::vector<T> offset = normal_values<T>(w.size());  // gradients with a mean: centered variances stay well above zero
  for (int t = 1; t <= 10; ++t) {
    const ptrdiff_t g_row = row + t % 2 * 3;  // as w's rows lie, or apart
    std::vector<T> g = normal_values<T>(size_t(rows * g_row), 0.5);
    for (size_t i = 0; i < g.size(); ++i) g[i] += offset[i % offset.size()];
    rule.prepare(hyper, lr, clock, constants);
    rule.apply[precision<T>()]({.w = w.data(),
                                .w_row = row,
                                .slot = {slot[0].data(), slot[1].data(), slot[2].data(), slot[3].data()},
                                .g = g.data(),
                                .g_row = g_row,
                                .rows = rows,
                                .cols = cols,
                                .constants = constants,
                                .far = false});
    for (ptrdiff_t r = 0; r < rows; ++r)
      for (ptrdiff_t c = 0; c < cols; ++c) {
        const size_t i = size_t(r * row + c);
        found->second(right[i], W(g[size_t(r * g_row + c)]), t, W(lr), named);
        const double tolerance = (sizeof(T) == 4 ? 4e-6 : 1e-14) * (2 + double(std::fabs(right[i].w)));  // ten steps' roundings
        CHECK(std::fabs(W(w[i]) - right[i].w) <= tolerance, table.isa << " " << type_name<T>() << " " << rule.name << " variant "
                                                                      << variant << " step " << t << ": " << w[i] << " for "
                                                                      << right[i].w);
      }
    CHECK(has_gaps(w, cols, row), table.isa << " " << rule.name << " wrote beyond w");
    for (int s = 0; s < rule.slots; ++s)
      CHECK(has_gaps(slot[size_t(s)], cols, row), table.isa << " " << rule.name << " wrote beyond " << rule.slot_names[s]);
  }
  CHECK(clock[0] == 10, rule.name << " counts its steps");
}

// w, and any rule's slots behind it; these are not below zero, as most of them hold squares.
template <class T>
std::vector<std::vector<T>> random_state(size_t size) {
  std::vector<std::vector<T>> state = {normal_values<T>(size)};
  for (int s = 0; s < kMaxSlots; ++s) {
    state.push_back(normal_values<T>(size));
    for (T& x : state.back()) x = std::fabs(x);
  }
  return state;
}

// A short row gives the bits of the same elements in a long one.
template <class T>
void check_rule_tails(const Table& table, const RuleEntry& rule, int variant) {
  constexpr ptrdiff_t kLong = 130;
  const Hypers named = test_hypers(rule, variant);
  double hyper[lamina::kRuleConstants], clock[lamina::kRuleClock] = {}, constants[lamina::kRuleConstants];
  for (int i = 0; i < rule.hypers; ++i) hyper[i] = named.at(rule.hyper_names[i]);
  rule.prepare(hyper, 0.01, clock, constants);
  const std::vector<std::vector<T>> start = random_state<T>(kLong);
  const std::vector<T> g = normal_values<T>(kLong);
  const auto run = [&](ptrdiff_t n) {
    std::vector<std::vector<T>> own = start;
    const RuleArgs u = {.w = own[0].data(),
                        .w_row = n,
                        .slot = {own[1].data(), own[2].data(), own[3].data(), own[4].data()},
                        .g = g.data(),
                        .g_row = n,
                        .rows = 1,
                        .cols = n,
                        .constants = constants,
                        .far = true};
    rule.apply[precision<T>()](u);
    return own;
  };
  const std::vector<std::vector<T>> whole = run(kLong);
  for (ptrdiff_t n : kSizes) {
    const std::vector<std::vector<T>> part = run(n);
    for (size_t i = 0; i < part.size(); ++i) {
      const std::string what = i == 0 ? "w" : "slot " + std::to_string(i - 1);
      CHECK(same_bits(part[i].data(), whole[i].data(), n),
            table.isa << " " << type_name<T>() << " " << rule.name << " variant " << variant << " size " << n << ": " << what);
      CHECK(same_bits(part[i].data() + n, start[i].data() + n, kLong - n),
            table.isa << " " << rule.name << " wrote beyond " << n << ": " << what);
    }
  }
}

// A gradient of rank one gives the bits of the same one written out, a sum from zero on: nowhere is it -0.
template <class T>
void check_rule_outer(const Table& table, const RuleEntry& rule, ptrdiff_t cols, int variant) {
  constexpr ptrdiff_t kRows = 3, kApart = 2;
  const Hypers named = test_hypers(rule, variant);
  double hyper[lamina::kRuleConstants], clock[lamina::kRuleClock] = {}, constants[lamina::kRuleConstants];
  for (int i = 0; i < rule.hypers; ++i) hyper[i] = named.at(rule.hyper_names[i]);
  rule.prepare(hyper, 0.01, clock, constants);
  const ptrdiff_t row = cols + 3;
  const auto size = size_t(kRows * row);
  std::vector<std::vector<T>> start = random_state<T>(size);
  for (auto& x : start) fill_gaps(x, cols, row);
  std::vector<T> left = normal_values<T>(kRows * kApart);
  left[kApart] = 0;
  const std::vector<T> right = normal_values<T>(size_t(cols));
  std::vector<T> g(size);
  for (ptrdiff_t r = 0; r < kRows; ++r)
    for (ptrdiff_t c = 0; c < cols; ++c) g[size_t(r * row + c)] = left[size_t(r * kApart)] * right[size_t(c)] + T(0);
  const auto run = [&](bool outer) {
    std::vector<std::vector<T>> own = start;
    rule.apply[precision<T>()]({.w = own[0].data(),
                                .w_row = row,
                                .slot = {own[1].data(), own[2].data(), own[3].data(), own[4].data()},
                                .g = outer ? right.data() : g.data(),
                                .g_row = outer ? 0 : row,
                                .rows = kRows,
                                .cols = cols,
                                .constants = constants,
                                .far = cols % 2 == 0,
                                .left = outer ? left.data() : nullptr,
                                .left_row = outer ? kApart : 0});
    return own;
  };
  const std::vector<std::vector<T>> once = run(true), written_out = run(false);
  for (size_t i = 0; i < once.size(); ++i) {
    CHECK(same_bits(once[i].data(), written_out[i].data(), ptrdiff_t(size)), table.isa << " " << type_name<T>() << " " << rule.name
                                                                                       << " variant " << variant << " of rank one, "
                                                                                       << cols << " columns");
    CHECK(has_gaps(once[i], cols, row), table.isa << " " << rule.name << " of rank one wrote beyond");
  }
}

// Where squares of gradients are beyond the largest number, weights stay numbers.
inline void check_rule_overflow(const Table& table, const RuleEntry& rule) {
  constexpr ptrdiff_t kCols = 19;
  const Hypers named = test_hypers(rule, 0);
  double hyper[lamina::kRuleConstants], clock[lamina::kRuleClock] = {}, constants[lamina::kRuleConstants];
  for (int i = 0; i < rule.hypers; ++i) hyper[i] = named.at(rule.hyper_names[i]);
  std::vector<float> w(kCols, 1.0f), g(kCols, 1e25f);
  std::vector<std::vector<float>> slot(kMaxSlots, std::vector<float>(kCols, 0.0f));
  for (int t = 1; t <= 10; ++t) {
    rule.prepare(hyper, 0.01, clock, constants);
    rule.apply[kF32]({w.data(),
                      kCols,
                      {slot[0].data(), slot[1].data(), slot[2].data(), slot[3].data()},
                      g.data(),
                      kCols,
                      1,
                      kCols,
                      constants,
                      false});
    for (float x : w) CHECK(std::isfinite(x), table.isa << " " << rule.name << " beyond the largest square: " << x);
  }
}

template <class T>
void check_rules(const Table& table) {
  for (int i = 0; i < table.rule_count; ++i) {
    const RuleEntry& rule = table.rules[i];
    section(std::string(rule.name) + " " + table.isa);
    if (sizeof(T) == 4) check_rule_overflow(table, rule);
    for (int variant = 0; variant < 4; ++variant) {
      check_rule<T>(table, rule, 3, 21, 0, variant);
      check_rule<T>(table, rule, 2, 19, 5, variant);
    }
    // Rules of few slots, and Adam without decay, take two or four vectors at a time: some such blocks and a rest,
    check_rule<T>(table, rule, 3, 43, 0, 0);
    check_rule<T>(table, rule, 2, 93, 5, 0);  // and in each row blocks, a single vector and a rest
    for (int variant : {0, 3}) {
      check_rule_tails<T>(table, rule, variant);
      for (ptrdiff_t cols : {1, 5, 8, 15, 16, 20, 33, 100}) check_rule_outer<T>(table, rule, cols, variant);
    }
  }
}

}  // namespace kernels_test
