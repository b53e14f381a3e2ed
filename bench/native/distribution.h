// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace microvm::bench {

// Durations in ticks of a counter, and their percentiles.
struct Distribution {
  std::string name;
  std::vector<std::uint64_t> ticks;
};

// "NAME p50=… p90=… p99=… p99_9=… max=… min=… samples=… unit=ns", percentiles by nearest rank, for
// a counter of `hertz`, which is not 0. "" of a distribution without samples.
std::string Format(const Distribution& distribution, std::uint64_t hertz);

// The same of a line `latency name=… p50=… … unit=ticks` of the test guest; "" of any other line.
std::string InNanoseconds(const std::string& line, std::uint64_t hertz);

// The number behind ` key=` in a line, in decimal; 0 if there is none.
std::uint64_t NumberIn(const std::string& line, const std::string& key);

}  // namespace microvm::bench
