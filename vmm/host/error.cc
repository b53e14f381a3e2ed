// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/error.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <vector>

namespace microvm {
namespace {

// Calls `visit` with each exception of the chain, outermost first.
template <typename Visit>
void ForEachInChain(const std::exception& error, Visit&& visit) {
  visit(error);
  try {
    std::rethrow_if_nested(error);
  } catch (const std::exception& nested) {
    ForEachInChain(nested, visit);
  }
}

void AppendIndented(std::string& text, std::string_view lines, const std::string& indent) {
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    text += indent;
    text += lines.substr(0, end);
    text += '\n';
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
  }
}

// The remedy of a limit, which is none of what the contexts of the call advise; null for any other
// error.
const char* LimitRemedy(int error) {
  if (error == EMFILE) return "allow this process more open files: ulimit -n 4096";
  if (error == ENFILE) return "allow the host more open files: sysctl -w fs.file-max=N";
  return nullptr;
}

}  // namespace

void ThrowErrno(const char* call) { ThrowErrno(errno, call); }

void ThrowErrno(int error, const char* call) {
  throw std::system_error(error, std::generic_category(), call);
}

int ErrnoOf(const std::exception& error) {
  int result = 0;
  ForEachInChain(error, [&](const std::exception& link) {
    if (const auto* system = dynamic_cast<const std::system_error*>(&link)) {
      result = system->code().value();
    }
  });
  return result;
}

std::string FormatChain(const std::exception& error) {
  std::string text;
  std::string indent;
  std::vector<std::string> remedies;
  ForEachInChain(error, [&](const std::exception& link) {
    AppendIndented(text, link.what(), indent);
    indent += "  ";
    if (const auto* ours = dynamic_cast<const Error*>(&link); ours && !ours->remedy().empty()) {
      remedies.push_back(ours->remedy());
    }
  });
  if (const char* remedy = LimitRemedy(ErrnoOf(error))) remedies = {remedy};
  for (const std::string& remedy : remedies) {
    text += "to fix it:\n";
    AppendIndented(text, remedy, "  ");
  }
  return text;
}

std::string Hex(std::uint64_t value) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  return "0x" + std::string(digits.data(), end);
}

}  // namespace microvm
