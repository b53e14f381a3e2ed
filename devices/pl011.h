// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <span>

#include "devices/byte_fifo.h"
#include "devices/console_port.h"
#include "devices/irq_line.h"
#include "devices/mmio_device.h"

namespace microvm {

// An Arm PrimeCell UART (PL011) r1p4: transmit, receive with interrupts, FIFOs (Arm DDI 0183,
// chapter 3). The line has no speed: what is written has left at once, unless the host takes it
// slower than the guest writes; then the transmit FIFO fills and the guest sees TXFF, as on a
// real line. Break, parity, framing, modem lines and DMA are not modelled.
//
// The MMIO face is called by vCPU threads, the rest by the event loop; one lock guards all state.
class Pl011 final : public MmioDevice, public ConsolePort {
 public:
  // `line` and `host` outlive the device.
  Pl011(IrqLine& line, ConsoleHost& host) : line_(line), host_(host) {}

  [[nodiscard]] std::string_view name() const override { return "pl011"; }
  MmioResult Read(std::uint64_t offset, std::span<std::byte> out) noexcept override;
  MmioResult Write(std::uint64_t offset, std::span<const std::byte> in) noexcept override;

  std::size_t TakeTransmitted(std::span<std::uint8_t> out) noexcept override;
  std::size_t Receive(std::span<const std::uint8_t> in) noexcept override;

 private:
  [[nodiscard]] std::uint32_t ReadRegister(std::uint64_t offset, bool& known) noexcept;
  bool WriteRegister(std::uint64_t offset, std::uint32_t value) noexcept;
  [[nodiscard]] std::uint32_t Flags() const noexcept;
  std::uint32_t ReadData() noexcept;
  void WriteData(std::uint8_t byte) noexcept;
  void UpdateReceiveInterrupts() noexcept;
  void UpdateLine() noexcept;
  [[nodiscard]] std::size_t ReceiveDepth() const noexcept;
  [[nodiscard]] std::size_t ReceiveTrigger() const noexcept;

  // The FIFO of the hardware has 16 entries; the rest stands for the wire and spares the guest
  // waiting for each wake-up of the host.
  static constexpr std::size_t kTransmitBytes = 4096;
  static constexpr std::size_t kReceiveFifoDepth = 16;

  IrqLine& line_;
  ConsoleHost& host_;
  std::mutex mutex_;  // guards all below
  ByteFifo<kTransmitBytes> transmit_;
  ByteFifo<kReceiveFifoDepth> receive_;
  bool host_idle_ = true;       // the host awaits TransmitReady
  bool host_has_more_ = false;  // the host awaits ReceiveReady
  bool line_high_ = false;
  std::uint32_t baud_integer_ = 0;
  std::uint32_t baud_fraction_ = 0;
  std::uint32_t line_control_ = 0;
  std::uint32_t control_ = 0x300;  // reset value: TXE, RXE
  std::uint32_t fifo_levels_ = 0x12;
  std::uint32_t interrupt_mask_ = 0;
  std::uint32_t raw_interrupts_ = 0;
  std::uint32_t dma_control_ = 0;
  std::uint32_t irda_ = 0;
};

}  // namespace microvm
