// Any 64-bit ARM processor. Flags: -fno-exceptions
#if defined(__aarch64__)
#define LAMINA_ISA neon
#define LAMINA_VECTOR_BYTES 16
#include "kernels/table.inl"
#endif
