// SPDX-License-Identifier: Apache-2.0
#include "vmm/passthrough/host_clocks.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"

namespace microvm {
namespace {

using Rates = std::vector<std::optional<std::uint64_t>>;

class Clocks {
 public:
  [[nodiscard]] std::vector<ClockFacts> Of(const std::string& node) const {
    return ReadClocks(tree_, *tree_.Find(node), host_.root());
  }
  [[nodiscard]] Rates RatesOf(const std::string& node) const {
    Rates rates;
    for (const ClockFacts& clock : Of(node)) rates.push_back(clock.rate_hz);
    return rates;
  }
  [[nodiscard]] const fakes::HostTree& host() const { return host_; }

 private:
  fakes::HostTree host_;
  DeviceTree tree_{fakes::TreeBlob("clocks")};
};

TEST_CASE("rates come from fixed clocks and chains of fixed factors") {
  const Rates rates = Clocks().RatesOf("/all");
  REQUIRE(rates.size() == 9);
  CHECK(rates[0] == 100'000'000U);  // fixed
  CHECK(rates[2] == 66'666'666U);   // two thirds of it
  CHECK(rates[3] == 22'222'222U);   // a third of that
  CHECK(rates[4] == 100'000'000U);  // neither factor given
}

TEST_CASE("a rate that the tree does not give is not known") {
  const Rates rates = Clocks().RatesOf("/all");
  CHECK_FALSE(rates[1].has_value());  // a fixed clock without a frequency
  CHECK_FALSE(rates[5].has_value());  // divided by zero
  CHECK_FALSE(rates[6].has_value());  // of no parent
  CHECK_FALSE(rates[7].has_value());  // of a parent that is not connected
  CHECK_FALSE(rates[8].has_value());  // of itself
  CHECK(Clocks().Of("/all")[8].circular);
}

TEST_CASE("clocks have the names of clock-names, as far as it goes, and their providers") {
  const auto clocks = Clocks().Of("/all");
  CHECK(clocks[0].name == "fixed");
  CHECK(clocks[2].name == "third");
  CHECK(clocks[3].name.empty());
  CHECK(clocks[0].provider == "/fixed");
  CHECK(clocks[8].provider == "/loop-a");
}

TEST_CASE("the rate of any other clock is what the clock framework shows for its name") {
  const Clocks clocks;
  clocks.host().SetClockRate("pll_cpu", "1200000000\n");
  clocks.host().SetClockRate("pll_bus", "33333\n");
  clocks.host().SetClockRate("nine", "9\n");
  const Rates rates = clocks.RatesOf("/named");
  CHECK(rates[0] == 1'200'000'000U);
  CHECK(rates[1] == 33'333U);
  CHECK(rates[4] == 9U);              // by clock-indices
  CHECK_FALSE(rates[3].has_value());  // an output that has no name
  CHECK_FALSE(rates[5].has_value());  // an index that is not listed
  CHECK_FALSE(rates[6].has_value());  // a provider without names
  CHECK_FALSE(rates[7].has_value());  // a provider whose names are not for two cells
}

TEST_CASE("a clock's name cannot lead out of the folder of clocks") {
  const Clocks clocks;
  clocks.host().Write("sys/kernel/debug/secret/clk_rate", "5\n");
  CHECK_FALSE(clocks.RatesOf("/named")[2].has_value());
}

TEST_CASE("without debugfs no rate but the fixed ones is known") {
  CHECK(Clocks().RatesOf("/named") == Rates(8));
}

TEST_CASE("a rate of zero or of no number is not known") {
  const Clocks clocks;
  clocks.host().SetClockRate("pll_cpu", "0\n");
  clocks.host().SetClockRate("pll_bus", "fast\n");
  CHECK_FALSE(clocks.RatesOf("/named")[0].has_value());
  CHECK_FALSE(clocks.RatesOf("/named")[1].has_value());
}

TEST_CASE("an entry that is not connected keeps its place") {
  const auto clocks = Clocks().Of("/empty-entry");
  REQUIRE(clocks.size() == 2);
  CHECK(clocks[0].name == "none");
  CHECK(clocks[0].provider.empty());
  CHECK_FALSE(clocks[0].rate_hz.has_value());
  CHECK(clocks[1].rate_hz == 100'000'000U);
}

TEST_CASE("a node without clocks has none, a wrong list is an error") {
  CHECK(Clocks().Of("/none").empty());
  CHECK(fakes::ChainOf([] { return Clocks().Of("/dangling"); }) ==
        "/dangling: clocks: no node has phandle 0xdead\n");
}

TEST_CASE("the clocks that a driver has are found in clk_summary, whoever else has them") {
  const fakes::HostTree host;
  CHECK(ReadDriverRates(host.root()).empty());
  host.Write(
      "sys/kernel/debug/clk/clk_summary",
      "                                 enable  prepare  protect      duty  hardware\n"
      "   clock     count    count    count   rate  accuracy phase  cycle  enable  consumer\n"
      "------------------------------------------------------------------------------\n"
      " pll         2  2  0  1200000000  0  -----  50000   ?   deviceless   of_clk_get\n"
      "    gem0_tx  1  1  0  125000000   0  -----  50000   Y   ff0d0000.ethernet   tx_clk\n"
      "                                                        ff0d0000.ethernet   rx_clk\n"
      "                                                        ff0e0000.ethernet   tsu\n"
      "    lpd      9  9  0  100000000   0  -----  50000   Y   ff0c0000.ethernet   pclk\n"
      "                                    ff0d0000.ethernet   no_connection_id\n"
      "    off      0  0  0  0           0  -----  50000   N   ff0d0000.ethernet   none\n");
  CHECK(ReadDriverRates(host.root()).at("ff0d0000.ethernet") ==
        std::map<std::string, std::uint64_t>{
            {"", 100'000'000}, {"rx_clk", 125'000'000}, {"tx_clk", 125'000'000}});
}

}  // namespace
}  // namespace microvm
