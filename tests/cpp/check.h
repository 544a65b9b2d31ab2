// A tiny test frame: sections, checks that go on after a failure, an exit status.
//
//   int main() {
//     section("addition");
//     CHECK(1 + 1 == 2, "in " << place);
//     return finish();
//   }
#pragma once

#include <iostream>
#include <sstream>
#include <string>

namespace check {

struct State {
  std::string section;
  long checks = 0;
  long failures = 0;
};

inline State& state() {
  static State s;
  return s;
}

inline void failed(const char* file, int line, const char* condition, const std::string& message) {
  constexpr long kShown = 30;  // a broken kernel fails everywhere: the first lines tell
  if (++state().failures <= kShown)
    std::cout << file << ":" << line << ": [" << state().section << "] " << condition << " is false: " << message << std::endl;
}

inline void section(const std::string& name) { state().section = name; }

inline int finish() {
  std::cout << state().checks << " checks, " << state().failures << " failed" << std::endl;
  return state().failures == 0 ? 0 : 1;
}

}  // namespace check

#define CHECK(condition, message)                                      \
  do {                                                                 \
    ++check::state().checks;                                           \
    if (!(condition)) {                                                \
      std::ostringstream check_text;                                   \
      check_text << message;                                           \
      check::failed(__FILE__, __LINE__, #condition, check_text.str()); \
    }                                                                  \
  } while (false)
