// What this processor (and the operating system, which must save the registers) can run.
#pragma once

#include <cstddef>

namespace lamina {

struct CpuFeatures {
  bool x86_64_v2 = false;  // SSE 4.2 and POPCNT
  bool avx2 = false;       // AVX2 and FMA
  bool avx512 = false;     // AVX-512 F, BW, DQ, VL
  // Bytes of caches; 0 where nobody says (none is asked about on ARM): the largest one, and the largest that answers within some fifty
  // cycles, which on AMD's processors is the same, and on Intel's, whose L3 is far, L2.
  ptrdiff_t last_cache = 0, near_cache = 0;
};

// Asked once, at the first call.
const CpuFeatures& cpu_features();

}  // namespace lamina
