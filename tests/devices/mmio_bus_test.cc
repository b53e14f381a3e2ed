// SPDX-License-Identifier: Apache-2.0
#include "devices/mmio_bus.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>

#include "tests/devices/recording_device.h"
#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::RecordingDevice;

std::uint64_t Read(MmioBus& bus, std::uint64_t address, std::size_t length) {
  std::array<std::byte, 8> data{};
  bus.Read({address}, std::span(data).first(length));
  return LoadRegister(data);
}

void Write(MmioBus& bus, std::uint64_t address, std::size_t length, std::uint64_t value) {
  std::array<std::byte, 8> data{};
  StoreRegister(data, value);
  bus.Write({address}, std::span(data).first(length));
}

TEST_CASE("an access goes to the device that has its address, by offset") {
  LogBudget log;
  MmioBus bus(log);
  RecordingDevice first("first");
  RecordingDevice second("second");
  bus.Map(AddressRange({0x2000}, 0x1000), second);
  bus.Map(AddressRange({0x1000}, 0x1000), first);
  first.value = 0x11;
  second.value = 0x22;
  CHECK(Read(bus, 0x1000, 4) == 0x11);
  CHECK(first.offset() == 0);
  CHECK(Read(bus, 0x2ffc, 4) == 0x22);
  CHECK(second.offset() == 0xffc);
  Write(bus, 0x1010, 2, 0xbeef);
  CHECK(first.value == 0xbeef);
  CHECK(first.offset() == 0x10);
  CHECK(first.length() == 2);
  CHECK(second.writes() == 0);
  CHECK(bus.refused() == 0);
}

TEST_CASE("a read that no device answers is all ones, in its width") {
  LogBudget log;
  MmioBus bus(log);
  CHECK(Read(bus, 0x1000, 1) == 0xff);
  CHECK(Read(bus, 0x1000, 4) == 0xffff'ffff);
  CHECK(Read(bus, 0x1000, 8) == UINT64_MAX);
  CHECK(bus.refused() == 3);
}

TEST_CASE("a write that no device takes has no effect and is counted") {
  LogBudget log;
  MmioBus bus(log);
  RecordingDevice device("device");
  bus.Map(AddressRange({0x1000}, 0x1000), device);
  Write(bus, 0x2000, 4, 1);
  Write(bus, 0x0fff, 1, 1);
  CHECK(device.writes() == 0);
  CHECK(bus.refused() == 2);
}

TEST_CASE("an access that reaches over a device's end is nobody's") {
  LogBudget log;
  MmioBus bus(log);
  RecordingDevice first("first");
  RecordingDevice second("second");
  bus.Map(AddressRange({0x1000}, 0x1000), first);
  bus.Map(AddressRange({0x2000}, 0x1000), second);
  CHECK(Read(bus, 0x1ffc, 8) == UINT64_MAX);
  Write(bus, 0x1fff, 2, 0);
  CHECK(Read(bus, 0x0fff, 2) == 0xffff);
  CHECK(first.reads() + first.writes() + second.reads() + second.writes() == 0);
  CHECK(bus.refused() == 3);
}

TEST_CASE("the last bytes of the address space can be a device's") {
  LogBudget log;
  MmioBus bus(log);
  RecordingDevice device("top");
  bus.Map(AddressRange({UINT64_MAX - 7}, 8), device);
  Write(bus, UINT64_MAX - 7, 8, 5);
  CHECK(device.value == 5);
  CHECK(Read(bus, UINT64_MAX, 2) == 0xffff);
}

TEST_CASE("what a device refuses reads as all ones and is counted") {
  LogBudget log;
  MmioBus bus(log);
  RecordingDevice device("device");
  bus.Map(AddressRange({0x1000}, 0x1000), device);
  device.result = MmioResult::kBadAccess;
  CHECK(Read(bus, 0x1000, 4) == 0xffff'ffff);
  device.result = MmioResult::kDeviceError;
  CHECK(Read(bus, 0x1000, 2) == 0xffff);
  Write(bus, 0x1000, 4, 1);
  CHECK(bus.refused() == 3);
}

TEST_CASE("of refused accesses the log tells as many as its budget has lines") {
  const fakes::CapturedStream errors(STDERR_FILENO);
  LogBudget log(3);
  for (int boot = 0; boot < 2; ++boot) {
    MmioBus bus(log);
    Read(bus, 0x1000, 4);
    Write(bus, 0x2000, 1, 0);
    CHECK(bus.refused() == 2);
  }
  CHECK(errors.text() ==
        "microvm: guest read of 4 bytes at 0x1000 ignored (no device)\n"
        "microvm: guest write of 1 bytes at 0x2000 ignored (no device)\n"
        "microvm: guest read of 4 bytes at 0x1000 ignored (no device)"
        "; further ones are only counted\n");
}

TEST_CASE("two devices at one place are refused, both by name and place") {
  LogBudget log;
  MmioBus bus(log);
  RecordingDevice uart("uart");
  RecordingDevice timer("timer");
  bus.Map(AddressRange({0x1000}, 0x1000), uart);
  CHECK(ChainOf([&] { bus.Map(AddressRange({0x1fff}, 0x10), timer); }) ==
        "timer at 0x1fff-0x200e overlaps uart at 0x1000-0x1fff\n");
  CHECK(ChainOf([&] { bus.Map(AddressRange({0x0}, 0x1001), timer); }) != "");
  CHECK(ChainOf([&] { bus.Map(AddressRange({0x1800}, 1), timer); }) != "");
  bus.Map(AddressRange({0x2000}, 0x10), timer);
  bus.Map(AddressRange({0x0ff0}, 0x10), timer);
}

TEST_CASE("registers are little-endian in every width") {
  std::array<std::byte, 8> data{};
  for (const std::size_t width : {1U, 2U, 4U, 8U}) {
    const auto span = std::span(data).first(width);
    StoreRegister(span, 0x1122'3344'5566'7788);
    CHECK(span.front() == std::byte{0x88});
    const std::uint64_t mask = width == 8 ? UINT64_MAX : (1ULL << (8 * width)) - 1;
    CHECK(LoadRegister(span) == (0x1122'3344'5566'7788 & mask));
  }
}

}  // namespace
}  // namespace microvm
