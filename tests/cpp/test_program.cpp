// A network, its loss and all gradients as one program, on every instruction set of this machine: against plain loops in double,
// bit-equal for any number of threads, equal within rounding without fusion. gelu(x w + b) v behind softmax and cross-entropy.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/threads.h"
#include "graph/build.h"
#include "graph/gradient.h"
#include "kernels_common.h"
#include "runtime/gemm_relay.h"
#include "runtime/program.h"

namespace {

using namespace lamina;
using graph::Tensor;
using kernels_test::normal_values;

using Values = std::vector<double>;

constexpr int kIn = 19, kHidden = 37, kOut = 11;

// to[m, n] = a[m, k] b[k, n]; strides say what is transposed.
Values product(const Values& a, int a_row, int a_col, const Values& b, int b_row, int b_col, int m, int n, int k) {
  Values to(size_t(m * n));
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j)
      for (int p = 0; p < k; ++p) to[size_t(i * n + j)] += a[size_t(i * a_row + p * a_col)] * b[size_t(p * b_row + j * b_col)];
  return to;
}

double gelu(double u) { return u / 2 * (1 + std::erf(u / std::sqrt(2.0))); }
double gelu_slope(double u) {
  return (1 + std::erf(u / std::sqrt(2.0))) / 2 + u * std::exp(-u * u / 2) / std::sqrt(2 * std::acos(-1.0));
}

// Probabilities, loss, dL/dw, dL/db, dL/dv.
std::vector<Values> right(const Values& x, const Values& target, const Values& w, const Values& b, const Values& v, int rows) {
  Values u = product(x, kIn, 1, w, kHidden, 1, rows, kHidden, kIn), h(u.size());
  for (size_t i = 0; i < u.size(); ++i) h[i] = gelu(u[i] += b[i % kHidden]);
  const Values z = product(h, kHidden, 1, v, kOut, 1, rows, kOut, kHidden);
  Values p(z.size()), dz(z.size()), loss(1);
  for (int r = 0; r < rows; ++r) {
    double sum = 0, weight = 0;
    for (int c = 0; c < kOut; ++c) sum += std::exp(z[size_t(r * kOut + c)]);
    for (int c = 0; c < kOut; ++c) weight += target[size_t(r * kOut + c)];
    for (int c = 0; c < kOut; ++c) {
      const size_t i = size_t(r * kOut + c);
      p[i] = std::exp(z[i]) / sum;
      loss[0] -= target[i] * (z[i] - std::log(sum));
      dz[i] = p[i] * weight - target[i];
    }
  }
  Values du = product(dz, kOut, 1, v, 1, kOut, rows, kHidden, kOut), db(kHidden);
  for (size_t i = 0; i < du.size(); ++i) db[i % kHidden] += du[i] *= gelu_slope(u[i]);
  return {p, loss, product(x, 1, kIn, du, kHidden, 1, kIn, kHidden, rows), db,
          product(h, 1, kHidden, dz, kOut, 1, kHidden, kOut, rows)};
}

template <class T>
struct Net {
  static constexpr DType kType = sizeof(T) == 4 ? DType::float32 : DType::float64;
  std::vector<T> w = normal_values<T>(kIn * kHidden, 0.3), b = normal_values<T>(kHidden), v = normal_values<T>(kHidden * kOut, 0.3);
  graph::Tensors inputs, outputs;

  static Tensor input(const char* name, int cols) {
    return graph::make("input", {}, {{"shape", Shape{Dim::of(kBatch), cols}}, {"dtype", kType}, {"name", std::string(name)}});
  }
  static Tensor variable(const std::vector<T>& values, Sizes sizes) {
    const auto made = std::make_shared<graph::Variable>("parameter", kType, sizes, true);
    std::memcpy(made->data(), values.data(), made->bytes());
    return graph::make("variable", {}, {{"variable", made}});
  }

  Net() {
    const Tensor x = input("x", kIn), target = input("target", kOut);
    const Tensor tw = variable(w, {kIn, kHidden}), tb = variable(b, {kHidden}), tv = variable(v, {kHidden, kOut});
    const Tensor z = graph::matmul(graph::unary("gelu", graph::add(graph::matmul(x, tw), tb)), tv);
    const Tensor loss = graph::neg(graph::reduce("sum", graph::mul(target, graph::unary("log_softmax", z)), {0, 1}, false));
    inputs = {x, target};
    outputs = {graph::unary("softmax", z), loss};
    for (const Tensor& g : graph::gradients(loss, {tw, tb, tv})) outputs.push_back(g);
  }

