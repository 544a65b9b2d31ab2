// out[i] = uniform in [0, 1): element first + i of the stream (seed, stream). Philox4x32-10 (Salmon et al. 2011), the counter is
// (block, stream), the key the seed. A block gives 4 words: 4 floats of 24 bits, or 2 doubles of 53 bits (low word first).
// tests/cpp/philox.h is the same stream, one word at a time.
#pragma once

#include "kernels/vec.h"

LAMINA_KERNELS_BEGIN

constexpr int kBlocks = kVectorBytes / 8;  // Philox blocks at a time, one in each 64-bit lane

LAMINA_INLINE U64 every64(uint64_t x) { return x - U64{}; }

constexpr int kSets = 2;  // sets of kBlocks blocks at a time: one is a chain of 10 multiplications, each waiting for the last

// Words in the low halves of the lanes; what the high halves hold is never read: multiply_low ignores it.
struct Blocks {
  U64 w[4];
};

// The keys of the ten rounds, spread over the lanes once a call.
struct Keys {
  U64 k[10][2];
};

LAMINA_INLINE void spread(Keys& keys, uint64_t seed) {
  uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
  for (auto& k : keys.k) {
    k[0] = every64(key0);
    k[1] = every64(key1);
    key0 += 0x9E3779B9u;  // golden ratio
    key1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
}

LAMINA_INLINE void philox(Blocks (&b)[kSets], uint64_t first_block, const Keys& keys, uint64_t stream) {
  U64 index;
  for (int i = 0; i < kBlocks; ++i) index[i] = uint64_t(i);
  for (int s = 0; s < kSets; ++s) {
    const U64 block = index + (first_block + uint64_t(s * kBlocks));
    b[s] = {{block, block >> 32, every64(stream), every64(stream >> 32)}};
  }
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round)
#pragma GCC unroll 2
    for (Blocks& x : b) {
      const U64 p0 = multiply_low(x.w[0], every64(0xD2511F53u)), p1 = multiply_low(x.w[2], every64(0xCD9E8D57u));
      x = {{(p1 >> 32) ^ x.w[1] ^ keys.k[round][0], p1, (p0 >> 32) ^ x.w[3] ^ keys.k[round][1], p0}};
    }
}

// Words 0 1 and words 2 3 of each block as one 64-bit number.
LAMINA_INLINE U64 low_pair(const Blocks& b) { return (b.w[0] & 0xFFFFFFFFu) | (b.w[1] << 32); }
LAMINA_INLINE U64 high_pair(const Blocks& b) { return (b.w[2] & 0xFFFFFFFFu) | (b.w[3] << 32); }

// lo[0] hi[0] lo[1] hi[1] ...: the words in the order of the stream
LAMINA_INLINE void interleave(U64 lo, U64 hi, U64 out[2]) {
#if LAMINA_VECTOR_BYTES == 64
  out[0] = shuffled<0, 8, 1, 9, 2, 10, 3, 11>(lo, hi);
  out[1] = shuffled<4, 12, 5, 13, 6, 14, 7, 15>(lo, hi);
#elif LAMINA_VECTOR_BYTES == 32
  out[0] = shuffled<0, 4, 1, 5>(lo, hi);
  out[1] = shuffled<2, 6, 3, 7>(lo, hi);
#else
  out[0] = shuffled<0, 2>(lo, hi);
  out[1] = shuffled<1, 3>(lo, hi);
#endif
}

LAMINA_INLINE Vec<float> to_unit(U64 words, float) {
  typedef int32_t Signed __attribute__((vector_size(LAMINA_VECTOR_BYTES)));
  return __builtin_convertvector(Signed(U32(words) >> 8), F32) * 0x1p-24f;
}

// The upper 53 bits, exactly: their high and low parts become doubles by way of the exponents 2^84 and 2^52.
LAMINA_INLINE Vec<double> to_unit(U64 words, double) {
  const U64 v = words >> 11;
  const F64 high = F64((v >> 32) | every64(0x4530000000000000)) - (0x1p84 + 0x1p52);
  const F64 low = F64((v & 0xFFFFFFFFu) | every64(0x4330000000000000));
  return (high + low) * 0x1p-53;
}

template <class T>
void uniform(void* out, ptrdiff_t count, uint64_t seed, uint64_t stream, uint64_t first) {
  constexpr int kVectors = 2 * kSets, kGroup = kVectors * kLanes<T>;
  constexpr int kPerBlock = 16 / int(sizeof(T));
  Keys keys;
  spread(keys, seed);
  T* to = static_cast<T*>(out);
  uint64_t block = first / kPerBlock;
  ptrdiff_t skip = ptrdiff_t(first % kPerBlock);  // elements of the first block that lie before `first`
  while (count > 0) {
    Blocks b[kSets];
    philox(b, block, keys, stream);
    Vec<T> values[kVectors];
#pragma GCC unroll 2
    for (int s = 0; s < kSets; ++s) {
      U64 words[2];
      interleave(low_pair(b[s]), high_pair(b[s]), words);
      values[2 * s] = to_unit(words[0], T());
      values[2 * s + 1] = to_unit(words[1], T());
    }
    const ptrdiff_t n = kGroup - skip < count ? kGroup - skip : count;
    if (n == kGroup) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) store(to + v * kLanes<T>, values[v]);
    } else {
      T buffer[kGroup];
      for (int v = 0; v < kVectors; ++v) store(buffer + v * kLanes<T>, values[v]);
      for (ptrdiff_t i = 0; i < n; ++i) to[i] = buffer[skip + i];
    }
    to += n;
    count -= n;
    block += kSets * kBlocks;
    skip = 0;
  }
}

LAMINA_KERNELS_END
