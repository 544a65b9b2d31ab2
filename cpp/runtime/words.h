// Elements as words of their size, where their type does not matter. Loads and stores all the same: through a pointer to integers the
// compiler might take floats for untouched.
#pragma once

#include <cstring>

namespace lamina::runtime {

template <class Word>
inline Word load_word(const char* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

template <class Word>
inline void store_word(char* to, Word word) {
  std::memcpy(to, &word, sizeof word);
}

}  // namespace lamina::runtime
