// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/vfio.h>

#include <memory>
#include <vector>

#include "tests/fakes/fake_kernel.h"

namespace microvm::fakes {

struct FakeDmaMapping {
  std::uint64_t iova;
  std::uint64_t size;
  std::uint64_t host;
};

// What a host's IOMMU leaves to be mapped, start and last: all it can address but what is reserved.
std::vector<std::pair<std::uint64_t, std::uint64_t>> MappableIova(const FakeHost& host);

// /dev/vfio/vfio (drivers/vfio/container.c, vfio_iommu_type1.c).
class FakeContainer final : public FakeObject {
 public:
  explicit FakeContainer(FakeKernel& kernel) : kernel_(kernel) {}
  [[nodiscard]] std::string name() const override { return "container"; }
  long Ioctl(unsigned long request, void* argument) override;
  void Closing() override;

  // VFIO_GROUP_SET_CONTAINER, from the container's side.
  long Attach(bool no_iommu);
  [[nodiscard]] bool has_iommu() const { return iommu_ != 0; }
  [[nodiscard]] const std::vector<FakeDmaMapping>& dma() const { return dma_; }

 private:
  long SetIommu(unsigned long type);
  long MapDma(const vfio_iommu_type1_dma_map& map);
  long GetInfo(void* argument) const;

  FakeKernel& kernel_;
  unsigned groups_ = 0;
  bool no_iommu_ = false;
  unsigned long iommu_ = 0;
  std::vector<FakeDmaMapping> dma_;
};

// /dev/vfio/GROUP (drivers/vfio/group.c).
class FakeGroup final : public FakeObject {
 public:
  // A group opened by path; null with `error`, a negative errno, if it cannot be.
  static std::unique_ptr<FakeGroup> Open(FakeKernel& kernel, unsigned long number, bool no_iommu,
                                         long& error);
  FakeGroup(FakeKernel& kernel, unsigned number, bool no_iommu)
      : kernel_(kernel), number_(number), no_iommu_(no_iommu) {}
  [[nodiscard]] std::string name() const override { return "group " + std::to_string(number_); }
  long Ioctl(unsigned long request, void* argument) override;
  void Closing() override;
  FakeContainer*& container() { return container_; }
  [[nodiscard]] unsigned number() const { return number_; }

 private:
  long GetStatus(void* argument) const;
  long SetContainer(int fd);
  long GetDevice(const char* device);

  FakeKernel& kernel_;
  unsigned number_;
  bool no_iommu_;
  FakeContainer* container_ = nullptr;
};

// /dev/iommu (drivers/iommu/iommufd/main.c, ioas.c).
class FakeIommufd final : public FakeObject {
 public:
  explicit FakeIommufd(FakeKernel& kernel) : kernel_(kernel) {}
  [[nodiscard]] std::string name() const override { return "iommufd"; }
  long Ioctl(unsigned long request, void* argument) override;
  void Closing() override;

  [[nodiscard]] bool HasIoas(std::uint32_t id) const { return ioas_.contains(id); }
  // Of every address space.
  [[nodiscard]] std::vector<FakeDmaMapping> dma() const;

 private:
  long AllocIoas(void* argument);
  long Map(void* argument);
  long IovaRanges(void* argument);

  FakeKernel& kernel_;
  std::map<std::uint32_t, std::vector<FakeDmaMapping>> ioas_;
};

// A vfio-platform device (drivers/vfio/platform/vfio_platform_{common,irq}.c), got from a group or
// opened as a character device, which can do nothing before it is bound to an iommufd
// (drivers/vfio/device_cdev.c).
class FakeDevice final : public FakeObject {
 public:
  FakeDevice(FakeKernel& kernel, FakeGroup* group, FakeDeviceSpec spec);
  // Opened by path; null with `error`, a negative errno, if it cannot be.
  static std::unique_ptr<FakeDevice> OpenCdev(FakeKernel& kernel, unsigned long number,
                                              long& error);
  [[nodiscard]] std::string name() const override { return spec_.name; }
  long Ioctl(unsigned long request, void* argument) override;
  int MapTarget(std::size_t length, int protection, int flags, off_t& offset) override;
  ssize_t Pread(void* buffer, std::size_t length, off_t offset) override;
  ssize_t Pwrite(const void* buffer, std::size_t length, off_t offset) override;

  FakeGroup*& group() { return group_; }
  FakeIommufd*& iommufd() { return iommufd_; }
  [[nodiscard]] const FakeDeviceSpec& spec() const { return spec_; }
  // Whether an interrupt may come: it has a trigger and is not masked.
  [[nodiscard]] bool armed() const;
  [[nodiscard]] bool Uses(int eventfd) const;
  void Raise(unsigned index);
  void Lower(unsigned index) { irqs_.at(index).line_high = false; }

 private:
  struct Irq {
    int trigger = -1;
    int unmask = -1;
    bool masked = false;
    bool line_high = false;
  };

  long Bind(void* argument);
  long Attach(void* argument);
  long GetInfo(void* argument) const;
  long GetRegionInfo(void* argument) const;
  long GetIrqInfo(void* argument) const;
  long SetIrqs(const std::byte* argument);
  long SetMask(Irq& irq, const vfio_irq_set& set, int eventfd);
  long SetTrigger(Irq& irq, const vfio_irq_set& set, int eventfd);
  void Deliver(unsigned index);
  void Handle(unsigned index);
  ssize_t Transfer(std::size_t length, off_t& offset, bool write, int& memory) const;

  FakeKernel& kernel_;
  FakeGroup* group_;                // null: a character device
  FakeIommufd* iommufd_ = nullptr;  // what that is bound to
  bool bound_ = false;
  bool attached_ = false;
  FakeDeviceSpec spec_;
  std::vector<std::unique_ptr<RealFd>> memory_;
  std::vector<Irq> irqs_;
};

}  // namespace microvm::fakes
