#include "base/aligned.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lamina {

#if defined(__linux__)

void prefer_large_pages(void* memory, size_t bytes) {
  constexpr size_t kLarge = size_t{4} << 20;  // two large pages: of less, most would be the ends
  constexpr uintptr_t kPage = 4096;
  if (bytes < kLarge) return;
  const auto first = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) / kPage * kPage;
  const auto last = (reinterpret_cast<uintptr_t>(memory) + bytes) / kPage * kPage;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // a wish: where it fails, all is as before
}

#else

void prefer_large_pages(void*, size_t) {}

#endif

}  // namespace lamina
