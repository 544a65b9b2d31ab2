// Copies of many lines of one length, of which the short ones are no call each.
#pragma once

#include <cstddef>
#include <cstring>

namespace lamina::runtime {

constexpr size_t kShortLine = 256;  // bytes

// As whole pieces, the last of which ends with the line.
template <size_t kPiece>
inline void copy_pieces(char* to, const char* from, size_t bytes) {
  for (size_t at = 0; at + kPiece < bytes; at += kPiece) std::memcpy(to + at, from + at, kPiece);
  std::memcpy(to + bytes - kPiece, from + bytes - kPiece, kPiece);
}

// each(copy), where copy(to, from) moves a line of `bytes`.
template <class Each>
void with_lines(size_t bytes, Each each) {
  if (bytes == 4) return each([](char* to, const char* from) { std::memcpy(to, from, 4); });
  if (bytes == 8) return each([](char* to, const char* from) { std::memcpy(to, from, 8); });
  if (bytes == 16) return each([](char* to, const char* from) { std::memcpy(to, from, 16); });
  if (bytes == 32) return each([](char* to, const char* from) { std::memcpy(to, from, 32); });
  if (bytes > 16 && bytes <= kShortLine) return each([bytes](char* to, const char* from) { copy_pieces<16>(to, from, bytes); });
  if (bytes > 8 && bytes < 16) return each([bytes](char* to, const char* from) { copy_pieces<8>(to, from, bytes); });
  if (bytes > 4 && bytes < 8) return each([bytes](char* to, const char* from) { copy_pieces<4>(to, from, bytes); });
  each([bytes](char* to, const char* from) { std::memcpy(to, from, bytes); });
}

}  // namespace lamina::runtime
