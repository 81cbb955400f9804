// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/device_memory.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "inventory/gpu_types.hpp"
#include "mdev/parent.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

static std::optional<unsigned> memory_of_type(GpuType type) {
  add_size(type);
  return type.memory_mib;
}

/// Names are listed by VFs without a vGPU, of types that can be created: here by the VF itself, as
/// its vGPU is still to be created, or by another one of the card.
static std::optional<unsigned> memory_of_vgpu(const Root& root, const ClaimedDevice& device,
                                              const std::string& type) {
  std::vector<PciAddress> vfs{device.address};
  if (const auto pf = parse_pci_address(device.parent)) {
    const auto others = virtual_functions(root, *pf);
    vfs.insert(vfs.end(), others.begin(), others.end());
  }
  for (const PciAddress& vf : vfs)
    for (const VgpuType& vgpu : creatable_vgpus(root, vf))
      if (is_called(vgpu, type))
        return memory_of_type({.id = std::to_string(vgpu.id), .name = vgpu.name});
  return {};
}

/// amdgpu reports it while it is bound to the card (mem_info_vram_total, drivers/gpu/drm/amd).
static std::optional<unsigned> memory_of_whole(const Root& root, const PciAddress& gpu) {
  const auto bytes = to_number<uint64_t>(
      read_optional_attribute(pci_path(root, gpu) + "/mem_info_vram_total").value_or(""));
  const auto mib = static_cast<unsigned>(bytes.value_or(0) >> 20);
  return mib ? std::optional(mib) : std::nullopt;
}

std::optional<unsigned> memory_of_device(const Root& root, const ClaimedDevice& device,
                                         const std::string& type) {
  switch (device.use) {
    case Use::mdev:
      if (device.parent.empty() || type.empty()) return {};
      return memory_of_type({.id = type,
                             .name = type_name(root, device.parent, type),
                             .description = type_description(root, device.parent, type)});
    case Use::vendor_vf:
      return memory_of_vgpu(root, device, type);
    case Use::whole:
      return memory_of_whole(root, device.address);
    case Use::vf:
    case Use::off:
      break;
  }
  return {};
}

std::vector<Claim> with_memory(const Root& root, std::vector<Claim> claims) {
  for (Claim& claim : claims)
    for (ClaimedDevice& device : claim.devices)
      if (!device.memory_mib) device.memory_mib = memory_of_device(root, device, device.type);
  return claims;
}

}  // namespace gpuward
