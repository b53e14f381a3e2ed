// SPDX-License-Identifier: Apache-2.0
// Where the ticks go between a device and the guest. One counter reading costs an ISB and an MRS,
// which are part of every figure.
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "../gic_distributor.h"
#include "../samples.h"
#include "modes.h"

namespace guest {
namespace {

constinit Samples to_vector;
constinit Samples to_handler;
constinit Samples from_handler;
constinit Samples round_trip;

// Shared by the handler and the code it interrupts, on one CPU.
struct Flight {
  Pl031 device;
  std::uint64_t vector_time = 0;
  std::uint64_t handler_time = 0;
  std::atomic<bool> landed = false;
};

void Land(void* context, const ExceptionFrame& frame) {
  const std::uint64_t now = Counter();
  auto& flight = *static_cast<Flight*>(context);
  flight.vector_time = frame.vector_time;
  flight.handler_time = now;
  flight.device.Clear();
  flight.landed.store(true, std::memory_order_relaxed);
}

// Spins long enough for any interrupt that is on its way; false says none came.
bool SpinUntilLanded(const Flight& flight) {
  for (unsigned spins = 100'000'000; spins > 0; --spins) {
    if (flight.landed.load(std::memory_order_relaxed)) return true;
    if (spins % 65536 == 0 && !flight.device.raised()) return flight.landed.load();
  }
  return false;
}

// The interrupt is taken when it is unmasked after WFI, so none can slip in before the WFI.
bool SleepUntilLanded(const Flight& flight) {
  if (!flight.device.raised()) {
    UnmaskInterrupts();
    return false;
  }
  while (!flight.landed.load(std::memory_order_relaxed)) {
    WaitForInterrupt();
    UnmaskInterrupts();
    MaskInterrupts();
  }
  return true;
}

class InterruptLatency {
 public:
  InterruptLatency(Guest& guest, bool sleep) : guest_(guest), sleep_(sleep) {
    flight_.device = guest.device();
    flight_.device.Quiesce();
    guest_.ConnectDevice({&Land, &flight_});
  }

  // One interrupt, there and back; false when a second ticked and nothing was raised.
  bool Fly(bool record) {
    flight_.landed.store(false, std::memory_order_relaxed);
    const Pl031 device = flight_.device;
    const std::uint32_t present = device.now();
    if (sleep_) MaskInterrupts();
    const std::uint64_t start = Counter();
    device.SetMatch(present);
    const bool landed = sleep_ ? SleepUntilLanded(flight_) : SpinUntilLanded(flight_);
    const std::uint64_t end = Counter();
    if (sleep_) UnmaskInterrupts();
    if (!landed && flight_.device.raised()) Fail("interrupt lost while measuring");
    if (!landed || !record) return landed;
    to_vector.Add(flight_.vector_time - start);
    to_handler.Add(flight_.handler_time - start);
    from_handler.Add(end - flight_.handler_time);
    round_trip.Add(end - start);
    return true;
  }

  void Stop() { guest_.DisconnectDevice(); }

 private:
  Guest& guest_;
  bool sleep_;
  Flight flight_;
};

// Times `operation` alone, the warm-up runs first and unrecorded.
template <typename Operation>
void Measure(const Guest& guest, std::string_view name, std::uint64_t count, std::uint64_t warmup,
             Operation operation) {
  Samples& samples = round_trip;
  samples.Clear();
  for (std::uint64_t i = 0; i < count + warmup; ++i) {
    const std::uint64_t start = Counter();
    operation();
    const std::uint64_t end = Counter();
    if (i >= warmup) samples.Add(end - start);
  }
  samples.Report(guest, name);
}

void MeasureInterrupts(Guest& guest, std::uint64_t count, std::uint64_t warmup, bool sleep) {
  to_vector.Clear();
  to_handler.Clear();
  from_handler.Clear();
  round_trip.Clear();
  InterruptLatency interrupts(guest, sleep);
  for (std::uint64_t done = 0; done < count + warmup;) {
    if (interrupts.Fly(done >= warmup)) ++done;
  }
  interrupts.Stop();
  to_vector.Report(guest, "raise_to_vector");
  to_handler.Report(guest, "raise_to_handler");
  from_handler.Report(guest, "handler_to_loop");
  round_trip.Report(guest, "raise_to_eoi_to_loop");
}

}  // namespace

void RunLatency(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 2000);
  const std::uint64_t warmup = guest.Number("warmup", 64);
  const bool sleep = guest.Number("wfi", 0) != 0;
  if (count > Samples::kMaximum) Fail("count is at most ", Samples::kMaximum);
  guest.console().Line("latency samples=", count, " warmup_discarded=", warmup,
                       " counter_hz=", CounterFrequency(), " wait=", sleep ? "wfi" : "spin");
  MeasureInterrupts(guest, count, warmup, sleep);
  if (guest.Number("interrupts_only", 0) != 0) return;

  const Pl031 device = guest.device();
  Measure(guest, "device_read", count, warmup, [=] { (void)device.now(); });
  const std::uint64_t flags = guest.board().uart.registers.start + Pl011::kFlags;
  Measure(guest, "trapped_read", count, warmup, [=] { (void)Read32(flags); });
  const std::uint64_t type = guest.board().gic.distributor.start + GicDistributor::kType;
  Measure(guest, "gic_read", count, warmup, [=] { (void)Read32(type); });
  const Conduit conduit = guest.psci().conduit();
  constexpr auto kVersion = static_cast<std::uint64_t>(PsciFunction::kVersion);
  Measure(guest, "hypercall", count, warmup, [=] { (void)SecureCall(conduit, kVersion); });
}

}  // namespace guest
