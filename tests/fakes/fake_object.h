// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace microvm::fakes {

constexpr std::uint64_t kPage = 4096;

// A descriptor that the real kernel knows, too: for its number.
inline int NewNumber() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

// What is behind one descriptor of a FakeKernel. Results are the kernel's own on the inside: not
// negative, or a negative errno. Called with the FakeKernel's lock held.
class FakeObject {
 public:
  FakeObject() = default;
  FakeObject(const FakeObject&) = delete;
  FakeObject& operator=(const FakeObject&) = delete;
  FakeObject(FakeObject&&) = delete;
  FakeObject& operator=(FakeObject&&) = delete;
  virtual ~FakeObject() = default;

  // "vm", "vcpu 0", ...
  [[nodiscard]] virtual std::string name() const = 0;
  virtual long Ioctl(unsigned long request, void* argument);
  // The descriptor and offset of the real memory behind a mapping, or a negative errno.
  virtual int MapTarget(std::size_t length, int protection, int flags, off_t& offset);
  virtual ssize_t Pread(void* buffer, std::size_t length, off_t offset);
  virtual ssize_t Pwrite(const void* buffer, std::size_t length, off_t offset);
  // The descriptor is being closed: notes what should have gone before it.
  virtual void Closing() {}
};

// The ioctl's name and what matters of its argument: "KVM_CREATE_VCPU 0".
std::string DescribeIoctl(unsigned long request, const void* argument);

// A copy of a kernel structure at `argument`.
template <typename Struct>
Struct CopyIn(const void* argument) {
  Struct value;
  std::memcpy(&value, argument, sizeof(value));
  return value;
}

template <typename Struct>
void CopyOut(void* argument, const Struct& value) {
  std::memcpy(argument, &value, sizeof(value));
}

// Owns a real descriptor that stands for memory or for a number nobody else may have.
class RealFd {
 public:
  explicit RealFd(int raw) : raw_(raw) {}
  RealFd(const RealFd&) = delete;
  RealFd& operator=(const RealFd&) = delete;
  RealFd(RealFd&&) = delete;
  RealFd& operator=(RealFd&&) = delete;
  ~RealFd();
  [[nodiscard]] int get() const { return raw_; }

 private:
  int raw_;
};

// A ring of io_uring that only keeps buffers.
class FakeRing final : public FakeObject {
 public:
  [[nodiscard]] std::string name() const override { return "io_uring"; }
};

class FakeKernel;

// /proc/self/pagemap, of the first small page of each huge page.
class FakePagemap final : public FakeObject {
 public:
  explicit FakePagemap(FakeKernel& kernel) : kernel_(kernel) {}
  [[nodiscard]] std::string name() const override { return "pagemap"; }
  ssize_t Pread(void* buffer, std::size_t length, off_t offset) override;

 private:
  FakeKernel& kernel_;
};

// Zeroed shared memory of `length` bytes; never fails in a test that can go on.
int MakeMemoryFd(std::size_t length);

}  // namespace microvm::fakes