  std::vector<std::vector<T>> run(int rows, const std::vector<T>& x, const std::vector<T>& target, int threads, bool fuse) const {
    set_num_threads(threads);
    runtime::ProgramOptions options;
    options.fusion = {fuse, fuse, fuse};
    runtime::Program program(inputs, outputs, {}, options);
    program.bind({{rows, kIn}, {rows, kOut}});
    std::vector<std::vector<T>> results;
    std::vector<void*> at;
    for (size_t i = 0; i < outputs.size(); ++i) results.emplace_back(size_t(count(program.output_sizes(i))));
    for (auto& r : results) at.push_back(r.data());
    const void* const arrays[] = {x.data(), target.data()};
    program.run(arrays, at.data());
    return results;
  }
};

Values widened(const auto& values) { return Values(values.begin(), values.end()); }

template <class T>
void check_net(const std::string& isa) {
  const Net<T> net;
  for (int rows : {1, 2, 7, 64, 257}) {
    const std::vector<T> x = normal_values<T>(size_t(rows * kIn));
    std::vector<T> target = normal_values<T>(size_t(rows * kOut));
    for (T& t : target) t = std::fabs(t);
    const auto whole = net.run(rows, x, target, 1, true);
    const auto oracle = right(widened(x), widened(target), widened(net.w), widened(net.b), widened(net.v), rows);
    const auto threaded = net.run(rows, x, target, 3, true), plain = net.run(rows, x, target, 2, false);
    for (size_t i = 0; i < whole.size(); ++i) {
      double largest = 1;
      for (double value : oracle[i]) largest = std::max(largest, std::fabs(value));
      const double tolerance = std::numeric_limits<T>::epsilon() * 60 * largest;  // sums of some hundred terms
      CHECK(std::memcmp(whole[i].data(), threaded[i].data(), whole[i].size() * sizeof(T)) == 0,
            isa << " output " << i << " of " << rows << " rows depends on the number of threads");
      for (size_t k = 0; k < whole[i].size(); ++k) {
        CHECK(std::fabs(whole[i][k] - oracle[i][k]) <= tolerance,
              isa << " output " << i << " of " << rows << " rows: " << whole[i][k] << " for " << oracle[i][k]);
        CHECK(std::fabs(plain[i][k] - oracle[i][k]) <= tolerance,
              isa << " without fusion, output " << i << " of " << rows << " rows");
      }
    }
  }
}

// Of `runs` runs, how many went together, where that takes `together` and the other way `alone`.
int together_of(runtime::Pace& pace, int runs, double together, double alone) {
  int count = 0;
  for (int i = 0; i < runs; ++i) {
    count += pace.together();
    if (pace.trying())
      pace.took((pace.together() ? together : alone) * (i % 3 ? 1.5 : 1.0));  // some runs are disturbed
    else
      pace.ran();
  }
  return count;
}

void check_pace() {
  check::section("which is faster, together or alone");
  runtime::Pace pace;
  const int first = together_of(pace, 200, 2, 1);
  CHECK(first > 50 && first < 150, "it begins together, and learns: " << first);
  const int slow = together_of(pace, 10000, 2, 1);
  CHECK(slow > 0 && slow < 400, "of 10,000 runs that are faster alone, some try: " << slow);
  together_of(pace, 4000, 1, 2);
  const int fast = together_of(pace, 10000, 1, 2);
  CHECK(fast > 9600 && fast < 10000, "of 10,000 runs that are faster together: " << fast);
  const int even = together_of(pace, 10000, 1, 0.99);
  CHECK(even > 9600, "a hundredth is not worth a change: " << even);
}

constexpr int kWide = 900, kRows = 40;

// Whether the product of the first step is relayed: two threads have it to themselves, and it is one that suits. (Blocks of it would be
// two units as well.)
bool relays_first(const runtime::Program& program) {
  const runtime::Step& step = *program.steps()[0];
  const graph::Node* product = step.nodes[0];
  Bindings symbols;
  symbols.set(kBatch, kRows);
  const auto locate = [&](const graph::Node* node) {
    return runtime::Strided::dense(0, node->dtype(), symbols.eval(node->shape()));
  };
  const auto is_trained = [](const graph::Node* node) { return node->is("variable"); };
  runtime::GemmTask task(product, {product, nullptr}, {}, false, kernels::table());
  task.bind({symbols, locate, is_trained, kernels::table()});
  const runtime::Stage& stage = program.stages()[0];
  return stage.parallel && stage.lanes.size() == 1 && stage.lanes[0].steps == std::vector<size_t>{0} && step.units() == 2 &&
         runtime::GemmRelay::suits(task);
}

