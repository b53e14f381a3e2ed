// SPDX-License-Identifier: Apache-2.0
//
// The first process of a guest that says so and powers off at once.
#include <sys/reboot.h>
#include <unistd.h>

#include <cstdio>

int main() {
  std::puts("guest: powering off");
  std::fflush(stdout);
  return reboot(RB_POWER_OFF);
}
