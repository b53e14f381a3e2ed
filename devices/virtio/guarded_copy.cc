// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/guarded_copy.h"

#include <csetjmp>
#include <csignal>
#include <cstring>

namespace microvm {
namespace {

// Where a thread goes on whose copying meets a page that is not there; null: it copies nothing.
thread_local sigjmp_buf* way_out = nullptr;

struct sigaction before {};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

void OnBusError(int signal) {
  // Nothing between here and there has a destructor.
  if (way_out != nullptr) siglongjmp(*way_out, 1);  // NOLINT(cert-err52-cpp)
  // Not ours: the access is tried again, and what was there before called.
  sigaction(signal, &before, nullptr);
}

bool Install() {
  struct sigaction action {};
  action.sa_handler = OnBusError;
  action.sa_flags = SA_NODEFER;  // it is left without a return
  return sigaction(SIGBUS, &action, &before) == 0;
}

// Not memcpy: it may use SVE, and the kernel gives those registers up in each system call, so that
// the next use of one is trapped.
void CopyPiece(std::byte* to, const std::byte* from, std::size_t length) {
  constexpr std::size_t kBlock = 128;
  for (; length >= kBlock; length -= kBlock, to += kBlock, from += kBlock) {
    std::memcpy(to, from, kBlock);
  }
  std::memcpy(to, from, length);
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
  way_out = &end;
  const bool whole = sigsetjmp(end, 0) == 0;  // NOLINT(cert-err52-cpp)
  if (whole) CopyPieces(pieces, from);
  way_out = nullptr;
  return whole;
}

}  // namespace microvm
