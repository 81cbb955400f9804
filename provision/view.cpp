// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provision/view.hpp"

#include "base/error.hpp"
#include "base/file.hpp"
#include "kinds/types.hpp"
#include "pci/card_facts.hpp"
#include "pci/identity.hpp"
#include "state/paths.hpp"

namespace gpuward {

/// Whether it is what the configuration expects there; the view says what is not.
static bool is_expected(const Root& root, const Config& config, const Parent& device,
                        const Gpu& gpu, ProvisionView& view) {
  const Verdict verdict = check_identity(root, config, device);
  if (verdict) return true;
  view.unexpected.push_back(to_string(verdict.reason));
  const std::string why = without_remedy(verdict.reason);
  view.unexpected_parents.emplace(device.name, why);
  if (device.name == gpu.parent.name)
    for (const PciAddress& vf : gpu.vfs) view.unexpected_parents.emplace(to_string(vf), why);
  return false;
}

/// Types that the configuration has instances of.
static std::vector<std::string> configured_types(const Config& config) {
  std::vector<std::string> types;
  for (const GpuSection& section : config.gpus)
    for (const InstanceCount& count : section.instances) types.push_back(count.type);
  return types;
}

static void add_rooms(const Root& root, const Config& config, const std::vector<Gpu>& gpus,
                      ProvisionView& view) {
  const auto wanted = configured_types(config);
  if (wanted.empty()) return;
  std::map<std::string, std::vector<std::string>> present;  // types by parent
  for (const Instance& instance : view.instances) present[instance.parent].push_back(instance.type);
  for (const Gpu& gpu : gpus) {
    std::vector<std::string> on_card;
    for (const std::string& parent : gpu.mdev_parents) {
      const auto& types = present[parent];
      on_card.insert(on_card.end(), types.begin(), types.end());
    }
    if (!gpu.serves_mdevs()) continue;
    view.rooms[gpu.parent.name] = card_room(gpu, types_of(root, gpu, &wanted), std::move(on_card));
  }
}

/// A snapshot knows VFs by their addresses alone.
static std::optional<Parent> find_parent_on(const Root& root, const Config& config, const Gpu& gpu,
                                            const std::string& name, KnownCards& cards) {
  if (name == gpu.parent.name && !gpu.is_vf) return gpu.parent;
  return find_parent(root, config, name, cards);
}

/// In the order of their names, whatever their cards are.
static void add_parents(const Root& root, const Config& config, const std::vector<Gpu>& gpus,
                        ProvisionView& view) {
  std::map<std::string, const Gpu*> gpu_of;
  for (const Gpu& gpu : gpus)
    for (const std::string& parent : gpu.mdev_parents) gpu_of.emplace(parent, &gpu);
  KnownCards cards;
  for (const auto& [name, gpu] : gpu_of) {
    auto parent = find_parent_on(root, config, *gpu, name, cards);
    if (!parent || !is_expected(root, config, *parent, *gpu, view)) continue;
    auto types = list_directory(root.sys("class/mdev_bus/") + name + "/mdev_supported_types");
    view.parents.push_back({std::move(*parent), std::move(types), gpu->parent.name});
    for (const std::string& file : list_directory(mdevctl_directory(root, name)))
      if (const auto uuid = parse_uuid(file)) view.mdevctl.emplace(name, *uuid);
  }
}

static void add_physical_functions(const Root& root, const Config& config,
                                   const std::vector<Gpu>& gpus, ProvisionView& view) {
  std::map<PciAddress, const Gpu*> gpu_of;
  for (const Gpu& gpu : gpus)
    if (gpu.parent.address) gpu_of.emplace(*gpu.parent.address, &gpu);
  for (PhysicalFunction& pf : physical_functions(root, gpus))
    if (is_expected(root, config, pf.identity, *gpu_of.at(*pf.identity.address), view))
      view.pfs.push_back(std::move(pf));
}

/// Mdevs that exist.
static std::vector<Instance> instances_of(const Host& host) {
  std::vector<Instance> instances;
  for (const GpuInstance& view : host.instances)
    if (view.exists && (!view.device || is_mediated(view.device->use)))
      instances.push_back(view.instance);
  return instances;
}

ProvisionView scan_host(const Root& root, const Config& config, const Host& host) {
  ProvisionView view;
  add_parents(root, config, host.gpus, view);
  add_physical_functions(root, config, host.gpus, view);
  view.instances = instances_of(host);
  add_rooms(root, config, host.gpus, view);
  return view;
}

}  // namespace gpuward
