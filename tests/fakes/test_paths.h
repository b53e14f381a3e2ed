// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace microvm::fakes {

// Where this checkout and its build are.
extern const char* const kTestTrees;    // device trees compiled from tests/data
extern const char* const kTestData;     // tests/data
extern const char* const kTestSources;  // the checkout
extern const char* const kTestDtc;      // dtc

}  // namespace microvm::fakes
