// SPDX-License-Identifier: Apache-2.0
//
// load cpu | memory | interrupts DEVICE: what disturbs a guest, until SIGTERM.
//   cpu         one process that always wants to run
//   memory      one that copies a buffer larger than any cache
//   interrupts  up to 20,000 interrupts a second of DEVICE, an Arm PL061 (TRM DDI 0190) that is
//   bound to
//               VFIO without an IOMMU: a low level on an input is made an interrupt, and taken
//               back. What does that outranks every other thread.
// What it did is printed at the end.
#include <fcntl.h>
#include <linux/vfio.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

volatile std::sig_atomic_t stopped = 0;

[[noreturn]] void Die(const std::string& what) {
  std::perror(("load: " + what).c_str());
  _exit(1);
}

int Check(int result, const char* what) {
  if (result < 0) Die(what);
  return result;
}

std::uint64_t UseCpu() {
  std::uint64_t rounds = 0;
  while (stopped == 0) ++rounds;
  return rounds;
}

std::uint64_t UseMemory() {
  constexpr std::size_t kBytes = 16 << 20;
  std::vector<char> from(kBytes, 1);
  std::vector<char> to(kBytes, 2);
  std::uint64_t rounds = 0;
  for (; stopped == 0; ++rounds) {
    std::memcpy(to.data(), from.data(), kBytes);
    asm volatile("" ::"r"(to.data()) : "memory");
  }
  return rounds;
}

std::string GroupOf(const std::string& device) {
  std::array<char, PATH_MAX> target{};
  const std::string link = "/sys/bus/platform/devices/" + device + "/iommu_group";
  if (readlink(link.c_str(), target.data(), target.size() - 1) < 0) Die(link);
  const std::string_view path = target.data();
  return "/dev/vfio/noiommu-" + std::string(path.substr(path.rfind('/') + 1));
}

class Gpio {
 public:
  explicit Gpio(const std::string& device) {
    const int container = Check(open("/dev/vfio/vfio", O_RDWR), "/dev/vfio/vfio");
    const std::string name = GroupOf(device);
    const int group = Check(open(name.c_str(), O_RDWR), name.c_str());
    Check(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), "VFIO_GROUP_SET_CONTAINER");
    Check(ioctl(container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), "VFIO_SET_IOMMU");
    device_ = Check(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device.c_str()), device.c_str());
    vfio_region_info region{};
    region.argsz = sizeof(region);
    Check(ioctl(device_, VFIO_DEVICE_GET_REGION_INFO, &region), "VFIO_DEVICE_GET_REGION_INFO");
    void* mapped = mmap(nullptr, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, device_,
                        static_cast<off_t>(region.offset));
    if (mapped == MAP_FAILED) Die("mmap");
    registers_ = static_cast<volatile std::uint32_t*>(mapped);
    signal_ = Check(eventfd(0, EFD_NONBLOCK), "eventfd");
    SetIrq(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
    Write(kDirection, 0);
    Write(kLevelSensitive, 1);
    Write(kActiveHigh, 0);
  }

  // One interrupt, up and down; false if none came.
  bool Interrupt() {
    Write(kEnabled, 1);
    std::uint64_t count = 0;
    const bool came = read(signal_, &count, sizeof(count)) == sizeof(count);
    Write(kEnabled, 0);
    if (came) SetIrq(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK);
    return came;
  }

 private:
  static constexpr std::size_t kDirection = 0x400;
  static constexpr std::size_t kLevelSensitive = 0x404;
  static constexpr std::size_t kActiveHigh = 0x40c;
  static constexpr std::size_t kEnabled = 0x410;

  void Write(std::size_t offset, std::uint32_t value) { registers_[offset / 4] = value; }

  void SetIrq(std::uint32_t flags) {
    vfio_irq_set set{};
    std::array<char, sizeof(set) + sizeof(signal_)> request{};
    const bool has_data = (flags & VFIO_IRQ_SET_DATA_NONE) == 0;
    set.argsz = static_cast<std::uint32_t>(has_data ? request.size() : sizeof(set));
    set.flags = flags;
    set.count = 1;
    std::memcpy(request.data(), &set, sizeof(set));
    std::memcpy(request.data() + sizeof(set), &signal_, sizeof(signal_));
    Check(ioctl(device_, VFIO_DEVICE_SET_IRQS, request.data()), "VFIO_DEVICE_SET_IRQS");
  }

  int device_ = -1;
  int signal_ = -1;
  volatile std::uint32_t* registers_ = nullptr;
};

// Real-time: a device's interrupts do not wait until the guest leaves the CPU.
void OutrankEverybody() {
  const sched_param parameters{.sched_priority = 99};
  Check(sched_setscheduler(0, SCHED_FIFO, &parameters), "sched_setscheduler");
}

std::uint64_t UseInterrupts(const std::string& device) {
  Gpio gpio(device);
  OutrankEverybody();
  std::uint64_t interrupts = 0;
  // Not in step with anything the guest does: from 25 to 75 us, the same in each run.
  std::minstd_rand random;
  std::uniform_int_distribution<long> pause_ns(25'000, 75'000);
  while (stopped == 0) {
    if (gpio.Interrupt()) ++interrupts;
    const timespec pause{.tv_sec = 0, .tv_nsec = pause_ns(random)};
    nanosleep(&pause, nullptr);
  }
  return interrupts;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view kind = argc > 1 ? argv[1] : "";
  std::signal(SIGTERM, [](int) { stopped = 1; });
  std::uint64_t done = 0;
  if (kind == "cpu" && argc == 2) {
    done = UseCpu();
  } else if (kind == "memory" && argc == 2) {
    done = UseMemory();
  } else if (kind == "interrupts" && argc == 3) {
    done = UseInterrupts(argv[2]);
  } else {
    std::fprintf(stderr, "usage: load cpu | memory | interrupts DEVICE\n");
    return 2;
  }
  std::printf("%s=%llu\n", argv[1], static_cast<unsigned long long>(done));
}
