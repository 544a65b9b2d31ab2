// Philox4x32-10: a counter-based generator (Salmon et al. 2011). Any word of any stream, at once and in any order.
// The counter is (block, stream), the key the seed; the kernels' uniform() is the same stream, many words at a time.
#pragma once

#include <array>
#include <cstdint>

namespace lamina {

struct Philox {
  uint64_t seed;
  uint64_t stream;

  // The four words of one block.
  constexpr std::array<uint32_t, 4> block(uint64_t index) const {
    std::array<uint32_t, 4> c = {uint32_t(index), uint32_t(index >> 32), uint32_t(stream), uint32_t(stream >> 32)};
    uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t(0xD2511F53u) * c[0], p1 = uint64_t(0xCD9E8D57u) * c[2];
      c = {uint32_t(p1 >> 32) ^ c[1] ^ key0, uint32_t(p1), uint32_t(p0 >> 32) ^ c[3] ^ key1, uint32_t(p0)};
      key0 += 0x9E3779B9u;  // golden ratio
      key1 += 0xBB67AE85u;  // sqrt(3) - 1
    }
    return c;
  }

  constexpr uint32_t word(uint64_t index) const { return block(index / 4)[index % 4]; }

  // Element `index` of uniform() in f32: 24 bits, in [0, 1).
  constexpr float uniform_f32(uint64_t index) const { return float(word(index) >> 8) * 0x1p-24f; }

  // Element `index` of uniform() in f64: 53 bits of two words, low word first.
  constexpr double uniform_f64(uint64_t index) const {
    const std::array<uint32_t, 4> words = block(index / 2);
    const uint64_t bits = words[2 * (index % 2)] | uint64_t(words[2 * (index % 2) + 1]) << 32;
    return double(bits >> 11) * 0x1p-53;
  }
};

}  // namespace lamina
