// Memory on 64-byte boundaries (a cache line, the widest vector), counted in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

namespace lamina {

constexpr size_t kAlignment = 64;

constexpr size_t align_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes) { reset(bytes); }

  // Room for `bytes`, zeroed; what was there is gone. Throws std::bad_alloc.
  void reset(size_t bytes) {
    data_.reset();
    size_ = 0;
    if (bytes == 0) return;
    if (bytes > static_cast<size_t>(PTRDIFF_MAX) - kAlignment) throw std::bad_alloc();
    // Not aligned_alloc: Windows has none.
    void* memory = ::operator new(align_up(bytes), std::align_val_t{kAlignment}, std::nothrow);
    if (memory == nullptr) throw std::bad_alloc();
    std::memset(memory, 0, align_up(bytes));
    data_.reset(static_cast<char*>(memory));
    size_ = bytes;
  }

  // Room for at least `bytes`; never shrinks.
  void grow(size_t bytes) {
    if (bytes > size_) reset(bytes);
  }

  char* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(char* p) const { ::operator delete(p, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<char, Free> data_;
  size_t size_ = 0;
};

}  // namespace lamina
