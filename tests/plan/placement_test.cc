// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"

namespace microvm {
namespace {

using fakes::PlanInput;

// A plan with the CAN controller, then the timer (two regions, two interrupts), `change`d.
template <typename Change>
PlanInput Changed(Change&& change) {
  PlanInput input;
  input.devices = {fakes::CanFacts(), fakes::TimerFacts()};
  input.devices[1].config.places = {{"address", "vm.toml:9:11: platform.address"},
                                    {"spi", "vm.toml:10:7: platform.spi"}};
  change(input.devices[0].config, input.devices[1].config);
  return input;
}

TEST_CASE("regions stand where the configuration says, and the others around them") {
  const VmPlan plan = Changed([](auto&, auto& timer) { timer.addresses = {0x1400'0000}; }).Make();
  CHECK(plan.devices[0].regions[0].guest.start().value == 0x1401'0000);
  CHECK(plan.devices[1].regions[0].guest.start().value == 0x1400'0000);
  CHECK(plan.devices[1].regions[1].guest.start().value == 0x1402'0000);
  CHECK(plan.devices[1].node.name == "timer@14000000");
}

TEST_CASE("a region may stand outside the windows, above RAM and below the GIC") {
  const VmPlan plan = Changed([](auto&, auto& timer) {
                        timer.addresses = {0x0700'0000, std::uint64_t{1} << 36};
                      }).Make();
  CHECK(plan.devices[1].regions[0].guest.start().value == 0x0700'0000);
  CHECK(plan.ipa_bits == 37);
}

TEST_CASE("interrupts have the SPIs that the configuration says, and the others the rest") {
  const VmPlan plan = Changed([](auto&, auto& timer) { timer.spis = {1, 100}; }).Make();
  CHECK(plan.devices[0].interrupts[0].spi == Spi{2});
  CHECK(plan.devices[1].interrupts[0].spi == Spi{1});
  CHECK(plan.devices[1].interrupts[1].spi == Spi{100});
  CHECK(plan.spi_count == 128);
}

TEST_CASE("an address or SPI that cannot be is an error at its place in the file") {
  const auto complaint = [](std::vector<std::uint64_t> addresses, std::vector<std::uint32_t> spis) {
    return fakes::ChainOf([&] {
      return Changed([&](auto& can, auto& timer) {
               can.addresses = {0x2000'0000};
               can.spis = {40};
               timer.addresses = addresses;
               timer.spis = spis;
             })
          .Make();
    });
  };
  const std::string address = "vm.toml:9:11: platform.address: ";
  CHECK(complaint({0x1400'0100}, {}) == address + "0x14000100 is no multiple of 0x1000\n");
  CHECK(complaint({0x4000'0000}, {}) ==
        address +
            "ff120000.timer region 0 at 0x40000000-0x400000ff overlaps the guest's RAM at "
            "0x40000000-0x47ffffff\n");
  CHECK(complaint({0x0800'f000}, {}) ==
        address +
            "ff120000.timer region 0 at 0x800f000-0x800f0ff overlaps the GIC's distributor "
            "at 0x8000000-0x800ffff\n");
  CHECK(complaint({0x0900'0000}, {}) ==
        address +
            "ff120000.timer region 0 at 0x9000000-0x90000ff overlaps the console at "
            "0x9000000-0x9000fff\n");
  CHECK(complaint({0x1000'0000, 0x2100'0000}, {}) ==
        address +
            "ff120000.timer region 0 at 0x10000000-0x100000ff overlaps the GIC's "
            "redistributors at 0x10000000-0x1001ffff\n");
  CHECK(complaint({0x1400'0000, 0x2000'5000}, {}) ==
        address +
            "ff120000.timer region 1 at 0x20005000-0x20005fff overlaps ff070000.canfd region "
            "0 at 0x20000000-0x20005fff\n");
  CHECK(complaint({std::uint64_t{1} << 40}, {}) ==
        address +
            "0x10000000000-0x100000000ff is beyond the 40 address bits this host gives a "
            "guest\n");
  CHECK(complaint({0x1400'0000, UINT64_MAX - 0xfff}, {}) ==
        address +
            "0xfffffffffffff000-0xffffffffffffffff is beyond the 40 address bits this host "
            "gives a guest\n");
  CHECK(complaint({0x1500'0000, 0x1600'0000, 0x1700'0000}, {}) ==
        address + "3 addresses for 2 regions\n");
  const std::string spi = "vm.toml:10:7: platform.spi: ";
  CHECK(complaint({}, {0}) == spi + "SPI 0 of ff120000.timer is the console's\n");
  CHECK(complaint({}, {40}) == spi + "SPI 40 of ff120000.timer is ff070000.canfd's\n");
  CHECK(complaint({}, {5, 5}) == spi + "SPI 5 of ff120000.timer is ff120000.timer's\n");
  CHECK(complaint({}, {960}) ==
        spi + "SPI 960 of ff120000.timer: a guest's GIC has 960 SPIs, from 0\n");
  CHECK(complaint({}, {1, 2, 3}) == spi + "3 SPIs for 2 interrupts\n");
  // All of them at once.
  CHECK(complaint({1, 2}, {0, 40}) == address + "0x1 is no multiple of 0x1000\n" + address +
                                          "0x2 is no multiple of 0x1000\n" + spi +
                                          "SPI 0 of ff120000.timer is the console's\n" + spi +
                                          "SPI 40 of ff120000.timer is ff070000.canfd's\n");
}

TEST_CASE("a region whose size wraps around is an error, not a crash") {
  PlanInput input;
  DeviceFacts facts = fakes::CanFacts();
  facts.regions = {{UINT64_MAX, true}};
  facts.config.addresses = {0x1400'0000};
  input.devices = {facts};
  CHECK(fakes::ChainOf([&] { return input.Make(); }) ==
        "platform.address: no such address range: 0x14000000 + 0xffffffffffffffff\n");
}

TEST_CASE("labels of devices are their names, as labels are written") {
  CHECK(DeviceLabel("ff070000.canfd") == "canfd_ff070000");
  CHECK(DeviceLabel("9010000.pl031") == "pl031_9010000");
  CHECK(DeviceLabel("regulator-switch") == "regulator_switch");
  CHECK(DeviceLabel("8250") == "_8250");
}

}  // namespace
}  // namespace microvm
