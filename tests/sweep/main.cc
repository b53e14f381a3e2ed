// SPDX-License-Identifier: Apache-2.0
// sweep FOLDER OUT: inspects every node with a `reg` of every .dtb below FOLDER. Writes the guest's
// trees with the nodes that could be made to OUT, each distinct node once, and prints the totals as
// a table. The exit status is 1 if anything was not as it must be.
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "arch/arm64/guest_tree.h"
#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/inspect/format.h"
#include "vmm/inspect/inspect.h"
#include "vmm/inspect/pretend_vm.h"
#include "vmm/passthrough/host_clocks.h"

namespace microvm {
namespace {

namespace fs = std::filesystem;

// Of one joint guest tree: a GICv3 has 960 SPIs.
constexpr std::size_t kMostDevices = 200;
constexpr std::size_t kMostInterrupts = 900;

struct Totals {
  std::size_t trees = 0;
  std::size_t nodes = 0;
  std::size_t made = 0;      // guest nodes
  std::size_t distinct = 0;  // of these
  std::array<std::size_t, 4> verdicts{};
  std::size_t wrong = 0;
};

std::string_view TextOf(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void Complain(Totals& totals, const std::string& where, const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", where.c_str(), what.c_str());
  ++totals.wrong;
}

class Sweep {
 public:
  explicit Sweep(fs::path out) : out_(std::move(out)) {}

  void Tree(const fs::path& path) {
    ++totals_.trees;
    const HostIndex index(std::make_shared<const DeviceTree>(ReadFile(path.string())));
    for (const DtNode& node : index.tree().AllNodes()) {
      if (node.Property("reg")) Node(index, node, path.string());
    }
    Flush();
  }

  [[nodiscard]] const Totals& totals() const { return totals_; }

 private:
  void Node(const HostIndex& index, const DtNode& node, const std::string& file) {
    const InspectInput input{std::nullopt, ReadSoundClocks(index.tree(), node, "/dev/null"),
                             ReadClocksBelow(index.tree(), node, "/dev/null")};
    const Inspection inspection = Inspect(index, node, input);
    ++totals_.nodes;
    ++totals_.verdicts.at(static_cast<std::size_t>(inspection.verdict));
    if (inspection.reasons.empty() || inspection.reasons.front().text.empty()) {
      Complain(totals_, file + ": " + inspection.node, "no reason");
    }
    if (FormatText(inspection).empty() || FormatJson(inspection).empty()) {
      Complain(totals_, file + ": " + inspection.node, "nothing to show");
    }
    if (inspection.guest_tree.empty()) return;
    ++totals_.made;
    if (!seen_.insert(std::hash<std::string_view>()(TextOf(inspection.guest_tree))).second) return;
    ++totals_.distinct;
    DeviceFacts facts = PretendedFacts(index, inspection, input);
    if (devices_.size() == kMostDevices ||
        interrupts_ + facts.interrupts.size() > kMostInterrupts) {
      Flush();
    }
    interrupts_ += facts.interrupts.size();
    devices_.push_back(std::move(facts));
  }

  void Flush() {
    if (devices_.empty()) return;
    const std::string name = "guest-" + std::to_string(written_++) + ".dtb";
    try {
      const auto blob = BuildGuestTree(PlanPretendedVm(devices_), {});
      WriteFile((out_ / name).string(), TextOf(blob));
    } catch (const std::exception& error) {
      Complain(totals_, name + ", from " + devices_.front().node_path, FormatChain(error));
    }
    devices_.clear();
    interrupts_ = 0;
  }

  fs::path out_;
  Totals totals_;
  std::unordered_set<std::size_t> seen_;
  std::vector<DeviceFacts> devices_;
  std::size_t interrupts_ = 0;
  std::size_t written_ = 0;
};

void Print(const Totals& totals) {
  std::printf("| | nodes |\n| --- | --- |\n");
  for (std::size_t at = 0; at < totals.verdicts.size(); ++at) {
    std::printf("| %s | %zu |\n", ToString(static_cast<Verdict>(at)), totals.verdicts.at(at));
  }
  std::printf("| all nodes with a `reg`, of %zu trees | %zu |\n", totals.trees, totals.nodes);
  std::printf("| guest's nodes that could be made | %zu |\n", totals.made);
  std::printf("| distinct ones among them | %zu |\n", totals.distinct);
}

int Run(const fs::path& folder, const fs::path& out) {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".dtb")
      paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  Sweep sweep(out);
  for (const fs::path& path : paths) {
    WithContext(Error("cannot inspect " + path.string()), [&] { sweep.Tree(path); });
  }
  Print(sweep.totals());
  return sweep.totals().wrong == 0 && sweep.totals().nodes > 0 ? 0 : 1;
}

}  // namespace
}  // namespace microvm

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: sweep FOLDER OUT\n");
    return 2;
  }
  try {
    return microvm::Run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sweep: %s", microvm::FormatChain(error).c_str());
    return 1;
  }
}
