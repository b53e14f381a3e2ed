// SPDX-License-Identifier: Apache-2.0
// Virtio devices of a machine: from the guest's registers and memory to a file and back, over
// reboots and to the end.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "devices/virtio/disk_image.h"
#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "tests/machine/virtio_driver.h"
#include "vmm/host/file.h"
#include "vmm/host/linux_kernel.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;
using fakes::kFirstDevice;
using fakes::kQueue;
using fakes::kRamStart;
using fakes::StartVirtio;
using fakes::VcpuExit;

constexpr std::uint64_t kDataOffset = kQueue + 0x8000;
constexpr std::uint64_t kSecondDevice = 0x1401'0000;
constexpr std::uint32_t kWritable = 2;

template <typename Value>
void Store(std::byte* at, Value value) {
  std::memcpy(at, &value, sizeof(value));
}

void StoreDescriptor(std::byte* at, std::uint64_t offset, std::uint32_t length,
                     std::uint32_t flags_and_next) {
  Store(at, kRamStart + offset);
  Store(at + 8, length);
  Store(at + 12, flags_and_next);
}

// The first entry of the queue, which RAM that is all zeros at a boot says is descriptor 0. The
// device may look at any time since it was started.
void MakeAvailable(std::byte* ram) {
  auto* index = reinterpret_cast<std::uint16_t*>(ram + kQueue + 0x1000 + 2);
  __atomic_store_n(index, std::uint16_t{1}, __ATOMIC_RELEASE);
}

// A request that reads the first sector; the device is notified.
void AddDiskRead(Board& board, std::vector<VcpuExit>& script, std::uint64_t base) {
  script.push_back(fakes::Meanwhile([&board] {
    std::byte* ram = board.kernel.GuestRam();
    StoreDescriptor(ram + kQueue, kDataOffset, 16, 1U | 1U << 16);
    StoreDescriptor(ram + kQueue + 16, kDataOffset + 0x100, 512, 1U | kWritable | 2U << 16);
    StoreDescriptor(ram + kQueue + 32, kDataOffset + 0x50, 1, kWritable);
    Store(ram + kDataOffset + 0x50, std::uint8_t{0xff});
    MakeAvailable(ram);
  }));
  script.push_back(fakes::MmioWrite(base + 0x50, 4, 0));
}

// The guest waits until the device has given back a request.
VcpuExit AwaitUsed(Board& board) {
  return fakes::Meanwhile([&board] {
    const auto* index =
        reinterpret_cast<std::uint16_t*>(board.kernel.GuestRam() + kQueue + 0x2000 + 2);
    for (int tries = 0; tries < 2000 && __atomic_load_n(index, __ATOMIC_ACQUIRE) == 0; ++tries) {
      ::usleep(1000);
    }
  });
}

void CheckLeavesNothing(const Board& board) {
  CHECK(board.kernel.Live() == std::vector<std::string>{});
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("a disk is read by the guest, again after a reboot, and given back at the end") {
  Board board;
  const std::string path = board.host.Write("disk", std::string(4096, 'D'));
  board.config.disks = {{.path = path}};
  std::string read;
  for (int boot = 0; boot < 2; ++boot) {
    std::vector<VcpuExit> script = StartVirtio(kFirstDevice);
    AddDiskRead(board, script, kFirstDevice);
    script.push_back(AwaitUsed(board));
    script.push_back(fakes::Meanwhile([&] {
      const auto* data = reinterpret_cast<char*>(board.kernel.GuestRam() + kDataOffset);
      read.append(data + 0x50, 1).append(data + 0x100, 512);
    }));
    script.push_back(boot == 0 ? fakes::Reset() : fakes::PowerOff());
    board.kernel.Script(0, std::move(script));
  }
  const std::size_t descriptors = fakes::OpenDescriptors();
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain == "");
  CHECK(outcome.statistics.boots == 2);
  const std::string once = std::string(1, '\0') + std::string(512, 'D');
  CHECK(read == once + once);
  REQUIRE(outcome.statistics.virtio.size() == 1);
  const VirtioStatistics& disk = outcome.statistics.virtio[0];
  CHECK(disk.name == "disk0");
  CHECK(disk.requests == 2);
  CHECK(disk.bytes_read == 1024);
  CHECK(disk.errors == 0);
  CHECK(disk.interrupts == 2);
  CHECK(disk.notifications >= 2);
  CHECK(disk.failures == 0);
  // Notifications did not leave the guest; each boot had its own way for them and for interrupts.
  const auto log = board.kernel.log();
  for (const char* call :
       {"KVM_IOEVENTFD assign 0x14000050", "KVM_IOEVENTFD deassign 0x14000050",
        "KVM_IOEVENTFD assign 0x14000064", "KVM_IRQFD assign spi 1", "KVM_IRQFD deassign spi 1"}) {
    CHECK(std::count(log.begin(), log.end(), call) == 2);
  }
  CHECK(fakes::OpenDescriptors() == descriptors);
  CheckLeavesNothing(board);
}

