// SPDX-License-Identifier: Apache-2.0
// The program's operator new: the library's, counted by thread. A vCPU's thread shall not allocate
// while its guest runs, and --stats shows that it does not.
#include <cstdlib>
#include <new>

#include "vmm/host/allocation_count.h"

void* operator new(std::size_t size) {
  microvm::CountAllocation();
  for (;;) {
    if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

// What std::stable_sort and the like ask for: the library's own would not be this one's to free.
void* operator new(std::size_t size, const std::nothrow_t& /*unused*/) noexcept {
  microvm::CountAllocation();
  return std::malloc(size == 0 ? 1 : size);
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
