// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/unified_memory.hpp"

#include "base/error.hpp"
#include "config/attribute_list.hpp"
#include "inventory/gpu_types.hpp"

namespace gpuward {

/// NVIDIA's documentation of vGPU for Compute, "Unified Virtual Memory": time-sliced vGPUs have it
/// where they have all of the GPU's framebuffer, and fractional ones do not
/// (docs.nvidia.com/ai-enterprise, infra-software/vgpu/features/uvm.html). Of vGPUs in GPU
/// instances of MIG the name does not tell whether they have all of theirs.
std::string no_unified_memory(const GpuType& type, const std::optional<unsigned>& card_mib) {
  const auto card = card_mib ? card_mib : card_memory_of_vgpu(type.name);
  if (!type.one_size || !type.memory_mib || !card || *type.memory_mib >= *card) return {};
  return "has " + std::to_string(*type.memory_mib) + " of " + std::to_string(*card) +
         " MiB, and only a vGPU with all memory of the GPU can have unified memory (enable_uvm)";
}

void require_unified_memory(const Profile& profile, const GpuType& type, const std::string& title) {
  if (!sets_unified_memory(profile.attributes)) return;
  const std::string why = no_unified_memory(type);
  if (why.empty()) return;
  throw Error(title, "type " + (type.name.empty() ? type.id : type.name) + ' ' + why,
              "change 'type' or 'set' in [profile " + profile.name + "]");
}

}  // namespace gpuward
