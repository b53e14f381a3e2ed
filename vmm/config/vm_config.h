// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/config/console_config.h"
#include "vmm/config/disk_config.h"
#include "vmm/config/gpio_config.h"
#include "vmm/config/net_config.h"
#include "vmm/config/reset_config.h"
#include "vmm/config/window_config.h"

namespace microvm {

enum class SchedulingPolicy { kOther, kFifo, kRoundRobin };

// What the image's init does when the VM ends; the VMM itself runs a VM once.
enum class RestartPolicy { kNever, kOnFailure, kAlways };

// How a passed-through device reaches memory.
enum class DmaMode {
  kNone,      // it does not: no RAM is mapped for it
  kIommu,     // through the host's IOMMU, which maps the guest's RAM and nothing else
  kIdentity,  // without an IOMMU: the guest's RAM is at the same addresses as on the host
};

// Which of VFIO's interfaces a device is opened through.
enum class VfioBackend {
  kAuto,     // iommufd where the host offers it for the device, else the group
  kIommufd,  // the device's character device and /dev/iommu
  kGroup,    // its IOMMU group and a container
};

struct CpuConfig {
  unsigned count = 1;
  std::vector<unsigned> affinity;  // host CPU of each vCPU; empty: not pinned
  SchedulingPolicy policy = SchedulingPolicy::kOther;
  int priority = 0;  // 1-99 with kFifo and kRoundRobin
  bool pmu = false;
  bool sve = false;
  bool pauth = false;
};

// What keeps interrupts steady, beside what [cpu] and [memory] say.
struct RealtimeConfig {
  bool enabled = false;                     // the table is there
  std::vector<unsigned> housekeeping = {};  // host CPUs of the other threads; empty: the rest
  std::optional<std::uint64_t> halt_poll_ns =
      {};                        // that KVM waits awake; nothing: as the host has it
  bool steer_interrupts = true;  // of the devices, to the first vCPU's host CPU
};

struct MemoryConfig {
  std::uint64_t size_bytes = 0;
  std::uint64_t hugepage_bytes = 0;  // 0: ordinary pages
  bool lock = false;
  // With DmaMode::kIdentity: the file in a hugetlbfs whose pages are the guest's RAM.
  std::optional<std::filesystem::path> identity_file = {};
};

struct BootConfig {
  std::filesystem::path kernel;
  std::optional<std::filesystem::path> initrd;
  std::string cmdline;
  std::vector<std::filesystem::path> overlays;
};

// A source of random numbers for the guest: a virtio entropy device.
struct RngConfig {
  bool enabled = false;  // the table is there
};

// Sockets between host and guest: a virtio socket device.
struct VsockConfig {
  std::uint32_t cid = 0;             // the guest's context identifier, 3 to 4294967294
  std::optional<int> vhost_fd = {};  // the open /dev/vhost-vsock, from whoever started the program
};

// A real-time clock for the guest that shows the host's time: a PL031.
struct RtcConfig {
  bool enabled = false;  // the table is there
};

// The way of a device's interrupts into the guest.
enum class InterruptPath {
  kIrqfd,      // from the host's interrupt handler into KVM, without a wake-up of user space
  kUserspace,  // through the event loop, which counts them; to see what irqfd is worth
};

struct PlatformConfig {
  std::string host;  // name under /sys/bus/platform/devices
  DmaMode dma = DmaMode::kIommu;
  bool ignore_dma_signs = false;  // with kNone: the user knows that it does no DMA
  InterruptPath interrupts = InterruptPath::kIrqfd;
  VfioBackend backend = VfioBackend::kAuto;
  std::optional<int> device_fd = {};  // the open character device, from whoever started the program
  std::map<std::string, std::uint64_t> clocks_hz;  // rates the host cannot tell, by clock name
  std::vector<std::string> drop;                   // properties and entries left out
  std::vector<std::uint64_t> addresses = {};       // of its regions that cross, in their order
  std::vector<std::uint32_t> spis = {};            // of its interrupts that cross, in their order
  std::map<std::string, std::vector<std::byte>> properties = {};  // of the guest's node
  // "file:line:column: platform.KEY" of keys that only planning can find wrong.
  std::map<std::string, std::string> places = {};
  std::vector<WindowConfig> windows = {};
  ResetConfig reset;
};

// What the user asked for, validated on its own: nothing of the host has been looked at.
struct VmConfig {
  std::string name;
  RestartPolicy restart = RestartPolicy::kNever;
  CpuConfig cpu;
  RealtimeConfig realtime;
  MemoryConfig memory;
  BootConfig boot;
  std::vector<ConsoleConfig> consoles = {ConsoleConfig{}};
  std::vector<DiskConfig> disks = {};
  std::vector<NetConfig> nets = {};
  RngConfig rng = {};
  std::optional<VsockConfig> vsock = {};
  RtcConfig rtc = {};
  std::vector<GpioConfig> gpios = {};
  std::optional<int> iommu_fd;  // the open /dev/iommu, from whoever started the program
  std::vector<PlatformConfig> platform;
};

// Every problem of a configuration file, one per line as "file:line:column: key: what is wrong".
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Parses TOML; `path` is for messages, and paths in the file are relative to its folder. Throws
// ConfigError with all problems at once.
VmConfig ParseVmConfig(std::string_view text, const std::filesystem::path& path);

// The names as they stand in TOML.
std::string_view ToString(SchedulingPolicy policy);
std::string_view ToString(RestartPolicy policy);
std::string_view ToString(DmaMode mode);
std::string_view ToString(VfioBackend backend);

}  // namespace microvm
