#include "base/cpu.h"

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lamina {

namespace {

#if defined(__x86_64__)
// Asked of the processor itself: the compiler's __builtin_cpu_supports needs a run-time library that Clang on Windows leaves out.
struct Answer {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Answer cpuid(unsigned leaf, unsigned part = 0) {
  Answer r;
  __get_cpuid_count(leaf, part, &r.a, &r.b, &r.c, &r.d);  // stays zero where there is no such leaf
  return r;
}

struct Leaf {
  unsigned number, near_levels;  // of the leaf, and of the caches that it describes those that are near
};

// Intel and AMD describe caches in the same format, one a part, but each in a leaf of its own; the other maker's leaf is empty.
void find_caches(CpuFeatures& cpu) {
  for (const Leaf leaf : {Leaf{0x4, 2}, Leaf{0x8000001D, 3}})
    for (unsigned part = 0; part < 16; ++part) {
      const Answer cache = cpuid(leaf.number, part);
      if ((cache.a & 0x1F) == 0) break;  // its type: none
      const ptrdiff_t ways = (cache.b >> 22) + 1, lines = (cache.b >> 12 & 0x3FF) + 1, line = (cache.b & 0xFFF) + 1;
      const ptrdiff_t bytes = ways * lines * line * (ptrdiff_t{cache.c} + 1);
      cpu.last_cache = std::max(cpu.last_cache, bytes);
      if ((cache.a >> 5 & 7) <= leaf.near_levels) cpu.near_cache = std::max(cpu.near_cache, bytes);
    }
}

// Which registers the system saves when it changes threads: bits 1 and 2 the 32-byte ones, 5 to 7 masks and the 64-byte ones.
uint64_t saved_registers() {
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | uint64_t{high} << 32;
}
#endif

CpuFeatures detect() {
  CpuFeatures cpu;
#if defined(__x86_64__)
  constexpr unsigned kSse42 = 1u << 20, kPopcnt = 1u << 23, kFma = 1u << 12, kXsave = 1u << 27, kAvx = 1u << 28;  // leaf 1, c
  constexpr unsigned kAvx2 = 1u << 5, kF = 1u << 16, kDq = 1u << 17, kBw = 1u << 30, kVl = 1u << 31;              // leaf 7, b
  constexpr uint64_t kYmm = 0x06, kZmm = 0xE6;
  const unsigned basic = cpuid(1).c, extended = cpuid(7).b;
  const auto all = [](auto have, auto wanted) { return (have & wanted) == wanted; };
  const uint64_t saved = all(basic, kXsave) ? saved_registers() : 0;
  cpu.x86_64_v2 = all(basic, kSse42 | kPopcnt);
  cpu.avx2 = cpu.x86_64_v2 && all(saved, kYmm) && all(basic, kAvx | kFma) && all(extended, kAvx2);
  cpu.avx512 = cpu.avx2 && all(saved, kZmm) && all(extended, kF | kDq | kBw | kVl);
  find_caches(cpu);
#endif
  return cpu;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace lamina
