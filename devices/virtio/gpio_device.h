// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "devices/gpio/gpio_pin.h"
#include "devices/virtio/virtio_device.h"

namespace microvm {

// A GPIO controller (virtio 1.2, 5.18) made of lines of the host's. A request for what a line does
// not allow, or the host does not do, is answered with VIRTIO_GPIO_STATUS_ERR. Level interrupts are
// made of the line's edges and its value.
class GpioDevice final : public VirtioDevice {
 public:
  struct Line {
    GpioPin pin;
    std::string name;  // may be empty
  };

  // At most kVirtioGpioLines.
  explicit GpioDevice(std::vector<Line> lines);

  // The host has events for a line, which NextEnded will take. Any thread.
  void EventsReady(std::size_t line) noexcept;
  // There will be no more: the host has removed the line's chip. Any thread.
  [[nodiscard]] bool IsGone(std::size_t line) const noexcept;

  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  void Start(std::uint64_t features) noexcept override;
  Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept override;
  std::optional<EndedRequest> NextEnded(bool wait) noexcept override;
  void Forget(std::uint16_t queue) noexcept override;

  [[nodiscard]] VirtioTraffic traffic() const noexcept override { return traffic_; }

 private:
  // What the driver made of a line (5.18.6).
  struct State {
    bool output_high = false;    // what it drives, or will when it becomes an output
    std::uint8_t irq_type = 0;   // 0: disabled
    bool latched = false;        // an edge that came while the interrupt was masked
    std::byte* event = nullptr;  // status of the buffer that unmasks it; null: masked
    std::uint16_t head = 0;      // of that buffer, also while its line is in ended_
  };
  struct Request;
  struct Reply;

  Handled Answer(DescriptorChain& chain) noexcept;
  Handled SendNames(ScatterList& writable) noexcept;
  [[nodiscard]] Reply Serve(const Request& request) noexcept;
  [[nodiscard]] bool SetDirection(std::size_t line, std::uint32_t direction) noexcept;
  [[nodiscard]] bool SetValue(std::size_t line, std::uint32_t value) noexcept;
  [[nodiscard]] bool SetIrqType(std::size_t line, std::uint32_t type) noexcept;
  void DisableIrq(std::size_t line) noexcept;
  Handled Unmask(DescriptorChain& chain) noexcept;
  void TakeEvents(std::size_t line) noexcept;
  [[nodiscard]] bool IsAtLevel(std::size_t line) noexcept;
  void End(std::size_t line, std::uint8_t status) noexcept;

  std::vector<Line> lines_;
  std::vector<State> states_;  // as many
  std::string names_;          // each with its NUL; empty: no line has one
  std::array<std::byte, 8> config_{};
  VirtioProfile profile_;
  bool has_irq_ = false;                 // agreed on
  std::uint64_t ended_ = 0;              // lines whose event buffers go back to the driver
  std::atomic<std::uint64_t> ready_{0};  // lines that the host has events for
  std::atomic<std::uint64_t> gone_{0};
  VirtioTraffic traffic_;
};

}  // namespace microvm
