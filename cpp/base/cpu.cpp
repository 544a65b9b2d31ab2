#include "base/cpu.h"

namespace lamina {

namespace {

CpuFeatures detect() {
  CpuFeatures cpu;
#if defined(__x86_64__)
  // These builtins also ask XGETBV whether the system saves the wide registers.
  __builtin_cpu_init();
  cpu.x86_64_v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  cpu.avx2 = cpu.x86_64_v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  cpu.avx512 = cpu.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
  cpu.neon = true;  // part of the architecture
#endif
  return cpu;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace lamina
