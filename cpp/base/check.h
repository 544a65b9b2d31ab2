// Errors that a user's mistake raises: where, expected, got, remedy. They reach Python as ValueError, TypeError and MemoryError.
#pragma once

#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace lamina {

struct ValueError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

struct TypeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class MemoryError : public std::bad_alloc {
 public:
  explicit MemoryError(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

// The parts, one after the other, as text.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class Error = ValueError, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(text(parts...));
}

// The parts are written where it fails: give it a shape and not its text, as a check is paid for each time that it holds.
template <class Error = ValueError, class... Parts>
void check(bool ok, const Parts&... parts) {
  if (!ok) fail<Error>(parts...);
}

}  // namespace lamina
