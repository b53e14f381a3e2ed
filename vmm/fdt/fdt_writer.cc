// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/fdt_writer.h"

#include <libfdt.h>

#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::size_t kInitialBytes = 4096;
// No guest or host tree comes near this; it bounds what a broken one can make us allocate.
constexpr std::size_t kMaximumBytes = std::size_t{16} << 20;

void AppendCell(std::vector<std::byte>& bytes, std::uint32_t cell) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<std::byte>(cell >> shift));
}

}  // namespace

std::string UnitName(std::string_view name, std::uint64_t address) {
  return std::string(name) + "@" + Hex(address).substr(2);
}

FdtWriter::FdtWriter() : buffer_(kInitialBytes) {
  Write("header", [&] { return fdt_create(buffer_.data(), static_cast<int>(buffer_.size())); });
  Write("header", [&] { return fdt_finish_reservemap(buffer_.data()); });
}

template <typename Step>
void FdtWriter::Write(const std::string& name, Step&& step) {
  int error = step();
  while (error == -FDT_ERR_NOSPACE && buffer_.size() < kMaximumBytes) {
    std::vector<std::byte> larger(buffer_.size() * 2);
    error = fdt_resize(buffer_.data(), larger.data(), static_cast<int>(larger.size()));
    if (error != 0) break;
    buffer_ = std::move(larger);
    error = step();
  }
  if (error != 0) throw Error("device tree: " + name + ": " + fdt_strerror(error));
}

void FdtWriter::BeginNode(const std::string& name) {
  Write(name, [&] { return fdt_begin_node(buffer_.data(), name.c_str()); });
}

void FdtWriter::EndNode() {
  Write("end of node", [&] { return fdt_end_node(buffer_.data()); });
}

void FdtWriter::Strings(const std::string& name, std::span<const std::string_view> values) {
  std::vector<std::byte> bytes;
  for (const std::string_view value : values) {
    for (const char c : value) bytes.push_back(static_cast<std::byte>(c));
    bytes.push_back(std::byte{0});
  }
  Bytes(name, bytes);
}

void FdtWriter::Cells(const std::string& name, std::span<const std::uint32_t> cells) {
  std::vector<std::byte> bytes;
  for (const std::uint32_t cell : cells) AppendCell(bytes, cell);
  Bytes(name, bytes);
}

void FdtWriter::Cells64(const std::string& name, std::span<const std::uint64_t> values) {
  std::vector<std::byte> bytes;
  for (const std::uint64_t value : values) {
    AppendCell(bytes, static_cast<std::uint32_t>(value >> 32));
    AppendCell(bytes, static_cast<std::uint32_t>(value));
  }
  Bytes(name, bytes);
}

void FdtWriter::Bytes(const std::string& name, std::span<const std::byte> value) {
  Write(name, [&] {
    return fdt_property(buffer_.data(), name.c_str(), value.data(), static_cast<int>(value.size()));
  });
}

std::vector<std::byte> FdtWriter::Finish() {
  Write("end", [&] { return fdt_finish(buffer_.data()); });
  buffer_.resize(fdt_totalsize(buffer_.data()));
  return std::move(buffer_);
}

}  // namespace microvm