// The losses of some steps of w, v -= gradients of |tanh(x w) v|^2, and the trained w. Two threads relay the product x w.
template <class T>
std::vector<T> trained(const std::vector<T>& x, const std::vector<T>& w, const std::vector<T>& v, int threads) {
  set_num_threads(threads);
  const Tensor input = graph::make("input", {}, {{"shape", Shape{Dim::of(kBatch), kWide}}, {"dtype", Net<T>::kType}});
  const Tensor tw = Net<T>::variable(w, {kWide, kHidden}), tv = Net<T>::variable(v, {kHidden, kOut});
  const Tensor z = graph::matmul(graph::unary("tanh", graph::matmul(input, tw)), tv);
  const Tensor loss = graph::reduce("sum", graph::mul(z, z), {0, 1}, false);
  const graph::Tensors gradients = graph::gradients(loss, {tw, tv});
  const graph::Tensors effects = {graph::make("assign", {tw, graph::add(tw, graph::neg(gradients[0]))}),
                                  graph::make("assign", {tv, graph::add(tv, graph::neg(gradients[1]))})};
  runtime::Program program({input}, {loss}, effects, {});
  program.bind({{kRows, kWide}});
  CHECK(relays_first(program) == (threads == 2), kernels::table().isa << " on " << threads << " threads");
  std::vector<T> results(5);
  for (T& value : results) {
    const void* from = x.data();
    void* to = &value;
    program.run(&from, &to);
  }
  const auto* weights = reinterpret_cast<const T*>(tw->attrs.get<std::shared_ptr<graph::Variable>>("variable")->data());
  results.insert(results.end(), weights, weights + w.size());
  return results;
}

template <class T>
void check_training(const std::string& isa) {
  const auto x = normal_values<T>(kRows * kWide, 0.05), w = normal_values<T>(kWide * kHidden, 0.05),
             v = normal_values<T>(kHidden * kOut, 0.02);
  const std::vector<T> alone = trained(x, w, v, 1), together = trained(x, w, v, 2);
  CHECK(alone[4] < alone[0], isa << " learns: " << alone[0] << ", " << alone[4]);
  CHECK(std::memcmp(alone.data(), together.data(), alone.size() * sizeof(T)) == 0, isa << " learns alike on two threads");
}

// Two threads share what has a unit for each of 1,800 lines: in tasks that are worth to be claimed, of one range each.
void check_tasks() {
  check::section("tasks of many units");
  set_num_threads(2);
  const Tensor input = graph::make("input", {}, {{"shape", Shape{Dim::of(kBatch), 64}}, {"dtype", DType::float32}});
  const Tensor wide = graph::make("concatenate", {input, graph::unary("tanh", input)}, {{"axis", int64_t{1}}});
  const Tensor w = Net<float>::variable(normal_values<float>(128 * 64, 0.1), {128, 64});
  runtime::Program program({input}, {graph::matmul(wide, w)}, {}, {});
  program.bind({{900, 64}});
  for (const runtime::Stage& stage : program.stages())
    for (const runtime::Lane& lane : stage.lanes) {
      const runtime::Step& step = *program.steps()[lane.steps[0]];
      if (step.name != "concatenate") continue;
      CHECK(lane.blocks == 1800, "units: " << lane.blocks);
      CHECK(stage.size() == stage.shares.size(), stage.size() << " tasks of " << stage.shares.size() << " ranges");
      CHECK(stage.size() % 2 == 0 && stage.size() > 2 && stage.size() < 100, stage.size() << " tasks");
      return;
    }
  CHECK(false, "nothing is concatenated");
}

// A thread that nobody waits for may plan a program while the process ends: what that takes is still there.
void plan_at_the_end() {
  try {
    const Net<float> net;
    const Tensor x = net.inputs[0], both = graph::make("concatenate", {x, graph::unary("tanh", x)}, {{"axis", int64_t{1}}});
    const runtime::Program program(net.inputs, {net.outputs[0], both}, {}, {});
  } catch (const std::exception& error) {
    std::fputs(error.what(), stderr);
    std::_Exit(1);
  }
}

}  // namespace

int main() {
  std::atexit(plan_at_the_end);  // before anything of the core is made, and so after all that would be destroyed is
  check_pace();
  check_tasks();
  for (const kernels::Table* table : kernels::supported_tables()) {
    kernels::select(table->isa);
    check::section(std::string("program ") + table->isa);
    check_net<float>(table->isa);
    check_net<double>(table->isa);
    check_training<float>(table->isa);
    check_training<double>(table->isa);
  }
  return check::finish();
}
