// AVX2 and FMA (Haswell, Zen and later). Flags: -fno-exceptions -mavx2 -mfma
#if defined(__x86_64__)
#define LAMINA_ISA avx2
#define LAMINA_VECTOR_BYTES 32
#include "kernels/table.inl"
#endif
