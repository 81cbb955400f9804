// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/pool.hpp"

#include <algorithm>

#include "allocation/placement.hpp"
#include "config/gpu_settings.hpp"
#include "kinds/kind.hpp"
#include "pci/card_facts.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

bool gives_pci_devices(const Profile& profile) {
  return is_pci(profile.use);
}

/// Of a VF that is not there yet that is where its PF is.
static PoolDevice with_local_cpus(const Root& root, const Profile& profile, PoolDevice device) {
  if (profile.numa == Numa::ignore) return device;
  DevicePlace place{device.numa_node};
  place.cpus = local_cpus(pci_path(root, device.physical_function.value_or(device.address)));
  if (profile.numa == Numa::socket) widen_to_socket(root, place);
  device.local_cpus = std::move(place.cpus);
  device.local_nodes = std::move(place.nodes);
  return device;
}

std::vector<PoolDevice> pool_of(const Root& root, const Config& config, const Profile& profile) {
  std::vector<PoolDevice> pool;
  const PoolQuery query{root, config, profile};
  const Kind& kind = kind_of(profile.use);
  if (!kind.find) return pool;
  for (const PciAddress& address : pci_addresses(root)) {
    const auto device = find_pci_device(root, address);
    if (!device) continue;
    std::string why;
    if (auto found = kind.find(query, *device, why))
      pool.push_back(with_local_cpus(root, profile, std::move(*found)));
    if (!kind.to_be_enabled) continue;
    for (PoolDevice& coming : kind.to_be_enabled(query, address))
      pool.push_back(with_local_cpus(root, profile, std::move(coming)));
  }
  std::sort(pool.begin(), pool.end(),
            [](const PoolDevice& a, const PoolDevice& b) { return a.address < b.address; });
  if (kind.mark_full) kind.mark_full(query, pool);
  return pool;
}

/// Whether somebody who wrote this profile may have meant this device.
static bool may_be_meant(const Root& root, const Config& config, const Profile& profile,
                         const PciDevice& device) {
  if (device.physical_function.has_value() == traits_of(profile.use).is_whole_card) return false;
  if (profile.gpus.empty()) return is_gpu_class(device.pci_class);
  return std::any_of(profile.gpus.begin(), profile.gpus.end(), [&](const GpuSelector& gpu) {
    return gpu.by == GpuSelector::By::any
               ? is_gpu_class(device.pci_class)
               : match(gpu, read_identity(root, config, device.address)) != Match::no;
  });
}

std::string explain_empty_pool(const Root& root, const Config& config, const Profile& profile) {
  constexpr int most = 3;
  const PoolQuery query{root, config, profile};
  const Kind& kind = kind_of(profile.use);
  std::string text;
  int listed = 0;
  for (const PciAddress& address : pci_addresses(root)) {
    const auto device = find_pci_device(root, address);
    if (!device || !kind.find || !may_be_meant(root, config, profile, *device)) continue;
    std::string why;
    kind.find(query, *device, why);
    if (listed++ == most) return text + "; ...";
    text += (text.empty() ? "" : "; ") + to_string(address) + ": " + why;
  }
  if (!text.empty()) return text;
  return profile.is_configured ? "no GPU of this host is named by the profile"
                               : "no GPU of this host matches the request";
}

std::optional<PoolDevice> find_in_pool(const Root& root, const Config& config,
                                       const Profile& profile, const PciAddress& address,
                                       std::string& why) {
  const PoolQuery query{root, config, profile};
  const Kind& kind = kind_of(profile.use);
  if (!kind.find) {
    why = "use = " + std::string(use_word(profile.use));
    return {};
  }
  if (const auto device = find_pci_device(root, address)) {
    auto found = kind.find(query, *device, why);
    if (found) *found = with_local_cpus(root, profile, std::move(*found));
    return found;
  }
  why = "device does not exist";
  if (!kind.to_be_enabled) return {};
  for (const PciAddress& pf : pci_addresses(root))
    for (PoolDevice& coming : kind.to_be_enabled(query, pf))
      if (coming.address == address) {
        why.clear();
        return with_local_cpus(root, profile, std::move(coming));
      }
  return {};
}

}  // namespace gpuward
