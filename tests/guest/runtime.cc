// SPDX-License-Identifier: Apache-2.0
// What the compiler and libfdt expect a C library to provide. Byte by byte: nothing here is on a
// measured path, and the same code must work before the MMU is on, when unaligned access faults.
#include <cstddef>
#include <cstdint>

#include "cpu.h"

extern "C" {

std::uintptr_t __stack_chk_guard = 0x6d6963726f766d00;

[[noreturn]] void __stack_chk_fail() { guest::Halt(); }
[[noreturn]] void __cxa_pure_virtual() { guest::Halt(); }

void* memset(void* destination, int value, std::size_t size) {
  auto* to = static_cast<unsigned char*>(destination);
  for (std::size_t i = 0; i < size; ++i) to[i] = static_cast<unsigned char>(value);
  return destination;
}

void* memcpy(void* destination, const void* source, std::size_t size) {
  auto* to = static_cast<unsigned char*>(destination);
  const auto* from = static_cast<const unsigned char*>(source);
  for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
  return destination;
}

void* memmove(void* destination, const void* source, std::size_t size) {
  auto* to = static_cast<unsigned char*>(destination);
  const auto* from = static_cast<const unsigned char*>(source);
  if (to < from) return memcpy(destination, source, size);
  for (std::size_t i = size; i > 0; --i) to[i - 1] = from[i - 1];
  return destination;
}

int memcmp(const void* left, const void* right, std::size_t size) {
  const auto* a = static_cast<const unsigned char*>(left);
  const auto* b = static_cast<const unsigned char*>(right);
  for (std::size_t i = 0; i < size; ++i) {
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

void* memchr(const void* memory, int value, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(memory);
  for (std::size_t i = 0; i < size; ++i) {
    if (bytes[i] == static_cast<unsigned char>(value)) return const_cast<unsigned char*>(bytes + i);
  }
  return nullptr;
}

std::size_t strnlen(const char* text, std::size_t limit) {
  std::size_t length = 0;
  while (length < limit && text[length] != '\0') ++length;
  return length;
}

std::size_t strlen(const char* text) { return strnlen(text, SIZE_MAX); }

char* strrchr(const char* text, int value) {
  for (std::size_t i = strlen(text) + 1; i > 0; --i) {
    if (text[i - 1] == static_cast<char>(value)) return const_cast<char*>(text + i - 1);
  }
  return nullptr;
}

}  // extern "C"
