// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/program_pages.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace microvm {
namespace {

// For dl_iterate_phdr(3): 1 ends it, as the first object is the program itself.
int ReleaseReadOnly(dl_phdr_info* program, std::size_t /*size*/, void* /*data*/) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int index = 0; index < program->dlpi_phnum; ++index) {
    const ElfW(Phdr)& header = program->dlpi_phdr[index];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_W) != 0) continue;
    const std::uintptr_t start = (program->dlpi_addr + header.p_vaddr) & ~(page - 1);
    const std::uintptr_t end = program->dlpi_addr + header.p_vaddr + header.p_memsz;
    // Should it fail, they stay mapped.
    // NOLINTNEXTLINE(performance-no-int-to-ptr): addresses of the program's headers are numbers
    madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
  }
  return 1;
}

}  // namespace

void ReleaseProgramPages() noexcept { dl_iterate_phdr(ReleaseReadOnly, nullptr); }

}  // namespace microvm
