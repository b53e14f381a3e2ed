// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

// "can@ff070000": the only way unit addresses are made.
std::string UnitName(std::string_view name, std::uint64_t address);

// Writes a flattened device tree front to back; a node is open while its lambda runs, so the
// source has the tree's shape. The root is the node named "". Throws Error.
class FdtWriter {
 public:
  FdtWriter();

  template <typename Body>
  void Node(const std::string& name, Body&& body) {
    BeginNode(name);
    std::forward<Body>(body)();
    EndNode();
  }

  void Flag(const std::string& name) { Bytes(name, {}); }
  void String(const std::string& name, std::string_view value) { Strings(name, {value}); }
  void Strings(const std::string& name, std::initializer_list<std::string_view> values) {
    Strings(name, std::span(values.begin(), values.size()));
  }
  void Strings(const std::string& name, std::span<const std::string_view> values);
  void Cells(const std::string& name, std::span<const std::uint32_t> cells);
  void Cells(const std::string& name, std::initializer_list<std::uint32_t> cells) {
    Cells(name, std::span(cells.begin(), cells.size()));
  }
  void Cells64(const std::string& name, std::span<const std::uint64_t> values);
  void Cells64(const std::string& name, std::initializer_list<std::uint64_t> values) {
    Cells64(name, std::span(values.begin(), values.size()));
  }
  void Bytes(const std::string& name, std::span<const std::byte> value);

  // The finished blob, packed. Nothing may be written afterwards.
  std::vector<std::byte> Finish();

 private:
  void BeginNode(const std::string& name);
  void EndNode();
  // Runs a step of libfdt's sequential writer, again with a larger buffer when it is full.
  template <typename Step>
  void Write(const std::string& name, Step&& step);

  std::vector<std::byte> buffer_;
};

}  // namespace microvm
