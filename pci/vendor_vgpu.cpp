// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/vendor_vgpu.hpp"

#include <thread>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/kernel_write.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

static std::string current_path(const Root& root, const PciAddress& vf) {
  return pci_path(root, vf) + "/nvidia/current_vgpu_type";
}

bool offers_vgpus(const Root& root, const PciAddress& vf) {
  return exists(current_path(root, vf));
}

std::vector<VgpuType> creatable_vgpus(const Root& root, const PciAddress& vf) {
  std::vector<VgpuType> types;
  const auto text = read_attribute(pci_path(root, vf) + "/nvidia/creatable_vgpu_types");
  if (!text) return {};
  for (const std::string_view line : split(*text, '\n')) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto id = to_number<unsigned>(trim(line.substr(0, colon)));  // not the head, "ID"
    if (id && *id != 0) types.push_back({*id, std::string(trim(line.substr(colon + 1)))});
  }
  return types;
}

bool is_called(const VgpuType& type, const std::string& id_or_name) {
  return type.name == id_or_name || std::to_string(type.id) == id_or_name;
}

const VgpuType* first_fit(const std::vector<std::string>& wanted,
                          const std::vector<VgpuType>& types) {
  for (const std::string& name : wanted)
    for (const VgpuType& type : types)
      if (is_called(type, name)) return &type;
  return nullptr;
}

std::optional<unsigned> current_vgpu(const Root& root, const PciAddress& vf) {
  return to_number<unsigned>(read_attribute(current_path(root, vf)).value_or(""));
}

static KernelChange try_to_set(const Root& root, const PciAddress& vf, unsigned id,
                               const WriteOptions& options) {
  const KernelWrite write{current_path(root, vf), std::to_string(id)};
  const WriteResult result = write_in_child({&write, 1}, options).front();
  if (result.outcome == WriteResult::Outcome::blocked)
    return {"write to current_vgpu_type is " + blocked_in_kernel(result.child) +
                "; check: journalctl -k",
            result.child};
  const auto now = current_vgpu(root, vf);
  if (now == id) return {};
  if (result.outcome == WriteResult::Outcome::unknown)
    return {"process writing current_vgpu_type died; check: journalctl -k"};
  if (result.outcome == WriteResult::Outcome::failed)
    return {"driver rejected vGPU type " + std::to_string(id) + ": " + errno_text(result.code)};
  return {"driver accepted vGPU type " + std::to_string(id) + " but current_vgpu_type reads " +
          (now ? std::to_string(*now) : std::string("nothing")) + "; check: journalctl -k"};
}

KernelChange set_vgpu(const Root& root, const PciAddress& vf, unsigned id,
                      const WriteOptions& options) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds pause{200}, least_time{1000};
  const auto end = Clock::now() + options.end.at_most(options.deadline);
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    // A last try is not to look like one that is blocked, however busy the host is.
    KernelChange change =
        try_to_set(root, vf, id, {std::max(left, least_time), {}, options.on_start});
    if (change.failure.empty() || change.blocked || Clock::now() + pause >= end) return change;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace gpuward
