// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace microvm {

// The one of `known` that was most likely meant by a word that is none of them; "" if none
// resembles it. Pure.
std::string ClosestWord(std::string_view word, const std::vector<std::string>& known);

}  // namespace microvm
