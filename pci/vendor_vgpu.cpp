// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/vendor_vgpu.hpp"

#include <thread>

#include "base/text.hpp"
#include "pci/vgpu_back_end.hpp"

namespace gpuward {

/// The interface that the VF has, or would have with NVIDIA's vGPU driver. The one for all hosts
/// today; of a further one a line here says which VFs have it.
static const VgpuBackEnd& back_end_of(const Root& /*root*/, const PciAddress& /*vf*/) {
  return sysfs_vgpus;
}

bool offers_vgpus(const Root& root, const PciAddress& vf) {
  return back_end_of(root, vf).is_present(root, vf);
}

std::string reason_without_vgpus(const Root& root, const PciAddress& vf) {
  return offers_vgpus(root, vf) ? "" : std::string(back_end_of(root, vf).absent);
}

std::vector<VgpuType> creatable_vgpus(const Root& root, const PciAddress& vf) {
  return back_end_of(root, vf).creatable(root, vf);
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

std::optional<std::string> current_vgpu_text(const Root& root, const PciAddress& vf) {
  return back_end_of(root, vf).current(root, vf);
}

std::optional<unsigned> current_vgpu(const Root& root, const PciAddress& vf) {
  return to_number<unsigned>(current_vgpu_text(root, vf).value_or(""));
}

std::string_view vgpu_type_word(const Root& root, const PciAddress& vf) {
  return back_end_of(root, vf).type_word;
}

std::optional<unsigned> gpu_instance_of_vgpu(const Root& root, const PciAddress& vf) {
  return back_end_of(root, vf).gpu_instance(root, vf);
}

std::span<const char* const> vgpu_attributes(const Root& root, const PciAddress& vf) {
  return back_end_of(root, vf).attributes;
}

KernelChange set_vgpu(const Root& root, const PciAddress& vf, unsigned id,
                      const WriteOptions& options, std::optional<unsigned> gpu_instance) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds pause{200}, least_time{1000};
  const auto end = Clock::now() + options.end.at_most(options.deadline);
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    const auto time = std::max(left, least_time);  // of all writes of this try
    // A last try is not to look like one that is blocked, however busy the host is.
    KernelChange change = back_end_of(root, vf).set(root, vf, id, gpu_instance,
                                                    {time, Deadline::in(time), options.on_start});
    if (change.failure.empty() || change.blocked || Clock::now() + pause >= end) return change;
    std::this_thread::sleep_for(pause);
  }
}

KernelChange clear_vgpu_parameters(const Root& root, const PciAddress& vf,
                                   const WriteOptions& options) {
  return back_end_of(root, vf).clear_parameters(root, vf, options);
}

}  // namespace gpuward
