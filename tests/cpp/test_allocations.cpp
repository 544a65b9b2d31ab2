// A program that is bound allocates nothing while it runs; memory that cannot be had is an error with a name, and leaves the program
// usable.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#if defined(_WIN32)
#include <malloc.h>
#endif

#include "base/aligned.h"
#include "base/threads.h"
#include "check.h"
#include "graph/build.h"
#include "graph/gradient.h"
#include "runtime/program.h"

namespace {
std::atomic<long> allocations{0};

void* counted(size_t bytes, size_t alignment) {
  ++allocations;
  if (bytes == 0) bytes = 1;
#if defined(_WIN32)
  return _aligned_malloc(bytes, alignment);
#else
  void* memory = nullptr;
  return posix_memalign(&memory, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes) == 0 ? memory : nullptr;
#endif
}

void give_back(void* p) {
#if defined(_WIN32)
  _aligned_free(p);
#else
  std::free(p);
#endif
}

void* counted_or_throw(size_t bytes, size_t alignment) {
  void* memory = counted(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

// Not inline: the compiler would warn of memory from `new` that goes to `free`.
[[gnu::noinline]] void* operator new(size_t bytes) { return counted_or_throw(bytes, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new[](size_t bytes) { return counted_or_throw(bytes, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(size_t bytes, std::align_val_t a) { return counted_or_throw(bytes, static_cast<size_t>(a)); }
// These too (AlignedBuffer's, std::stable_sort's): those of a sanitizer would not be counted, and their memory not be for free().
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(size_t bytes, std::align_val_t a, const std::nothrow_t&) noexcept {
  return counted(bytes, static_cast<size_t>(a));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { give_back(p); }
[[gnu::noinline]] void operator delete[](void* p) noexcept { give_back(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { give_back(p); }
[[gnu::noinline]] void operator delete[](void* p, size_t) noexcept { give_back(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { give_back(p); }
[[gnu::noinline]] void operator delete(void* p, size_t, std::align_val_t) noexcept { give_back(p); }

namespace {

using check::section;
using namespace lamina;
using graph::make;
using graph::Tensor;
using graph::Tensors;

Tensor variable(const char* name, DType dtype, Sizes sizes, float value) {
  auto v = std::make_shared<graph::Variable>(name, dtype, std::move(sizes), true);
  if (dtype == DType::float32)
    for (size_t i = 0; i < v->bytes() / sizeof(float); ++i) reinterpret_cast<float*>(v->data())[i] = value * (float(i % 7) - 3);
  return make("variable", {}, {{"variable", v}});
}

struct Training {
  Tensor x = make("input", {}, {{"shape", Shape{Dim::of(kBatch), Dim(64)}}, {"dtype", DType::float32}, {"name", std::string("x")}});
  Tensor labels = make("input", {}, {{"shape", Shape{Dim::of(kBatch)}}, {"dtype", DType::int64}});
  std::unique_ptr<runtime::Program> program;

  // x -> 128 relu -> 10, cross entropy, Adam.
  Training() {
    const Tensors parameters = {variable("w1", DType::float32, {64, 128}, 0.05F), variable("b1", DType::float32, {128}, 0.1F),
                                variable("w2", DType::float32, {128, 10}, 0.05F), variable("b2", DType::float32, {10}, 0.1F)};
    const Tensor hidden =
        make("relu", {graph::add(graph::matmul(x, parameters[0]), parameters[1])}, {{"params", std::vector<double>()}});
    const Tensor logits = graph::add(graph::matmul(hidden, parameters[2]), parameters[3]);
    const Tensor column = graph::reshape(labels, {Dim::of(kBatch), Dim(1)});
    const Tensor hot = make("one_hot", {column}, {{"classes", int64_t{10}}, {"dtype", DType::float32}});
    const Tensor loss = graph::neg(graph::reduce("sum", graph::mul(hot, make("log_softmax", {logits})), {0, 1}, false));
    const Tensors gradients = graph::gradients(loss, parameters, nullptr);
    const Tensor rate = variable("lr", DType::float64, {}, 0), clock = variable("clock", DType::float64, {4}, 0);
    const std::vector<double> hyper = {0.9, 0.999, 1e-8, 0, 0, 0};
    const Tensor constants = make("rule_constants", {rate, clock}, {{"rule", std::string("adam")}, {"hyper", hyper}});
    Tensors effects;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Sizes sizes = Bindings().eval(parameters[i]->shape());
      const Tensor m = variable("m", DType::float32, sizes, 0), v = variable("v", DType::float32, sizes, 0);
      effects.push_back(make("rule_update", {parameters[i], gradients[i], constants, m, v}, {{"rule", std::string("adam")}}));
    }
    runtime::ProgramOptions options;
    options.training = true;
    program = std::make_unique<runtime::Program>(Tensors{x, labels}, Tensors{loss}, effects, options);
  }
};

void check_the_counter() {
  section("the counter counts");
  const long before = allocations;
  AlignedBuffer buffer;
  buffer.grow(100, [] { return "a buffer"; });
  buffer.grow(2 * kLargePage, [] { return "a large one"; });
  CHECK(allocations == before + 2, allocations - before << " allocations of two buffers");
}

bool is_parallel(const runtime::Program& program) {
  const std::vector<runtime::Stage>& stages = program.stages();
  return std::any_of(stages.begin(), stages.end(), [](const runtime::Stage& stage) { return stage.parallel; });
}

void check_runs_allocate_nothing() {
  section("runs allocate nothing");
  Training training;
  for (int64_t batch : {1, 32, 500}) {
    std::vector<float> x(static_cast<size_t>(batch) * 64, 0.5F);
    std::vector<int64_t> labels(static_cast<size_t>(batch), 3);
    const void* inputs[] = {x.data(), labels.data()};
    float loss = 0;
    void* outputs[] = {&loss};
    const long before_binding = allocations;
    training.program->bind({{batch, 64}, {batch}});
    CHECK(allocations > before_binding, "binding allocates");
    if (batch == 500 && num_threads() > 1) CHECK(is_parallel(*training.program), batch << " rows are worth several threads");
    training.program->run(inputs, outputs);
    const long before = allocations;
    for (int again = 0; again < 10; ++again) {
      training.program->bind({{batch, 64}, {batch}});
      training.program->run(inputs, outputs);
    }
    // What remains is the list of sizes that this loop itself gives to bind: three vectors and their list.
    const long own = [&] {
      const long start = allocations;
      const std::vector<Sizes> sizes{{batch, 64}, {batch}};
      return allocations - start;
    }();
    CHECK(allocations - before == 11 * own,
          batch << " rows: " << allocations - before << " allocations, " << 11 * own << " are ours");
    CHECK(loss > 0, "the loss is " << loss);
  }
}

void check_memory_that_cannot_be_had() {
  section("memory that cannot be had");
  const Tensor x = make("input", {}, {{"shape", Shape{Dim::of(kBatch)}}, {"dtype", DType::float32}});
  const Tensor wide =
      make("exp", {graph::broadcast_to(graph::reshape(x, {Dim::of(kBatch), Dim(1)}), {Dim::of(kBatch), Dim(1 << 20)})});
  const Tensor flipped = make("contiguous", {graph::swap_last(wide)});
  const Tensor sum = graph::reduce("sum", make("contiguous", {graph::swap_last(flipped)}), {0, 1}, false);
  runtime::Program program({x}, {sum}, {}, runtime::ProgramOptions());
  for (int64_t rows : {int64_t{1} << 24, int64_t{1} << 40, int64_t{1} << 43}) {
    bool thrown = false;
    try {
      program.bind({{rows}});
    } catch (const MemoryError& error) {
      thrown = std::string(error.what()).find("1048576)") != std::string::npos;
      CHECK(thrown, error.what());
    } catch (const ValueError& error) {
      thrown = std::string(error.what()).find("memory can address") != std::string::npos;
    }
    CHECK(thrown, rows << " rows are refused");
  }
  const float one[] = {0.0F};
  const void* inputs[] = {one};
  float result = 0;
  void* outputs[] = {&result};
  program.bind({{1}});
  program.run(inputs, outputs);
  CHECK(result == float(1 << 20), "afterwards the sum is " << result);
}

}  // namespace

int main() {
  check_the_counter();
  check_memory_that_cannot_be_had();
  for (int threads : {1, 2}) {
    lamina::set_num_threads(threads);
    check_runs_allocate_nothing();
  }
  return check::finish();
}
