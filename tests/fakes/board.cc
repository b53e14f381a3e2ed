// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/board.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

#include "arch/arm64/boot_image.h"
#include "arch/arm64/layout.h"
#include "tests/fakes/exceptions.h"
#include "vmm/machine/machine.h"
#include "vmm/passthrough/passthrough.h"

namespace microvm::fakes {

std::string SmallImage() {
  std::string image(4096, 'K');
  const std::uint64_t header[] = {0, 0, 0x10000, 0xa, 0, 0, 0, 0x644d5241};  // NOLINT
  std::memcpy(image.data(), &header[0], sizeof(header));
  return image;
}

std::size_t OpenDescriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

CapturedStream::CapturedStream(int fd)
    : fd_(fd), saved_(::fcntl(fd, F_DUPFD_CLOEXEC, 3)), file_(MakeMemoryFd(0)) {
  std::fflush(nullptr);
  ::dup2(file_, fd_);
}

CapturedStream::~CapturedStream() {
  std::fflush(nullptr);
  ::dup2(saved_, fd_);
  ::close(saved_);
  ::close(file_);
}

std::string CapturedStream::text() const {
  std::fflush(nullptr);
  const off_t length = ::lseek(file_, 0, SEEK_END);
  std::string content(static_cast<std::size_t>(length), '\0');
  const ssize_t count = ::pread(file_, content.data(), content.size(), 0);
  content.resize(static_cast<std::size_t>(count));
  return content;
}

Board::Board() {
  host.SetFirmwareTree(TreeBlob("board"));
  config.name = "sample";
  config.memory.size_bytes = 8U << 20;
  config.boot.kernel = files_.Write("Image", SmallImage());
  config.consoles.clear();
}

void Board::AddCan(DmaMode dma, std::optional<unsigned> cdev) {
  host.AddDevice({.name = kCanName,
                  .driver = "vfio-platform",
                  .group = 7,
                  .node = "/axi/canfd@ff070000",
                  .compatible = "xlnx,canfd-2.0",
                  .cdev = cdev});
  kernel.host.devices.push_back({.name = kCanName,
                                 .group = 7,
                                 .no_iommu = false,
                                 .can_reset = true,
                                 .cdev = cdev,
                                 .regions = {{.size_bytes = 0x6000}},
                                 .irqs = {{.level = true}}});
  config.platform.push_back(
      {.host = kCanName, .dma = dma, .clocks_hz = {}, .drop = {}, .reset = {}});
}

std::filesystem::path Board::IdentityFile() const { return files_.path() / "hugepages" / "vm"; }

void Board::AddIdentityTimer() {
  AddTimer(DmaMode::kIdentity);
  config.platform.back().reset.recipe = {
      {.action = ResetStep::Action::kWrite, .value = 0, .mask = 0xffff'ffff}};
  std::filesystem::create_directory(IdentityFile().parent_path());
  config.memory.identity_file = IdentityFile();
  config.memory.hugepage_bytes = 2U << 20;
  kernel.host.huge_page_addresses = {0x5020'0000, 0x7000'0000, 0x5000'0000, 0x5040'0000};
}

void Board::AddTimer(DmaMode dma) {
  host.AddDevice({.name = kTimerName,
                  .driver = "vfio-platform",
                  .group = 0,
                  .no_iommu = true,
                  .node = "/axi/timer@ff120000",
                  .compatible = "acme,timer"});
  kernel.host.devices.push_back(
      {.name = kTimerName,
       .group = 0,
       .no_iommu = true,
       .can_reset = false,
       .regions = {{.size_bytes = 0x100, .mappable = false}, {.size_bytes = 0x1000}},
       .irqs = {{.level = false}, {.level = true}}});
  config.platform.push_back(
      {.host = kTimerName, .dma = dma, .clocks_hz = {}, .drop = {}, .reset = {}});
}

Board::Outcome Board::Run() {
  Outcome outcome;
  const CapturedStream errors(STDERR_FILENO);
  outcome.chain = ChainOf([&] {
    StopSignals stop_signals;
    const Kvm kvm(kernel);
    const BootImages images(kernel, config.boot);
    OpenedDevices opened = OpenDevices(kernel, sysfs, config);
    const VmPlan plan = MakePlan(config, opened.facts, images.facts(), kvm.limits(), Arm64Layout());
    Machine machine(kernel, sysfs, kvm, plan, images, std::move(opened), stop_signals);
    try {
      outcome.reason = machine.Run();
    } catch (...) {
      outcome.statistics = machine.statistics();
      throw;
    }
    outcome.statistics = machine.statistics();
  });
  outcome.output = errors.text();
  return outcome;
}

std::string Board::OpenAndPlanComplaint() {
  return ChainOf([&] {
    const Kvm kvm(kernel);
    const BootImages images(kernel, config.boot);
    const OpenedDevices opened = OpenDevices(kernel, sysfs, config);
    return MakePlan(config, opened.facts, images.facts(), kvm.limits(), Arm64Layout());
  });
}

}  // namespace microvm::fakes
