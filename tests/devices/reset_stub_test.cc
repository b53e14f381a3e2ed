// SPDX-License-Identifier: Apache-2.0
#include "devices/reset_stub.h"

#include <doctest/doctest.h>

#include <array>

namespace microvm {
namespace {

TEST_CASE("the stub's registers read as zero whatever is written") {
  ResetStub stub("mac resets");
  for (const std::size_t width : {1U, 2U, 4U, 8U}) {
    std::array<std::byte, 8> bytes{};
    bytes.fill(std::byte{0xff});
    CHECK(stub.Write(0, std::span(bytes).first(width)) == MmioResult::kOk);
    CHECK(stub.Read(0, std::span(bytes).first(width)) == MmioResult::kOk);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      CHECK(bytes[at] == (at < width ? std::byte{0} : std::byte{0xff}));
    }
  }
  CHECK(stub.name() == "mac resets");
}

}  // namespace
}  // namespace microvm
