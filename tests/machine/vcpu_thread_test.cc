// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/vcpu_thread.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/devices/recording_device.h"
#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "tests/machine/runnable_vm.h"

namespace microvm {
namespace {

using fakes::Contains;
using fakes::RunnableVm;

// Runs a script on one vCPU until it asks to stop; gives the reason.
StopReason RunToStop(RunnableVm& vm, std::vector<fakes::VcpuExit> script) {
  vm.kernel.Script(0, std::move(script));
  Vcpu& vcpu = vm.AddVcpu(0);
  std::binary_semaphore stopped(0);
  StopReason reason{};
  VcpuThread thread(0, vcpu, vm.bus, vm.exits, vm.log, [&](StopReason why) {
    reason = why;
    stopped.release();
  });
  CHECK(thread.tid() > 0);
  thread.Start();
  stopped.acquire();
  return reason;
}

TEST_CASE("system events end the guest with their reasons") {
  RunnableVm off;
  CHECK(RunToStop(off, {fakes::PowerOff()}) == StopReason::kPowerOff);
  RunnableVm reset;
  CHECK(RunToStop(reset, {fakes::Reset()}) == StopReason::kReset);
  RunnableVm crash;
  CHECK(RunToStop(crash, {fakes::Crash()}) == StopReason::kCrash);
  CHECK(crash.exits.system_event == 1);
}

TEST_CASE("a system event that means nothing here is passed over") {
  RunnableVm vm;
  CHECK(RunToStop(vm, {fakes::OtherSystemEvent(), fakes::PowerOff()}) == StopReason::kPowerOff);
  CHECK(vm.exits.system_event == 2);
}

TEST_CASE("trapped accesses reach the bus in their width, and reads their answer") {
  RunnableVm vm;
  fakes::RecordingDevice device("device");
  vm.bus.Map(AddressRange({0x9000}, 0x1000), device);
  RunToStop(vm, {fakes::MmioWrite(0x9010, 4, 0x1'2345'6789), fakes::MmioRead(0x9010, 2),
                 fakes::MmioRead(0x5000, 4), fakes::MmioRead(0x9ffc, 8), fakes::PowerOff()});
  CHECK(device.value == 0x2345'6789);
  CHECK(vm.kernel.mmio_reads() == std::vector<std::uint64_t>{0x6789, 0xffff'ffff, UINT64_MAX});
  CHECK(vm.exits.mmio_write == 1);
  CHECK(vm.exits.mmio_read == 3);
  CHECK(vm.bus.refused() == 2);
}

TEST_CASE("a paused vCPU is out of the guest until it is resumed") {
  RunnableVm vm;
  std::atomic<unsigned> entries = 0;
  std::vector<fakes::VcpuExit> script(3, fakes::Meanwhile([&] { ++entries; }));
  vm.kernel.Script(0, script);
  VcpuThread thread(0, vm.AddVcpu(0), vm.bus, vm.exits, vm.log, [](StopReason) {});
  thread.Start();
  for (int round = 0; round < 100; ++round) {
    thread.Pause();
    // What KVM needs to give the vGIC's state away.
    CHECK(vm.Gic().GetAttribute32(arm64::kVgicGroupDistRegs, 0x200, "GICD_ISPENDR") == 0);
    thread.Resume();
  }
  while (entries < 3) ::usleep(1000);
  CHECK(vm.exits.interrupted >= 3);
}

TEST_CASE("a vCPU that runs keeps the vGIC's state to itself") {
  RunnableVm vm;
  std::atomic<bool> inside = false;
  vm.kernel.Script(0, {fakes::Meanwhile([&] {
                     inside = true;
                     ::usleep(50'000);
                   })});
  VcpuThread thread(0, vm.AddVcpu(0), vm.bus, vm.exits, vm.log, [](StopReason) {});
  thread.Start();
  while (!inside) ::usleep(100);
  CHECK(Contains(fakes::ChainOf([&] {
                   return vm.Gic().GetAttribute32(arm64::kVgicGroupDistRegs, 0x200, "state");
                 }),
                 "Device or resource busy"));
}

TEST_CASE("a paused vCPU can be stopped, and one that has ended be paused") {
  RunnableVm vm;
  {
    VcpuThread thread(0, vm.AddVcpu(0), vm.bus, vm.exits, vm.log, [](StopReason) {});
    thread.Start();
    thread.Pause();
  }
  RunnableVm other;
  other.kernel.Script(0, {fakes::PowerOff()});
  std::binary_semaphore ended(0);
  VcpuThread thread(0, other.AddVcpu(0), other.bus, other.exits, other.log,
                    [&](StopReason) { ended.release(); });
  thread.Start();
  ended.acquire();
  thread.Pause();
  thread.Resume();
}

TEST_CASE("signals and EAGAIN are no ends") {
  RunnableVm vm;
  CHECK(RunToStop(vm, {fakes::RunFails(EINTR), fakes::RunFails(EAGAIN), fakes::SignalExit(),
                       fakes::PowerOff()}) == StopReason::kPowerOff);
  CHECK(vm.exits.interrupted == 2);
}

TEST_CASE("KVM_RUN that fails ends the guest with its errno on standard error") {
  const fakes::CapturedStream errors(STDERR_FILENO);
  RunnableVm vm;
  CHECK(RunToStop(vm, {fakes::RunFails(EFAULT)}) == StopReason::kVcpuError);
  CHECK(Contains(errors.text(), "microvm: vCPU 0: KVM_RUN: Bad address\n"));
}

TEST_CASE("an exit that nobody knows ends the guest with its number") {
  const fakes::CapturedStream errors(STDERR_FILENO);
  RunnableVm vm;
  CHECK(RunToStop(vm, {fakes::InternalError()}) == StopReason::kVcpuError);
  CHECK(Contains(errors.text(), "microvm: vCPU 0: KVM cannot go on: exit reason 17\n"));
  CHECK(vm.exits.other == 1);
}

TEST_CASE("an access that cannot be decoded gets an abort, the first few a line each") {
  const fakes::CapturedStream errors(STDERR_FILENO);
  RunnableVm vm;
  std::vector<fakes::VcpuExit> script(20, fakes::Undecodable(0x1234));
  script.push_back(fakes::PowerOff());
  CHECK(RunToStop(vm, std::move(script)) == StopReason::kPowerOff);
  CHECK(vm.kernel.aborts() == 20);
  CHECK(vm.exits.undecodable == 20);
  const std::string text = errors.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 8);
  CHECK(Contains(text, "guest access at 0x1234 (ESR 0x45) cannot be decoded; it gets an abort\n"));
  CHECK(Contains(text, "; further ones are only counted\n"));
}

TEST_CASE("an abort that cannot be injected ends the guest") {
  const fakes::CapturedStream errors(STDERR_FILENO);
  RunnableVm vm;
  vm.kernel.FailMatching("KVM_SET_VCPU_EVENTS", EINVAL);
  CHECK(RunToStop(vm, {fakes::Undecodable(0)}) == StopReason::kVcpuError);
  CHECK(Contains(errors.text(), "KVM_SET_VCPU_EVENTS: Invalid argument"));
}

TEST_CASE("a thread that was never started is gone without having run") {
  RunnableVm vm;
  bool stopped = false;
  {
    VcpuThread thread(0, vm.AddVcpu(0), vm.bus, vm.exits, vm.log,
                      [&](StopReason) { stopped = true; });
  }
  CHECK_FALSE(stopped);
  CHECK(vm.exits.interrupted == 0);
}

TEST_CASE("a vCPU can be stopped at any moment of its start and run") {
  // The fake's guest never exits by itself; a request that is lost hangs this test.
  for (int round = 0; round < 300; ++round) {
    RunnableVm vm;
    VcpuThread thread(0, vm.AddVcpu(0), vm.bus, vm.exits, vm.log, [](StopReason) {});
    thread.Start();
    for (int spin = 0; spin < round; ++spin) {
      std::this_thread::yield();
    }
    if (round % 2 == 0) thread.RequestStop();
  }
  CHECK(true);
}

TEST_CASE("stop requests from several threads at once are one stop") {
  for (int round = 0; round < 50; ++round) {
    RunnableVm vm;
    VcpuThread thread(0, vm.AddVcpu(0), vm.bus, vm.exits, vm.log, [](StopReason) {});
    thread.Start();
    std::thread first([&] { thread.RequestStop(); });
    std::thread second([&] { thread.RequestStop(); });
    first.join();
    second.join();
  }
  CHECK(true);
}

TEST_CASE("several vCPUs use one bus at the same time") {
  RunnableVm vm;
  fakes::RecordingLine line;
  fakes::RecordingHost host;
  Pl011 uart(line, host);
  vm.bus.Map(AddressRange({0x9000}, 0x1000), uart);
  constexpr unsigned kVcpus = 4;
  std::deque<VcpuExits> exits(kVcpus);
  std::counting_semaphore<kVcpus> stopped(0);
  std::deque<VcpuThread> threads;
  for (unsigned id = 0; id < kVcpus; ++id) {
    std::vector<fakes::VcpuExit> script;
    for (int count = 0; count < 200; ++count) {
      script.push_back(fakes::MmioWrite(0x9000, 1, 'x'));
      script.push_back(fakes::MmioRead(0x9018, 4));
    }
    script.push_back(fakes::PowerOff());
    vm.kernel.Script(id, std::move(script));
  }
  for (unsigned id = 0; id < kVcpus; ++id) {
    threads.emplace_back(id, vm.AddVcpu(id), vm.bus, exits[id], vm.log,
                         [&](StopReason) { stopped.release(); });
  }
  for (VcpuThread& thread : threads) thread.Start();
  for (unsigned id = 0; id < kVcpus; ++id) stopped.acquire();
  std::array<std::uint8_t, 4096> out{};
  CHECK(uart.TakeTransmitted(out) == kVcpus * 200);
}

}  // namespace
}  // namespace microvm
