// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provision/view.hpp"

#include "base/error.hpp"
#include "base/file.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/types.hpp"
#include "pci/card_facts.hpp"
#include "pci/identity.hpp"
#include "state/paths.hpp"

namespace gpuward {

/// Whether it is what the configuration expects there; the view says what is not.
static bool is_expected(const Root& root, const Config& config, const Parent& device,
                        ProvisionView& view) {
  const Verdict verdict = check_identity(root, config, device);
  if (verdict) return true;
  view.unexpected.push_back(to_string(verdict.reason));
  const std::string why = without_remedy(verdict.reason);
  view.unexpected_parents.emplace(device.name, why);
  if (device.address)
    for (const PciAddress& vf : virtual_functions(root, *device.address))
      view.unexpected_parents.emplace(to_string(vf), why);
  return false;
}

/// Types that the configuration has instances of.
static std::vector<std::string> configured_types(const Config& config) {
  std::vector<std::string> types;
  for (const GpuSection& section : config.gpus)
    for (const InstanceCount& count : section.instances) types.push_back(count.type);
  return types;
}

static void add_rooms(const Root& root, const Config& config, ProvisionView& view) {
  const auto wanted = configured_types(config);
  if (wanted.empty()) return;
  std::map<std::string, std::vector<std::string>> present;  // types by parent
  for (const Instance& instance : view.instances) present[instance.parent].push_back(instance.type);
  std::map<std::string, std::string> card_of;
  for (const Gpu& gpu : read_gpus(root, config)) {
    std::vector<std::string> on_card;
    for (const std::string& parent : gpu.mdev_parents) {
      card_of[parent] = gpu.parent.name;
      const auto& types = present[parent];
      on_card.insert(on_card.end(), types.begin(), types.end());
    }
    if (!gpu.serves_mdevs()) continue;
    view.rooms[gpu.parent.name] = card_room(gpu, types_of(root, gpu, &wanted), std::move(on_card));
  }
  for (ProvisionView::MdevParent& parent : view.parents) parent.card = card_of[parent.parent.name];
}

ProvisionView scan_host(const Root& root, const Config& config) {
  ProvisionView view;
  KnownCards cards;
  for (const std::string& name : parent_names(root)) {
    auto parent = find_parent(root, config, name, cards);
    if (!parent || !is_expected(root, config, *parent, view)) continue;
    auto types = list_directory(root.sys("class/mdev_bus/") + name + "/mdev_supported_types");
    view.parents.push_back({std::move(*parent), std::move(types)});
    for (const std::string& file : list_directory(mdevctl_directory(root, name)))
      if (const auto uuid = parse_uuid(file)) view.mdevctl.emplace(name, *uuid);
  }
  for (PhysicalFunction& pf : physical_functions(root)) {
    read_card_facts(root, config, pf.identity, cards);
    if (is_expected(root, config, pf.identity, view)) view.pfs.push_back(std::move(pf));
  }
  view.instances = list_instances(root);
  add_rooms(root, config, view);
  return view;
}

}  // namespace gpuward
