// Any 64-bit ARM processor. Flags: -fno-exceptions -fno-schedule-insns
// GCC would move the loads of A to the front of the inner loop of a product: more of them than registers are left.
#if defined(__aarch64__)
#define LAMINA_ISA neon
#define LAMINA_VECTOR_BYTES 16
#include "kernels/table.inl"
#endif
