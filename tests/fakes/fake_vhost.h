// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "devices/virtio/vhost_uapi.h"
#include "tests/fakes/fake_kernel.h"

namespace microvm::fakes {

// /dev/vhost-vsock or /dev/vhost-net (drivers/vhost/vhost.c, vsock.c, net.c). It serves nothing,
// but remembers all it was told.
class FakeVhost final : public FakeObject {
 public:
  FakeVhost(FakeKernel& kernel, std::string name) : kernel_(kernel), name_(std::move(name)) {}
  [[nodiscard]] std::string name() const override { return name_; }
  long Ioctl(unsigned long request, void* argument) override;
  void Closing() override;

  [[nodiscard]] const VhostState& state() const { return state_; }
  // Whether it may write to this memory of the host's.
  [[nodiscard]] bool Uses(std::uint64_t start, std::uint64_t end) const;
  [[nodiscard]] bool Signals(int eventfd) const;

 private:
  long SetMemory(const void* table);
  long SetQueue(unsigned long request, void* argument);
  long SetSize(VhostQueue& queue, std::uint32_t size) const;
  static long SetPlaces(VhostQueue& queue, const vhost_vring_addr& places);
  long SetFile(int& eventfd, const vhost_vring_file& file) const;
  long SetCid(std::uint64_t cid);
  long SetRunning(int running);
  long SetBackend(const vhost_vring_file& backend);
  long Begin(const VhostQueue& queue);
  void NoteEnd();
  [[nodiscard]] bool IsShared(std::uint64_t start, std::uint64_t length) const;

  FakeKernel& kernel_;
  std::string name_;
  VhostState state_;
};

}  // namespace microvm::fakes
