// SPDX-License-Identifier: Apache-2.0
// Reboots itself again and again; the device must interrupt as before each time. Guest memory
// does not survive a reboot, so the count of boots is kept in the device.
#include "../cpu.h"
#include "../device_line.h"
#include "../failure.h"
#include "modes.h"

namespace guest {
namespace {

// A number in the match register, which nothing but a reset of the device changes, and again in
// the load register. The two never come near each other as times, so neither raises an interrupt.
class BootCount {
 public:
  explicit BootCount(Pl031 device) : device_(device) {}

  [[nodiscard]] std::uint32_t Load() const {
    const std::uint32_t match = device_.match();
    if ((match & kMarkMask) == kMatchMark) return match >> kShift & kMaximum;
    const std::uint32_t load = device_.load();
    if ((load & kMarkMask) == kLoadMark) return load >> kShift & kMaximum;
    return 0;
  }

  void Store(std::uint32_t boots) const {
    device_.SetLoad(kLoadMark | boots << kShift);
    device_.SetMatch(kMatchMark | boots << kShift);
  }

  void Forget() const {
    device_.SetLoad(1);
    device_.SetMatch(0);
    device_.Clear();
  }

  static constexpr std::uint32_t kMaximum = 0xfff;

 private:
  static constexpr std::uint32_t kMarkMask = 0xf000'ffff;
  static constexpr std::uint32_t kMatchMark = 0xb000'6d76;
  static constexpr std::uint32_t kLoadMark = 0xa000'6d76;
  static constexpr unsigned kShift = 16;

  Pl031 device_;
};

struct Reset {
  const Psci& psci;
  BootCount count;
  std::uint32_t boots;
};

void ResetInHandler(void* context, const ExceptionFrame& /*frame*/) {
  const Reset& reset = *static_cast<Reset*>(context);
  reset.count.Store(reset.boots);
  reset.psci.SystemReset();
}

// A reboot leaves nothing of the interrupt behind but the device's own line.
void CheckFreshGic(Guest& guest) {
  const std::uint32_t intid = guest.device_interrupt().intid;
  if (guest.gic().IsEnabled(intid)) Fail("intid=", intid, " is enabled at boot");
  if (guest.gic().IsActive(intid)) Fail("intid=", intid, " is active at boot");
}

[[noreturn]] void Reboot(Guest& guest, Reset reset) {
  const Pl031 device = guest.device();
  if (guest.Number("reboot_active", 0) != 0) {
    device.RaiseAndHold();
    guest.ConnectDevice({&ResetInHandler, &reset});
    WaitMicroseconds(guest.Number("timeout_ms", 1000) * 1000);
    Fail("no interrupt to reset in");
  }
  if (guest.Number("reboot_asserted", 0) != 0) {
    MaskInterrupts();  // pending at the CPU, but never acknowledged
    guest.ConnectDevice({&ResetInHandler, &reset});
    device.RaiseAndHold();
  }
  reset.count.Store(reset.boots);
  reset.psci.SystemReset();
}

}  // namespace

void RunReboot(Guest& guest) {
  const auto last = static_cast<std::uint32_t>(guest.Number("boots", 20));
  if (last > BootCount::kMaximum) Fail("boots is at most ", BootCount::kMaximum);
  const Pl031 device = guest.device();
  const BootCount count(device);
  const std::uint32_t boots = count.Load() + 1;
  const bool asserted = device.line();
  if (!guest.interrupts_started()) CheckFreshGic(guest);
  {
    DeviceLine line(guest, asserted ? DeviceLine::Before::kAsserted : DeviceLine::Before::kQuiet);
    for (std::uint64_t i = guest.Number("count", 10); i > 0; --i) line.RaiseAndWait();
    line.CheckExact();
    guest.console().Line("boot=", boots, " interrupts=", line.handled(),
                         " line_at_boot=", asserted ? 1 : 0);
  }
  if (boots < last) Reboot(guest, {.psci = guest.psci(), .count = count, .boots = boots});
  count.Forget();
}

}  // namespace guest
