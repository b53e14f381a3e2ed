// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "vmm/host/error.h"
#include "vmm/plan/device_facts.h"

namespace microvm {

// Runs a step whose failure is the fault of a key of the device's [[platform]] table: an Error gets
// the key's place in the file.
template <typename Step>
void AtKey(const DeviceFacts& facts, const std::string& key, Step&& step) {
  try {
    std::forward<Step>(step)();
  } catch (const Error& error) {
    const auto place = facts.config.places.find(key);
    throw Error((place == facts.config.places.end() ? "platform." + key : place->second) + ": " +
                    error.what(),
                error.remedy());
  }
}

}  // namespace microvm
