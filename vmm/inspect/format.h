// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmm/inspect/inspection.h"

namespace microvm {

// For people: a block of lines.
std::string FormatText(const Inspection& inspection);
// For programs: one JSON object, whose keys README.md of this folder lists; no newline at its end.
std::string FormatJson(const Inspection& inspection);

// A row of `device list`, and the row above all: name, verdict, driver and group (of a live host
// only), compatible.
std::string FormatRow(const Inspection& inspection);
std::string FormatRowTitles(bool live);

}  // namespace microvm
