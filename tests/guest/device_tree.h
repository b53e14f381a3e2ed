// SPDX-License-Identifier: Apache-2.0
// A read-only view of the flattened device tree (Devicetree Specification 0.4), over libfdt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace guest {

struct PhysicalRange {
  std::uint64_t start = 0;
  std::uint64_t size = 0;

  [[nodiscard]] std::uint64_t end() const { return start + size; }
};

enum class Trigger { kLevel, kEdge };

inline constexpr std::uint32_t kFirstShared = 32;

// An interrupt as the GIC numbers it: INTID, 16.. per CPU, 32.. shared.
struct Interrupt {
  std::uint32_t intid = 0;
  Trigger trigger = Trigger::kLevel;
};

// A property whose value is big-endian 32-bit cells.
class Cells {
 public:
  Cells() = default;
  explicit Cells(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] std::size_t count() const { return bytes_.size() / 4; }
  [[nodiscard]] std::uint32_t operator[](std::size_t index) const;

  // `width` cells from `index` as one number; the low 64 bits if wider.
  [[nodiscard]] std::uint64_t Number(std::size_t index, unsigned width) const;

 private:
  std::span<const std::uint8_t> bytes_;
};

class DeviceTree {
 public:
  using Node = int;

  // `blob` outlives the view and everything obtained from it.
  explicit DeviceTree(const void* blob) : blob_(blob) {}

  [[nodiscard]] bool valid() const;

  // The first node after `after` in tree order that is compatible; -1 starts at the root.
  [[nodiscard]] std::optional<Node> FindCompatible(const char* compatible, Node after = -1) const;

  // The first node after `after` whose device_type is `type`.
  [[nodiscard]] std::optional<Node> FindDeviceType(const char* type, Node after = -1) const;

  // A node by path or alias.
  [[nodiscard]] std::optional<Node> FindPath(std::string_view path) const;

  [[nodiscard]] bool IsCompatible(Node node, const char* compatible) const;
  [[nodiscard]] std::string_view Name(Node node) const;
  [[nodiscard]] std::string_view String(Node node, const char* property) const;
  [[nodiscard]] Cells Property(Node node, const char* property) const;
  [[nodiscard]] Node Parent(Node node) const;

  // `reg` entry `index` as a CPU address, through every parent bus's `ranges` (2.3.6, 2.3.8).
  [[nodiscard]] std::optional<PhysicalRange> Region(Node node, unsigned index) const;

  // `interrupts` entry `index`; nothing unless the interrupt parent is a GIC (bindings:
  // interrupt-controller/arm,gic-v3.yaml and arm,gic.yaml).
  [[nodiscard]] std::optional<Interrupt> InterruptOf(Node node, unsigned index) const;

 private:
  [[nodiscard]] std::optional<std::uint64_t> ToParentBus(Node bus, std::uint64_t address) const;
  [[nodiscard]] std::optional<Node> InterruptParent(Node node) const;

  const void* blob_;
};

}  // namespace guest
