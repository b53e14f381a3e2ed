// SPDX-License-Identifier: Apache-2.0
//
// interrupt_threads batch|other WORD...: waits until each word is in the name of a thread of an
// interrupt, and has these threads SCHED_BATCH (woken, they do not preempt what runs) or
// SCHED_OTHER.
#include <sched.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace {

// The thread's number if the entry of /proc is that of such a thread, else 0.
pid_t Thread(const std::filesystem::path& entry, std::string_view word) {
  const std::string number = entry.filename();
  pid_t pid = 0;
  std::from_chars(number.data(), number.data() + number.size(), pid);
  std::string name;
  if (pid == 0 || !std::getline(std::ifstream(entry / "comm"), name)) return 0;
  return name.starts_with("irq/") && name.find(word) != std::string::npos ? pid : 0;
}

// How many threads have had the policy since the last call. One that has just been made makes
// itself SCHED_FIFO when it first runs (kernel/irq/manage.c: irq_thread).
int SetPolicy(std::string_view word, int policy) {
  constexpr sched_param kNoPriority{};
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = Thread(entry.path(), word);
    if (pid == 0) continue;
    if (sched_getscheduler(pid) == policy) ++count;
    sched_setscheduler(pid, policy, &kNoPriority);
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kAttempts = 100;
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name != "batch" && name != "other") return 2;
  const int policy = name == "batch" ? SCHED_BATCH : SCHED_OTHER;
  for (int word = 2; word < argc; ++word) {
    int attempt = 0;
    while (SetPolicy(argv[word], policy) == 0) {
      if (++attempt == kAttempts) {
        std::fprintf(stderr, "interrupt_threads: no interrupt has a thread named '%s'\n",
                     argv[word]);
        return 1;
      }
      usleep(100'000);
    }
  }
}
