// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/types.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/gpu_types.hpp"
#include "kinds/kind.hpp"
#include "kinds/type_names.hpp"
#include "mdev/parent.hpp"
#include "pci/vendor_vgpu.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

bool is_counted(const std::vector<std::string>* counted, const GpuType& type) {
  return !counted || std::any_of(counted->begin(), counted->end(), [&](const std::string& word) {
    return word == type.id || (traits_of(type.use).has_named_types && word == type.name);
  });
}

GpuType with_size(GpuType type) {
  add_size(type);
  return type;
}

/// The vGPU that a VF has; nothing also where its driver refuses to be read.
static std::optional<unsigned> readable_vgpu(const Root& root, const PciAddress& vf) try {
  return current_vgpu(root, vf);
} catch (const SystemError&) {
  return {};
}

ClaimedType claimed_type(const Root& root, const ClaimedDevice& device) {
  if (!is_by_hand(device) || !traits_of(device.use).is_vf) return {device.use, device.type};
  const auto vf = find_pci_device(root, device.address);
  const Use use = vf ? use_of_device(root, *vf) : device.use;
  if (!is_typed_vf(use)) return {device.use, device.type};
  const auto vgpu = readable_vgpu(root, device.address);
  return {use, vgpu == 0U ? "-" : vgpu ? std::to_string(*vgpu) : ""};
}

static std::vector<GpuType> read_types(const Root& root, const Gpu& gpu,
                                       const std::vector<std::string>* counted, bool of_one_part,
                                       std::optional<Use> configured = {},
                                       std::string* unknown = nullptr) {
  for (const Use use : kinds_of(gpu)) {
    const Kind& kind = kind_of(use);
    if (!kind.types || use != configured.value_or(use)) continue;
    std::string why;
    auto types = kind.types(root, gpu, counted, of_one_part, why);
    if (unknown) *unknown = why;
    if (!types.empty() || !why.empty()) return types;
  }
  return {};
}

std::vector<GpuType> types_of(const Root& root, const Gpu& gpu,
                              const std::vector<std::string>* counted) {
  return read_types(root, gpu, counted, false);
}

/// A program that does not answer is no reason to take the GPU for another kind.
std::vector<GpuType> types_of(const Root& root, const Config& config, const Gpu& gpu,
                              const std::vector<std::string>* counted, std::string* unknown) {
  auto configured = settings_of(config, gpu.parent).use;
  if (configured && !traits_of(*configured).needs_program) configured.reset();
  return read_types(root, gpu, counted, false, configured, unknown);
}

std::vector<GpuType> catalogue_of(const Root& root, const Gpu& gpu) {
  const std::vector<std::string> none;
  return read_types(root, gpu, &none, true);
}

GpuType type_of(const Root& root, const ClaimedDevice& device, const std::string& id) {
  const GpuInstance instance{.instance = {device.instance, device.parent, id}, .use = device.use};
  GpuType type{.id = id, .name = TypeNames(root).of(instance), .use = device.use};
  if (is_mediated(device.use)) type.description = type_description(root, device.parent, id);
  add_size(type);
  if (device.vgpu.empty()) return type;
  // The guest sees the vGPU, whose name other VFs may list.
  type.name = TypeNames(root).of(
      unclaimed_vgpu(device.parent, to_number<unsigned>(device.vgpu).value_or(0)));
  if (device.memory_mib) type.memory_mib = device.memory_mib;
  type.is_counted_by_card = true;
  return type;
}

std::vector<GpuType> types_of_card(const Root& root, const ClaimedDevice& device) {
  Gpu card;
  if (is_mediated(device.use)) {
    card.mdev_parents = {device.parent};
  } else if (const auto pf = parse_pci_address(device.parent)) {
    card.vfs = virtual_functions(root, *pf);
    card.offers_vgpus = true;
  }
  return catalogue_of(root, card);
}

std::string TypeNames::of(const GpuInstance& instance) {
  const Kind& kind = kind_of(instance.use);
  return kind.type_name ? kind.type_name(*this, instance) : std::string();
}

}  // namespace gpuward