TEST_CASE("a guest may end with requests under way") {
  Board board;
  board.config.disks = {{.path = board.host.Write("disk", std::string(4096, 'D'))}};
  std::vector<VcpuExit> script = StartVirtio(kFirstDevice);
  AddDiskRead(board, script, kFirstDevice);
  script.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(script));
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CheckLeavesNothing(board);
}

// Where the file system is not in memory, the vCPU's thread waits for the host's disk.
TEST_CASE("a driver may reset a disk that serves it, and start it again") {
  Board board;
  board.config.disks = {{.path = board.host.Write("disk", std::string(4096, 'D'))}};
  std::vector<VcpuExit> script;
  for (int round = 0; round < 20; ++round) {
    script.push_back(fakes::MmioWrite(kFirstDevice + 0x70, 4, 0));
    // All but the last are flushes, which are never done at once.
    script.push_back(fakes::Meanwhile([&board, type = round < 19 ? 4U : 0U] {
      std::memset(board.kernel.GuestRam() + kQueue, 0, 0x9000);
      Store(board.kernel.GuestRam() + kDataOffset, type);
    }));
    for (VcpuExit& exit : StartVirtio(kFirstDevice)) script.push_back(std::move(exit));
    AddDiskRead(board, script, kFirstDevice);
  }
  script.push_back(AwaitUsed(board));
  std::string read;
  script.push_back(fakes::Meanwhile([&] {
    const auto* data = reinterpret_cast<char*>(board.kernel.GuestRam() + kDataOffset);
    read.append(data + 0x50, 1).append(data + 0x100, 512);
  }));
  script.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(script));
  const Board::Outcome outcome = board.Run();
  CHECK(read == std::string(1, '\0') + std::string(512, 'D'));
  REQUIRE(outcome.statistics.virtio.size() == 1);
  CHECK(outcome.statistics.virtio[0].failures == 0);
  CheckLeavesNothing(board);
}

// The guest waits for the packet that the host sends as soon as it is there.
void AddPacket(Board& board, std::vector<VcpuExit>& script, std::string& received) {
  script.push_back(fakes::Meanwhile([&board] {
    StoreDescriptor(board.kernel.GuestRam() + kQueue, kDataOffset, 1526, kWritable);
    MakeAvailable(board.kernel.GuestRam());
  }));
  script.push_back(fakes::MmioWrite(kFirstDevice + 0x50, 4, 0));
  script.push_back(fakes::Meanwhile([&board] {
    // What is there when a driver starts is not for it.
    ::usleep(20'000);
    const std::string packet = std::string(12, '\0') + "packet";
    CHECK(::send(board.kernel.TapHost(), packet.data(), packet.size(), 0) == 18);
  }));
  script.push_back(AwaitUsed(board));
  script.push_back(fakes::Meanwhile([&] {
    const auto* data = reinterpret_cast<char*>(board.kernel.GuestRam() + kDataOffset);
    received.append(data + 12, 6);
  }));
}

TEST_CASE("a network's packets come when the tap can be read, and again after a reboot") {
  Board board;
  board.config.nets = {{.tap = "tap0", .mac = {2, 0, 0, 0, 0, 1}}};
  std::string received;
  for (int boot = 0; boot < 2; ++boot) {
    std::vector<VcpuExit> script = StartVirtio(kFirstDevice);
    AddPacket(board, script, received);
    script.push_back(boot == 0 ? fakes::Reset() : fakes::PowerOff());
    board.kernel.Script(0, std::move(script));
  }
  const std::size_t descriptors = fakes::OpenDescriptors();
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain == "");
  CHECK(outcome.statistics.boots == 2);
  CHECK(received == "packetpacket");
  REQUIRE(outcome.statistics.virtio.size() == 1);
  CHECK(outcome.statistics.virtio[0].name == "net0");
  CHECK(outcome.statistics.virtio[0].requests == 2);
  CHECK(outcome.statistics.virtio[0].bytes_read == 12);
  CHECK(fakes::OpenDescriptors() == descriptors);
  CheckLeavesNothing(board);
}

