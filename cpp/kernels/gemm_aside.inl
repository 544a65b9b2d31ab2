// What a register tile does beside its multiply-adds: every few rows of B it moves a strip's row of other memory. The adders wait for
// nothing then, and panels of B that come from far (L3, another page a row) cost next to nothing.
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

constexpr ptrdiff_t kStripBytes = 256;  // of columns: four lines, which come from memory together
template <class T>
constexpr ptrdiff_t kStripCols = kStripBytes / ptrdiff_t(sizeof(T));

// Rows of B between two steps aside: with the wide tiles some 100 cycles, 10 GB/s at most; with AVX2's twice as long (16 rows: products
// 1 % slower; 64: products as fast, a step of 4,096 samples 3 % slower).
constexpr ptrdiff_t kAsideEvery = kVectorBytes == 64 ? 4 : kVectorBytes == 32 ? 32 : 16;
constexpr ptrdiff_t kCopiedAhead = 8;  // rows that are asked for before they are copied: more than the time that memory takes

LAMINA_INLINE void ask_for_strip(const void* row) {
#pragma GCC unroll 4
  for (int i = 0; i < kStripBytes / kLineBytes; ++i) __builtin_prefetch(static_cast<const char*>(row) + i * kLineBytes, 0, 2);
}

// Memory that is asked for, row by row: `strips` strips of each.
struct Ask {
  const char* at;
  ptrdiff_t row, rows, strips, done;

  LAMINA_INLINE void step() {
    ask_for_strip(at);
    at += kStripBytes;
    if (++done < strips) return;
    at += row - strips * kStripBytes;
    done = 0;
    --rows;
  }
};

// In memory, not in registers: those are full.
template <class T>
struct Aside {
  // Strips of B, dense, that are copied to panels of k rows: `copies` rows of this one are left, and `strips` more.
  const T* from = nullptr;
  ptrdiff_t from_row = 0;
  T* to = nullptr;
  ptrdiff_t copies = 0, strips = 0;
  ptrdiff_t copied_every = 1, resting = 0;  // a row every so many steps; those until the next one

  int left = 0;                      // of what finished() wants, one row of a strip every `every` steps
  ptrdiff_t every = 1, waiting = 0;  // steps until the next one
  bool far_c = false;                // whether the next tile of C is asked for
  Ask next{};                        // what the next strips are packed from
  Ask far[kMaxFar];

  bool busy() const { return copies > 0 || left > 0 || next.rows > 0 || far_c; }

  // A strip is copied where it is one panel, of kVectors; 0: nothing is.
  template <int kVectors>
  LAMINA_INLINE void step(ptrdiff_t k) {
    if (kVectors > 0 && copies > 0 && --resting < 0) {
      resting = copied_every - 1;
      ask_for_strip(from + kCopiedAhead * from_row);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) store(to + v * kLanes<T>, load(from + v * kLanes<T>));
      from += from_row;
      to += kVectors * kLanes<T>;
      if (--copies == 0 && strips > 0) {
        --strips;
        copies = k;
        from += kStripCols<T> - k * from_row;
      }
    }
    if (left > 0) {
      if (--waiting >= 0) return;
      waiting = every - 1;
      far[left - 1].step();
      left -= far[left - 1].rows == 0;
    } else if (next.rows > 0) {
      next.step();
    }
  }
};

LAMINA_KERNELS_END
