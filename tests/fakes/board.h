// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/host_tree.h"
#include "vmm/config/vm_config.h"
#include "vmm/host/host_device.h"
#include "vmm/machine/statistics.h"

namespace microvm::fakes {

constexpr const char* kCanName = "ff070000.canfd";
constexpr const char* kTimerName = "ff120000.timer";

// A whole host in step with itself: the devices of board.dts in sysfs and behind a FakeKernel, a
// kernel and an initrd on disk, and the configuration of a guest. Devices are added as tests need.
class Board {
 public:
  Board();

  // A level interrupt and a mapped region, behind an IOMMU; with `cdev`, through iommufd too.
  void AddCan(DmaMode dma = DmaMode::kIommu, std::optional<unsigned> cdev = {});
  // An edge and a level interrupt, a trapped region and a mapped one, without an IOMMU.
  void AddTimer(DmaMode dma = DmaMode::kNone);
  // RAM of 8 MiB in the file IdentityFile(), at 0x50000000-0x505fffff and 0x70000000-0x701fffff,
  // and the timer reaching it, with a recipe of one write.
  void AddIdentityTimer();
  [[nodiscard]] std::filesystem::path IdentityFile() const;

  struct Outcome {
    std::optional<StopReason> reason;  // nothing: it failed
    Statistics statistics;
    std::string chain;   // of the exception, as a user would see it
    std::string output;  // standard error
  };
  // Opens, plans, builds, runs and takes down, as the program does.
  Outcome Run();
  // As far as the plan.
  std::string OpenAndPlanComplaint();

  FakeKernel kernel;
  HostTree host;
  HostSysfs sysfs{host.root()};
  VmConfig config;

 private:
  TemporaryFolder files_;
};

// Catches what the program writes to a standard stream, for as long as it lives.
class CapturedStream {
 public:
  explicit CapturedStream(int fd);
  CapturedStream(const CapturedStream&) = delete;
  CapturedStream& operator=(const CapturedStream&) = delete;
  CapturedStream(CapturedStream&&) = delete;
  CapturedStream& operator=(CapturedStream&&) = delete;
  ~CapturedStream();
  [[nodiscard]] std::string text() const;

 private:
  int fd_;
  int saved_;
  int file_;
};

// A boot image of a kernel that is only looked at, not run.
std::string SmallImage();

// How many descriptors the process has open.
std::size_t OpenDescriptors();

}  // namespace microvm::fakes