TEST_CASE("entropy comes behind the disks") {
  Board board;
  board.config.disks = {{.path = board.host.Write("disk", std::string(4096, 'D'))}};
  board.config.rng.enabled = true;
  bool filled = false;
  std::vector<VcpuExit> script = StartVirtio(kSecondDevice);
  script.push_back(fakes::Meanwhile([&] {
    std::byte* ram = board.kernel.GuestRam();
    StoreDescriptor(ram + kQueue, kDataOffset, 64, kWritable);
    MakeAvailable(ram);
  }));
  script.push_back(fakes::MmioWrite(kSecondDevice + 0x50, 4, 0));
  script.push_back(AwaitUsed(board));
  script.push_back(fakes::Meanwhile([&] {
    const std::byte* data = board.kernel.GuestRam() + kDataOffset;
    filled = std::count(data, data + 64, std::byte{0}) < 32;
  }));
  script.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(script));
  const Board::Outcome outcome = board.Run();
  CHECK(filled);
  REQUIRE(outcome.statistics.virtio.size() == 2);
  CHECK(outcome.statistics.virtio[1].name == "rng");
  CHECK(outcome.statistics.virtio[1].bytes_read == 64);
  CheckLeavesNothing(board);
}

TEST_CASE("a virtio console writes to its file over a reboot, beside a PL011") {
  constexpr std::uint64_t kUart = 0x900'0000;
  Board board;
  const std::filesystem::path log = board.host.Write("log", "before ");
  board.config.consoles = {{.input = false}, {.kind = ConsoleKind::kHvc, .path = log}};
  for (int boot = 0; boot < 2; ++boot) {
    std::vector<VcpuExit> script = StartVirtio(kFirstDevice, 1);
    script.push_back(fakes::MmioWrite(kUart, 1, 'U'));
    script.push_back(fakes::Meanwhile([&board, boot] {
      std::byte* ram = board.kernel.GuestRam();
      std::memcpy(ram + kDataOffset, boot == 0 ? "one " : "two ", 4);
      StoreDescriptor(ram + kQueue, kDataOffset, 4, 0);
      MakeAvailable(ram);
    }));
    script.push_back(fakes::MmioWrite(kFirstDevice + 0x50, 4, 1));
    script.push_back(AwaitUsed(board));
    script.push_back(boot == 0 ? fakes::Reset() : fakes::PowerOff());
    board.kernel.Script(0, std::move(script));
  }
  std::string output;
  Board::Outcome outcome;
  {
    const fakes::CapturedStream out(STDOUT_FILENO);
    outcome = board.Run();
    output = out.text();
  }
  CHECK(outcome.chain == "");
  CHECK(output == "UU");
  CHECK(ReadTextFile(log.string()) == "before one two ");
  REQUIRE(outcome.statistics.virtio.size() == 1);
  CHECK(outcome.statistics.virtio[0].name == "hvc0");
  CHECK(outcome.statistics.virtio[0].bytes_written == 8);
  CHECK(outcome.statistics.virtio[0].failures == 0);
  CheckLeavesNothing(board);
}

TEST_CASE("a disk that another machine writes to is refused before the guest runs") {
  Board board;
  const std::string path = board.host.Write("disk", std::string(4096, 'D'));
  board.config.disks = {{.path = path}};
  LinuxKernel other;
  const DiskImage taken(other, {.path = path});
  const Board::Outcome outcome = board.Run();
  CHECK(Contains(
      outcome.chain,
      "disk " + path + "\n  another process, or another of the machine's disks, has it\n"));
  CHECK(outcome.statistics.boots == 0);
  CheckLeavesNothing(board);
}

}  // namespace
}  // namespace microvm
