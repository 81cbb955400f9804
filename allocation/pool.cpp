// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/pool.hpp"

#include <algorithm>
#include <set>

#include "allocation/placement.hpp"
#include "allocation/pool_stranded.hpp"
#include "config/gpu_settings.hpp"
#include "kinds/kind.hpp"
#include "mdev/parent.hpp"
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

/// Of one of several that may be chosen: prepare checks one and need not know.
static PoolDevice with_place(const Root& root, const Profile& profile, PoolDevice device) {
  device.bus = bus_path(root, device.physical_function.value_or(device.address));
  return with_local_cpus(root, profile, std::move(device));
}

/// Where the profile requires that it is.
static bool is_bound(const PoolQuery& query, const PoolDevice& device) {
  return reason_unbound(query.root, query.profile, device.functions).problem.empty();
}

std::vector<PoolDevice> pool_of(const PoolQuery& query) {
  const Root& root = query.root;
  const Profile& profile = query.profile;
  std::vector<PoolDevice> pool;
  const Kind& kind = kind_of(profile.use);
  if (!kind.find) return pool;
  for (const PciAddress& address : pci_addresses(root)) {
    const auto device = find_pci_device(root, address);
    if (!device) continue;
    std::string why;
    if (auto found = kind.find(query, *device, why); found && is_bound(query, *found))
      pool.push_back(with_place(root, profile, std::move(*found)));
    if (!kind.to_be_enabled) continue;
    for (PoolDevice& coming : kind.to_be_enabled(query, address))
      if (is_bound(query, coming)) pool.push_back(with_place(root, profile, std::move(coming)));
  }
  std::sort(pool.begin(), pool.end(),
            [](const PoolDevice& a, const PoolDevice& b) { return a.address < b.address; });
  if (kind.mark_full) kind.mark_full(query, pool);
  note_stranded(query, pool);
  return pool;
}

std::vector<GpuSpot> spots_of(const Root& root, const std::vector<PciAddress>& devices) {
  std::vector<GpuSpot> spots;
  spots.reserve(devices.size());
  for (const PciAddress& address : devices)
    if (const auto device = find_pci_device(root, address)) {
      const PciAddress card = device->physical_function.value_or(address);
      spots.push_back({card, device->numa_node, bus_path(root, card)});
    }
  return spots;
}

/// Those that NVIDIA's driver has bound, where they are two or more.
static std::vector<PciAddress> cards_to_ask(const Root& root, std::set<PciAddress> cards) {
  std::erase_if(cards, [&](const PciAddress& card) {
    const auto device = find_pci_device(root, card);
    return !device || device->driver != "nvidia";
  });
  if (cards.size() < 2) return {};
  return {cards.begin(), cards.end()};
}

void ask_nvlinks(const Root& root, const std::vector<PciAddress>& beside, AskedCards& asked) {
  std::set<PciAddress> cards;
  for (const PciAddress& device : beside)
    cards.insert(physical_function_of(root, device).value_or(device));
  for (const std::string& name : parent_names(root))
    if (const auto parent = parse_pci_address(name))
      cards.insert(physical_function_of(root, *parent).value_or(*parent));
  if (const auto known = cards_to_ask(root, std::move(cards)); !known.empty())
    asked.links(root, known);
}

void add_nvlinks(const Root& root, const std::vector<GpuSpot*>& spots, AskedCards& asked) {
  std::set<PciAddress> of_spots;
  for (const GpuSpot* const spot : spots) of_spots.insert(spot->card);
  const auto cards = cards_to_ask(root, std::move(of_spots));
  if (cards.empty()) return;
  const LinksOfCards& known = asked.links(root, cards);
  for (GpuSpot* const spot : spots)
    if (const auto links = known.find(spot->card); links != known.end())
      spot->links = links->second;
}

std::vector<PoolDevice> pool_of(const Root& root, const Config& config, const Profile& profile) {
  KnownCards cards;
  return pool_of({root, config, profile, cards});
}

/// Whether a user who wrote this profile may have meant this device.
static bool may_be_meant(const PoolQuery& query, const PciDevice& device) {
  const auto& [root, config, profile, cards, claims] = query;
  if (device.physical_function.has_value() == traits_of(profile.use).is_whole_card) return false;
  if (profile.gpus.empty()) return is_gpu_class(device.pci_class);
  const Parent identity = read_identity(root, config, device.address, cards);
  return std::any_of(query.profile.gpus.begin(), query.profile.gpus.end(),
                     [&](const GpuSelector& gpu) {
                       return gpu.by == GpuSelector::By::any ? is_gpu_class(device.pci_class)
                                                             : match(gpu, identity) != Match::no;
                     });
}

static std::string why_not_in_pool(const PoolQuery& query, const PciDevice& device) {
  const Kind& kind = kind_of(query.profile.use);
  std::string why;
  auto found = kind.find(query, device, why);
  if (!found && kind.to_be_enabled)
    if (auto coming = kind.to_be_enabled(query, device.address); !coming.empty())
      found = std::move(coming.front());
  return found ? to_string(reason_unbound(query.root, query.profile, found->functions)) : why;
}

std::string explain_empty_pool(const Root& root, const Config& config, const Profile& profile) {
  constexpr int most = 3;
  KnownCards cards;
  const PoolQuery query{root, config, profile, cards};
  const Kind& kind = kind_of(profile.use);
  std::string text;
  int listed = 0;
  for (const PciAddress& address : pci_addresses(root)) {
    const auto device = find_pci_device(root, address);
    if (!device || !kind.find) continue;
    const bool is_coming = kind.to_be_enabled && !kind.to_be_enabled(query, address).empty();
    if (!is_coming && !may_be_meant(query, *device)) continue;
    if (listed++ == most) return text + "; ...";
    text +=
        (text.empty() ? "" : "; ") + to_string(address) + ": " + why_not_in_pool(query, *device);
  }
  if (!text.empty()) return text;
  return profile.is_configured ? "no GPU of this host is named by the profile"
                               : "no GPU of this host matches the request";
}

std::optional<PoolDevice> find_in_pool(const PoolQuery& query, const PciAddress& address,
                                       std::string& why) {
  const Root& root = query.root;
  const Profile& profile = query.profile;
  const Kind& kind = kind_of(profile.use);
  if (!kind.find) {
    why = "use = " + std::string(use_word(profile.use));
    return {};
  }
  if (const auto device = find_pci_device(root, address)) {
    auto found = kind.find(query, *device, why);
    if (found && requires_near(profile.numa))
      *found = with_local_cpus(root, profile, std::move(*found));
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

std::optional<PoolDevice> find_in_pool(const Root& root, const Config& config,
                                       const Profile& profile, const PciAddress& address,
                                       std::string& why) {
  KnownCards cards;
  return find_in_pool({root, config, profile, cards}, address, why);
}

}  // namespace gpuward
