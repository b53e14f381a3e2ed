// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vmm/host/fd.h"

namespace microvm {

// What stands before each packet of a tap and of a virtio queue (virtio 1.2, 5.1.6: struct
// virtio_net_hdr): the same for both, so that packets go from one to the other as they are.
inline constexpr std::size_t kNetHeaderBytes = 12;

struct TapOptions {
  std::string name = {};              // of the interface; empty: it is passed as descriptors
  std::vector<int> descriptors = {};  // one for each queue
  std::uint16_t queues = 1;
};

// A tap: a network interface of the host's whose other end is this program
// (Documentation/networking/tuntap.rst; linux/if_tun.h). Reads and writes of its descriptors are of
// one packet each, behind its header, and do not block. No thread may call it while another does.
class Tap {
 public:
  // Opens the interface, and makes it if there is none of that name; one that was made is gone with
  // the process. Throws a chain with the remedy.
  Tap(HostKernel& kernel, const TapOptions& options);

  [[nodiscard]] std::size_t queues() const { return queues_.size(); }
  [[nodiscard]] const Fd& queue(std::size_t index) const { return queues_[index]; }

  // Whether it takes and gives UDP in segments (Linux 6.2).
  [[nodiscard]] bool segments_udp() const { return segments_udp_; }
  // What packets from it may be like: TUN_F_* of TUNSETOFFLOAD. False if the host refuses.
  bool SetOffloads(unsigned offloads) noexcept;
  // Forgets packets that wait: they may be of a kind that was taken then, and is not now.
  void Discard() noexcept;
  // The host's packets come by the first of its queues. False if the host refuses.
  bool UseQueues(std::size_t count) noexcept;

 private:
  void OpenNamed(HostKernel& kernel, const TapOptions& options);
  void TakePassed(HostKernel& kernel, const TapOptions& options);

  std::vector<Fd> queues_;
  std::size_t used_ = 0;
  bool segments_udp_ = false;
};

}  // namespace microvm
