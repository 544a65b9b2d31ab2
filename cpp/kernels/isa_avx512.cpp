// AVX-512 (Skylake-X, Zen 4 on). Flags: -fno-exceptions -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
#if defined(__x86_64__)
#define LAMINA_ISA avx512
#define LAMINA_VECTOR_BYTES 64
#include "kernels/table.inl"
#endif
