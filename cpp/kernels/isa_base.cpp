// Any x86-64-v2 processor. Flags: -O2 -fno-exceptions -msse4.2 -mpopcnt
// -O3 makes its code a third larger, and no faster.
#if defined(__x86_64__)
#define LAMINA_ISA base
#define LAMINA_VECTOR_BYTES 16
#include "kernels/table.inl"
#endif
