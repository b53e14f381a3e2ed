// SPDX-License-Identifier: Apache-2.0
// poke PID trigger|mask|unmask FIRST [LAST]: does this to interrupts of the VFIO device that a
// process has open, through the process's own descriptor. VFIO's trigger runs the kernel's handler
// as if the device had interrupted.
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

namespace {

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  _exit(1);
}

int DeviceOf(int pid) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  const int process = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (process < 0) Fail("pidfd_open");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string target = std::filesystem::read_symlink(entry.path()).string();
    if (target != "anon_inode:[vfio-device]" && !target.starts_with("/dev/vfio/devices/")) continue;
    const int fd = std::stoi(entry.path().filename().string());
    const int copy = static_cast<int>(syscall(SYS_pidfd_getfd, process, fd, 0));
    if (copy < 0) Fail("pidfd_getfd");
    return copy;
  }
  std::fputs("it has no VFIO device open\n", stderr);
  _exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, std::uint32_t> actions = {{"trigger", VFIO_IRQ_SET_ACTION_TRIGGER},
                                                        {"mask", VFIO_IRQ_SET_ACTION_MASK},
                                                        {"unmask", VFIO_IRQ_SET_ACTION_UNMASK}};
  if (argc < 4 || !actions.contains(argv[2])) {
    std::fputs("usage: poke PID trigger|mask|unmask FIRST [LAST]\n", stderr);
    return 2;
  }
  const int device = DeviceOf(std::atoi(argv[1]));
  const int first = std::atoi(argv[3]);
  const int last = argc > 4 ? std::atoi(argv[4]) : first;
  for (int index = first; index <= last; ++index) {
    vfio_irq_set set{};
    set.argsz = sizeof(set);
    set.flags = VFIO_IRQ_SET_DATA_NONE | actions.at(argv[2]);
    set.index = static_cast<std::uint32_t>(index);
    set.count = 1;
    if (ioctl(device, VFIO_DEVICE_SET_IRQS, &set) != 0) Fail("VFIO_DEVICE_SET_IRQS");
  }
  return 0;
}
