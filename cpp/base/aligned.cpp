#include "base/aligned.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lamina {

#if defined(__linux__)

void prefer_large_pages(void* memory, size_t bytes) {
  madvise(memory, bytes / kLargePage * kLargePage, MADV_HUGEPAGE);  // a wish: where it fails, all is as before
}

#else

void prefer_large_pages(void*, size_t) {}

#endif

}  // namespace lamina
