// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/guarded_copy.h"

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstring>

namespace microvm {
namespace {

// Where a thread goes on whose copying meets a page that is not there; null: it copies nothing.
thread_local sigjmp_buf* way_out = nullptr;

struct sigaction before {};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

// By an access of the thread's own, not by another process or for memory it has not touched.
bool IsAccess(int code) {
  return code == BUS_ADRERR || code == BUS_OBJERR || code == BUS_MCEERR_AR;
}

void OnBusError(int signal, siginfo_t* info, void* /*context*/) {
  const bool is_access = IsAccess(info->si_code);
  // Nothing between here and there has a destructor.
  if (is_access && way_out != nullptr) siglongjmp(*way_out, 1);  // NOLINT(cert-err52-cpp)
  // Not ours, but what was there before's: an access is tried again, other signals are not.
  sigaction(signal, &before, nullptr);
  if (!is_access) raise(signal);
}

bool Install() {
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;  // it is left without a return
  return sigaction(SIGBUS, &action, &before) == 0;
}

// Not by a call of memcpy, if it can be helped: that may use SVE, whose registers the kernel gives
// up in each system call, so that the next use of one is trapped.
void CopyPiece(std::byte* to, const std::byte* from, std::size_t length) {
  constexpr std::size_t kBlock = 128;
  for (; length >= kBlock; length -= kBlock, to += kBlock, from += kBlock) {
    std::memcpy(to, from, kBlock);
  }
  if (length > 0) std::memcpy(to, from, length);
}

// A call of its own: what it changes is not the caller's, who may be come back to.
[[gnu::noinline]] void CopyPieces(std::span<const iovec> pieces, const std::byte* from) {
  for (const iovec& piece : pieces) {
    CopyPiece(static_cast<std::byte*>(piece.iov_base), from, piece.iov_len);
    from += piece.iov_len;
  }
}

}  // namespace

bool CopyGuarded(std::span<const iovec> pieces, const std::byte* from) noexcept {
  static const bool installed = Install();
  if (!installed) return false;
  sigjmp_buf end;
  if (sigsetjmp(end, 0) != 0) {  // NOLINT(cert-err52-cpp)
    way_out = nullptr;
    return false;
  }
  way_out = &end;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  CopyPieces(pieces, from);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  way_out = nullptr;
  return true;
}

}  // namespace microvm
