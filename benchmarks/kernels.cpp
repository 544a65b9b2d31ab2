// The kernels alone, on one thread: GFLOP/s of the matrix products beside a ceiling measured in the same run (fused multiply-adds
// on registers, nothing else), nanoseconds an element of the elementwise instructions and of the update rules.
//
//   cmake --build build --target benchmark_kernels && build/benchmark_kernels [isa] [seconds a figure, default 0.1] [one]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/rule_layout.h"
#include "kernels/dispatch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

namespace {

using namespace lamina::kernels;

double seconds_a_figure = 0.1;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Seconds a call: the best of many short runs, because the machine is shared.
template <class F>
double time_of(F f) {
  int calls = 1;
  for (;;) {
    const double start = now();
    for (int i = 0; i < calls; ++i) f();
    if (now() - start > 0.002 || calls > (1 << 28)) break;
    calls *= 2;
  }
  double best = 1e9;
  const double end = now() + seconds_a_figure;
  do {
    const double start = now();
    for (int i = 0; i < calls; ++i) f();
    best = std::min(best, (now() - start) / calls);
  } while (now() < end);
  return best;
}

// Twelve independent chains of multiply-adds on registers; one function a target.
constexpr int kChains = 12, kSteps = 1000;
#define CEILING(name, attribute, bytes, multiply_add)                                             \
  attribute void name##_loop() {                                                                  \
    typedef float V __attribute__((vector_size(bytes)));                                          \
    V x[kChains] = {}, a = V{} + 0.999f, b = V{} + 0.001f;                                        \
    for (int s = 0; s < kSteps; ++s) _Pragma("GCC unroll 12") for (int i = 0; i < kChains; ++i) { \
        x[i] = multiply_add(x[i], a, b);                                                          \
        asm volatile("" : "+" VECTOR_REGISTER(x[i])); /* the result counts as being read */       \
      }                                                                                           \
  }                                                                                               \
  double name() { return 2.0 * kChains * kSteps * (bytes / 4) / time_of(name##_loop) * 1e-9; }

#if defined(__x86_64__)
#define VECTOR_REGISTER "v"
#define MULTIPLY_ADD(x, a, b) (x) * (a) + (b)
CEILING(ceiling_base, __attribute__((target("sse4.2"))), 16, MULTIPLY_ADD)
CEILING(ceiling_avx2, __attribute__((target("avx2,fma"))), 32, _mm256_fmadd_ps)
CEILING(ceiling_avx512, __attribute__((target("avx512f"))), 64, _mm512_fmadd_ps)
#else
#define VECTOR_REGISTER "w"
#define MULTIPLY_ADD(x, a, b) vfmaq_f32(b, x, a)
CEILING(ceiling_neon, , 16, MULTIPLY_ADD)
#endif

double ceiling(const Table& table) {
#if defined(__x86_64__)
  if (table.vector_bytes == 64) return ceiling_avx512();
  if (table.vector_bytes == 32) return ceiling_avx2();
  return ceiling_base();
#else
  (void)table;
  return ceiling_neon();
#endif
}

// Arrays on cache lines, as programs have them.
template <class T>
struct OnLines {
  using value_type = T;
  OnLines() = default;
  template <class U>
  OnLines(const OnLines<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{lamina::kAlignment})); }
  void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t{lamina::kAlignment}); }
  bool operator==(const OnLines&) const { return true; }
};
template <class T>
using Array = std::vector<T, OnLines<T>>;

Array<float> numbers(size_t n) {
  Array<float> v(n);
  uint32_t state = 1;
  for (float& x : v) {
    state = state * 1664525u + 1013904223u;
    x = float(int32_t(state)) * 0x1p-30f;
  }
  return v;
}

struct Product {
  const char* what;
  ptrdiff_t m, n, k;
  char form;  // 'n': A B, 't': A^T B, 'd': narrow (dot products)
};

const Product kProducts[] = {
    {"square", 64, 64, 64, 'n'},
    {"mnist-s forward", 32, 128, 784, 'n'},
    {"mnist-m forward", 128, 512, 784, 'n'},
    {"mnist-m hidden", 128, 512, 512, 'n'},
    {"mnist-m A^T B", 512, 512, 128, 't'},
    {"mnist-s A^T B", 784, 128, 32, 't'},
    {"tiny-rl hidden", 64, 64, 64, 't'},
    {"10 columns", 128, 10, 512, 'n'},
    {"10 columns A^T B", 512, 10, 128, 't'},
    {"one column", 256, 1, 256, 'n'},
    {"one column, dots", 256, 1, 256, 'd'},
    {"8 columns, dots", 256, 8, 256, 'd'},
    {"odd", 37, 61, 53, 'n'},
    {"one row", 1, 512, 784, 'n'},
    {"one row, small", 1, 64, 64, 'n'},
    {"two rows", 2, 512, 784, 'n'},
    {"wide", 256, 2048, 1024, 'n'},
};

