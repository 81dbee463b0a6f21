// Errors a caller can cause. The bindings turn them into Python's ValueError and TypeError, so a message is written for
// the person who made the call: `linear: x has 3 features but weight expects 4`.
#pragma once

#include <new>
#include <sstream>
#include <stdexcept>
#include <string>

namespace attendo {

struct ValueError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct TypeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Python's MemoryError.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

template <typename... Parts>
[[noreturn]] void value_error(const Parts&... parts) {
  throw ValueError(concat(parts...));
}

template <typename... Parts>
[[noreturn]] void type_error(const Parts&... parts) {
  throw TypeError(concat(parts...));
}

// body(), whose errors begin with `inner`: they are made to begin with `op`, the function that was called.
template <typename Body>
auto renaming_errors(const std::string& inner, const std::string& op, const Body& body) {
  auto renamed = [&](const std::string& text) {
    return text.compare(0, inner.size() + 1, inner + ":") == 0 ? op + text.substr(inner.size()) : text;
  };
  try {
    return body();
  } catch (const ValueError& error) {
    throw ValueError(renamed(error.what()));
  } catch (const TypeError& error) {
    throw TypeError(renamed(error.what()));
  }
}

}  // namespace attendo
