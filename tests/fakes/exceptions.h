// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "vmm/host/error.h"

namespace microvm::fakes {

// What a program would print for the exception that leaves `body`; "" if none does.
template <typename Body>
std::string ChainOf(Body&& body) {
  try {
    static_cast<void>(body());
  } catch (const std::exception& error) {
    return FormatChain(error);
  }
  return "";
}

// The lines, each ended by a newline.
inline std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

inline bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace microvm::fakes
