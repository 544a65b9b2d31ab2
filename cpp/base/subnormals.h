// What becomes of subnormal numbers, those below 1.2e-38 in float32: they are exact and slow (a training of twelve layers of 32 took
// three times as long on Emerald Rapids), or zero. Moments of a weight whose gradient has ended decay to them and stay there for ever.
#pragma once

#include <cstdint>

namespace lamina {

// A thread's state while this lives; then what it was before. Threads of the pool and their callers agree on it, so that no bit depends
// on who does what.
class Subnormals {
 public:
  enum class Are { exact, zero };

  explicit Subnormals(Are are) : before_(state()) {
    const Word wanted = are == Are::zero ? before_ | kZero : before_ & ~kZero;
    changed_ = wanted != before_;
    if (changed_) set_state(wanted);
  }
  ~Subnormals() {
    if (changed_) set_state(before_);
  }
  Subnormals(const Subnormals&) = delete;
  Subnormals& operator=(const Subnormals&) = delete;

 private:
#if defined(__x86_64__) || defined(_M_X64)
  using Word = unsigned;
  static constexpr Word kZero = 0x8040;  // of results, and of operands
  static Word state() { return __builtin_ia32_stmxcsr(); }
  static void set_state(Word word) { __builtin_ia32_ldmxcsr(word); }
#elif defined(__aarch64__)
  using Word = uint64_t;
  static constexpr Word kZero = Word{1} << 24;
  static Word state() {
    Word word;
    asm volatile("mrs %0, fpcr" : "=r"(word));
    return word;
  }
  static void set_state(Word word) { asm volatile("msr fpcr, %0" : : "r"(word) : "memory"); }
#else
  using Word = unsigned;
  static constexpr Word kZero = 0;
  static Word state() { return 0; }
  static void set_state(Word) {}
#endif

  Word before_;
  bool changed_;
};

}  // namespace lamina
