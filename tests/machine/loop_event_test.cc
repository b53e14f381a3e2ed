// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/loop_event.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"

namespace microvm {
namespace {

using fakes::FakeKernel;

TEST_CASE("a signal from another thread runs the handler on the loop") {
  FakeKernel kernel;
  EventLoop loop;
  std::thread::id ran_on;
  LoopEvent event(loop, kernel, [&] { ran_on = std::this_thread::get_id(); });
  std::thread other([&] { event.Signal(); });
  while (ran_on == std::thread::id()) loop.run_one();
  other.join();
  CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("signals that come together are one call, and none is lost") {
  FakeKernel kernel;
  EventLoop loop;
  int calls = 0;
  LoopEvent event(loop, kernel, [&] { ++calls; });
  event.Signal();
  event.Signal();
  while (calls == 0) loop.run_one();
  loop.poll();
  CHECK(calls == 1);
  event.Signal();
  while (calls == 1) loop.run_one();
  CHECK(calls == 2);
}

TEST_CASE("signals from several threads at once arrive until the last") {
  FakeKernel kernel;
  EventLoop loop;
  std::atomic<int> sent{0};
  int seen = 0;
  LoopEvent event(loop, kernel, [&] { seen = sent; });
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int count = 0; count < 200; ++count) {
        ++sent;
        event.Signal();
      }
    });
  }
  while (seen < 800) loop.run_one();
  for (std::thread& thread : threads) thread.join();
  CHECK(seen == 800);
}

TEST_CASE("an event that ends leaves neither eventfd nor duplicate behind") {
  FakeKernel kernel;
  EventLoop loop;
  {
    const LoopEvent event(loop, kernel, [] {});
  }
  CHECK(kernel.Live().empty());
}

TEST_CASE("an event without a descriptor for it is an error by its name") {
  FakeKernel kernel;
  kernel.FailMatching("eventfd", EMFILE);
  EventLoop loop;
  CHECK(fakes::ChainOf([&] {
          LoopEvent(loop, kernel, [] {});
        }).starts_with("eventfd: Too many open files\n"));
}

}  // namespace
}  // namespace microvm
