// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/fakes/fake_object.h"

namespace microvm::fakes {

// A descriptor of /dev/net/tun: a socket that keeps packets apart, whose other end is the host's.
class FakeTap final : public FakeObject {
 public:
  // `host`: the other end, which the object owns.
  explicit FakeTap(int host) : host_(host) {}
  [[nodiscard]] std::string name() const override { return "tap"; }
  long Ioctl(unsigned long request, void* argument) override;
  [[nodiscard]] int host() const { return host_.get(); }

 private:
  RealFd host_;
  bool is_interface_ = false;
};

}  // namespace microvm::fakes
