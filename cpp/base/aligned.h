// Memory on 64-byte boundaries (a cache line, the widest vector), counted in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "base/check.h"

namespace lamina {

constexpr size_t kAlignment = 64;
constexpr size_t kLargePage = size_t{2} << 20;

constexpr size_t align_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// What a MemoryError says.
inline std::string no_room(const std::string& purpose, size_t bytes) {
  return text("[", purpose, "] expected ", bytes, " bytes (", static_cast<double>(bytes) / 1e9,
              " GB) of memory, got none; use smaller batches or tensors");
}

// Asks the system to back memory by large pages. Weights are read, and factors packed, in short pieces of rows that lie far apart: with
// small pages each piece is on a page of its own.
void prefer_large_pages(void* memory, size_t bytes);

class AlignedBuffer {
 public:
  // Room for `bytes`, zeroed and never null; what was there is gone. Where there is none: MemoryError, which names what `purpose()` says.
  template <class Purpose>
  void reset(size_t bytes, const Purpose& purpose) {
    data_.reset();
    size_ = 0;
    // Not aligned_alloc: Windows has none.
    const bool possible = bytes <= static_cast<size_t>(PTRDIFF_MAX) - kLargePage, large = bytes >= kLargePage;
    void* memory = possible ? ::operator new(align_up(bytes), alignment(large), std::nothrow) : nullptr;
    if (memory == nullptr) throw MemoryError(no_room(purpose(), bytes));
    data_ = {static_cast<char*>(memory), Free{large}};
    size_ = bytes;
    if (large) prefer_large_pages(memory, bytes);
    std::memset(memory, 0, align_up(bytes));
  }

  // Room for at least `bytes`; never shrinks.
  template <class Purpose>
  void grow(size_t bytes, const Purpose& purpose) {
    if (bytes > size_) reset(bytes, purpose);
  }

  char* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  static std::align_val_t alignment(bool large) { return std::align_val_t{large ? kLargePage : kAlignment}; }

  struct Free {
    bool large;
    void operator()(char* p) const { ::operator delete(p, alignment(large)); }
  };
  std::unique_ptr<char, Free> data_{nullptr, Free{false}};
  size_t size_ = 0;
};

}  // namespace lamina
