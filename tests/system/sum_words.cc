// SPDX-License-Identifier: Apache-2.0
//
// sum_words: prints a checksum of standard input, which changes with any of its words of 8 bytes;
// on an emulated board an MD5 sum of a guest's memory takes seconds.
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>

int main() {
  constexpr std::uint64_t kOdd = 0x9e37'79b9'7f4a'7c15;  // a multiplication by it loses nothing
  static std::array<char, std::size_t{1} << 20> buffer;
  std::uint64_t sum = 0;
  ssize_t count = 0;
  while ((count = read(STDIN_FILENO, buffer.data(), buffer.size())) > 0) {
    for (ssize_t at = 0; at + 8 <= count; at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, &buffer[static_cast<std::size_t>(at)], sizeof(word));
      sum = (sum ^ word) * kOdd;
    }
  }
  std::printf("%016" PRIx64 "\n", sum);
  return count == 0 ? 0 : 1;
}
