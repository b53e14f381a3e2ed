// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace microvm {

// A failure in our own words, with what the user can do about it where that is known.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::string remedy = {})
      : std::runtime_error(message), remedy_(std::move(remedy)) {}

  // Lines of advice without a trailing newline; empty if there is none.
  [[nodiscard]] const std::string& remedy() const { return remedy_; }

 private:
  std::string remedy_;
};

// Throws std::system_error for the current errno, named after the call that failed.
[[noreturn]] void ThrowErrno(const char* call);
[[noreturn]] void ThrowErrno(int error, const char* call);

// Runs `body`; an exception that leaves it is nested in `context`, which says what was being done.
template <typename Body>
decltype(auto) WithContext(const Error& context, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::exception&) {
    std::throw_with_nested(context);
  }
}

// The innermost system_error's errno in a chain of nested exceptions; 0 if there is none.
int ErrnoOf(const std::exception& error);

// The chain, outermost first, one line each and indented by depth, then the remedies. Of too many
// open files that of the limit is the only one.
std::string FormatChain(const std::exception& error);

// "0x1000".
std::string Hex(std::uint64_t value);

}  // namespace microvm