void measure_product(const Table& table, const Product& p, double top) {
  Array<float> a = numbers(size_t(p.m * p.k)), b = numbers(size_t(p.k * p.n)), c(size_t(p.m * p.n));
  const bool t = p.form == 't', dots = p.form == 'd';
  const GemmKernel& kernel = table.gemm[kF32];
  GemmArgs g = {p.m, p.n, p.k, a.data(), t ? 1 : p.k, t ? p.m : 1, b.data(), dots ? p.k : p.n, dots ? p.n : 1, c.data(), p.n};
  const auto run = dots ? kernel.narrow : kernel.block;
  Array<float> room(dots ? 0 : size_t(kernel.room(g)));
  g.room = room.data();
  const double s = time_of([&] { run(g); });
  const double gf = 2.0 * double(p.m) * double(p.n) * double(p.k) / s * 1e-9;
  std::printf("  %-18s %4td x %4td x %4td  %8.2f us %7.1f GF/s  %3.0f %%\n", p.what, p.m, p.n, p.k, s * 1e6, gf, 100 * gf / top);
}

void measure_tiles(const Table& table, const std::string& only) {
  constexpr ptrdiff_t kCount = 1280;  // not whole pages: what is read shall not lie as far into its page as what was just written
  Array<float> x = numbers(kCount), y = numbers(kCount), z = numbers(kCount), out(kCount);
  const double params[4] = {1, 1, 1, 1};
  for (int i = 0; i < table.tile_count; ++i) {
    const TileEntry& e = table.tiles[i];
    if (!only.empty() && only != e.name) continue;
    TileArgs t = TileArgs::of_any(out.data(), kCount, 1, kCount, 0, params);
    t.fresh = false;
    const Array<float>* operands[] = {&x, &y, &z};
    for (int j = 0; j < e.arity; ++j) t.in[j] = {operands[j]->data(), kCount, 1};
    const double s = time_of([&] { e.fn[kF32](t); });
    Array<double> xd(x.begin(), x.end()), yd(y.begin(), y.end()), zd(z.begin(), z.end()), outd(kCount);
    const Array<double>* doubles[] = {&xd, &yd, &zd};
    t.out = outd.data();
    for (int j = 0; j < e.arity; ++j) t.in[j].data = doubles[j]->data();
    const double d = time_of([&] { e.fn[kF64](t); });
    std::printf("  %-24s f32 %7.3f   f64 %7.3f ns an element\n", e.name, s / kCount * 1e9, d / kCount * 1e9);
  }
}

void measure_rules(const Table& table) {
  constexpr ptrdiff_t kCount = 4480;  // five arrays within L2, not whole pages
  for (int i = 0; i < table.rule_count; ++i) {
    const RuleEntry& rule = table.rules[i];
    Array<float> w = numbers(kCount), g = numbers(kCount);
    std::vector<Array<float>> slots(kMaxSlots, Array<float>(kCount, 0.5f));
    double hyper[lamina::kRuleConstants], clock[lamina::kRuleClock] = {}, constants[lamina::kRuleConstants];
    std::fill(hyper, hyper + lamina::kRuleConstants, 0.5);
    rule.prepare(hyper, 1e-3, clock, constants);
    const RuleArgs u = {w.data(), kCount,    {slots[0].data(), slots[1].data(), slots[2].data(), slots[3].data()},
                        g.data(), kCount,    1,
                        kCount,   constants, false};
    const double s = time_of([&] { rule.apply[kF32](u); });
    std::printf("  %-24s f32 %7.3f ns a parameter\n", rule.name, s / kCount * 1e9);
  }
}

void measure_rest(const Table& table) {
  const ptrdiff_t n = 512;
  Array<float> a = numbers(size_t(n * n)), b(size_t(n * n));
  const double t = time_of([&] { table.gemm[kF32].transpose(b.data(), n, a.data(), n, n, n); });
  std::printf("  %-24s f32 %7.3f ns an element\n", "transpose 512 x 512", t / double(n * n) * 1e9);
  const double u = time_of([&] { table.uniform[kF32](b.data(), 4096, 1, 2, 3); });
  std::printf("  %-24s f32 %7.3f ns an element\n", "uniform", u / 4096 * 1e9);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string isa = argc > 1 ? argv[1] : "";
  if (argc > 2) seconds_a_figure = std::atof(argv[2]);
  const std::string only = argc > 3 ? argv[3] : "";  // one instruction, or "gemm"
  for (const Table* table : supported_tables()) {
    if (!isa.empty() && isa != table->isa) continue;
    const double top = ceiling(*table);
    std::printf("%s: ceiling %.1f GF/s in f32 (multiply-adds on registers)\n", table->isa, top);
    if (only.empty() || only == "gemm")
      for (const Product& p : kProducts) measure_product(*table, p, top);
    if (only != "gemm") measure_tiles(*table, only);
    if (only.empty()) measure_rules(*table);
    if (only.empty()) measure_rest(*table);
  }
  return 0;
}
