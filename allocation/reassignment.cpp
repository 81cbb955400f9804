// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/reassignment.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "allocation/request.hpp"
#include "inventory/gpu_hostdevs.hpp"

namespace gpuward {

static bool has_managed(const Domain& domain, const std::string& alias) {
  return std::any_of(domain.hostdevs.begin(), domain.hostdevs.end(), [&](const Hostdev& hostdev) {
    return hostdev.managed && gpu_alias(hostdev.alias) == alias;
  });
}

PoolDomain pool_domain(const Config& config, const Domain& domain) {
  PoolDomain found{domain.uuid, domain.name, {}, domain.numa_nodes, domain.cpus, {}, {}};
  for (const Hostdev& hostdev : domain.hostdevs) {
    if (hostdev.instance && !is_ours(hostdev)) found.mdevs_by_hand.push_back(*hostdev.instance);
    if (!hostdev.address) continue;
    found.own.push_back(*hostdev.address);
    if (!is_ours(hostdev)) found.by_hand.push_back(*hostdev.address);
  }
  for (const GpuRequest& gpu : domain.requests) {
    auto profile = resolve(config, gpu).profile;
    if (!profile || !gives_pci_devices(*profile)) continue;
    const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
    const bool must_be_unmanaged = !is_managed(*profile) && has_managed(domain, gpu.alias);
    found.gpus.push_back({gpu.alias, std::move(*profile), hostdev ? hostdev->address : std::nullopt,
                          must_be_unmanaged});
  }
  return found;
}

std::vector<PciAddress> assigned_devices(const Config& config, const Domain& domain) {
  std::vector<PciAddress> devices;
  for (const PoolGpu& gpu : pool_domain(config, domain).gpus)
    if (gpu.at) devices.push_back(*gpu.at);
  return devices;
}

DevicePools pools_of(const Root& root, const Config& config, const std::vector<PoolDomain>& domains,
                     const std::shared_ptr<AskedCards>& asked) {
  DevicePools pools;
  KnownCards cards;
  if (asked) cards.asked = asked;
  for (const PoolDomain& domain : domains)
    for (const PoolGpu& gpu : domain.gpus)
      if (std::string title = title_of(gpu.profile); !pools.contains(title))
        pools[std::move(title)] = pool_of({root, config, gpu.profile, cards});
  return pools;
}

std::vector<PciAddress> devices_of(const DevicePools& pools) {
  std::vector<PciAddress> devices;
  for (const auto& [profile, pool] : pools)
    for (const PoolDevice& device : pool)
      devices.insert(devices.end(), device.functions.begin(), device.functions.end());
  return devices;
}

DevicesByHand devices_by_hand(const Root& root, const std::vector<PoolDomain>& domains) {
  DevicesByHand devices;
  for (const PoolDomain& domain : domains)
    if (!domain.gpus.empty())
      add_own_devices(root, domain.uuid, domain.by_hand, domain.mdevs_by_hand,
                      devices[domain.uuid]);
  return devices;
}

const PoolDevice* find_device(const std::vector<PoolDevice>& pool,
                              const std::optional<PciAddress>& address) {
  for (const PoolDevice& device : pool)
    if (device.address == address) return &device;
  return nullptr;
}

bool uses_unavailable_device(const PoolDomain& domain, const DevicesInUse& taken) {
  return std::any_of(domain.gpus.begin(), domain.gpus.end(), [&](const PoolGpu& gpu) {
    const auto found = gpu.at ? taken.find(*gpu.at) : taken.end();
    return found != taken.end() && found->second.domain != domain.uuid;
  });
}

static DomainPlace place_of(const PoolDomain& domain) {
  return {domain.numa_nodes, domain.cpus};
}

/// Why the GPU cannot stay where it is; "" when it can.
static std::string reason_to_move(const PoolDomain& domain, const PoolGpu& gpu,
                                  const std::vector<PoolDevice>& pool, const DeviceUse& use) {
  if (!gpu.at) return "no device assigned";
  const PoolDevice* const here = find_device(pool, gpu.at);
  if (!here) return "device no longer matches " + title_of(gpu.profile);
  // First: a vGPU on a VF that a domain has claimed is theirs.
  if (const auto user = find_user(*here, use.taken)) return user->what;
  if (has_others_vgpu(*here)) return "device has a vGPU that gpuward did not create";
  if (!is_near_enough(gpu.profile, *here, place_of(domain)))
    return "device is not local to the domain's memory and CPUs " + numa_text(gpu.profile.numa);
  if (here->is_full) {
    const PoolDevice* const other = choose_device(gpu.profile, pool, use, place_of(domain));
    if (other && !other->is_full)
      return "GPU has no capacity for another vGPU of " + title_of(gpu.profile);
  }
  if (is_viable(*here, use.own)) return {};
  return "IOMMU group is not viable: " + to_string(here->host_bound_members.front()) +
         " is bound to a host driver";
}

static bool is_held_by_process(const std::vector<PoolDevice>& pool, const DevicesInUse& taken) {
  return std::any_of(pool.begin(), pool.end(), [&](const PoolDevice& device) {
    const auto user = taken.find(device.address);
    return user != taken.end() && user->second.is_process;
  });
}

User assigned_to_another_gpu(const PoolDomain& domain) {
  return {domain.uuid, "device assigned to another GPU of this domain"};
}

static void take(const PoolDevice& device, const PoolDomain& by, DevicesInUse& taken) {
  for (const PciAddress& function : device.functions) taken[function] = assigned_to_another_gpu(by);
}

/// A GPU that has to leave its device, and why.
using ToReassign = std::vector<std::pair<const PoolGpu*, std::string>>;

/// What comes of looking for a device for each.
struct Placed {
  DeviceUse use;
  std::vector<Reassignment> moves;
  std::vector<const PoolGpu*> without;  ///< those for which there is none stay where they are
};

static Placed place_reassigned(const PoolDomain& domain, const DevicePools& pools,
                               const DeviceUse& use, const ToReassign& leaving) {
  std::vector<DeviceRequest> requests;
  for (const auto& [gpu, why] : leaving)
    requests.push_back({gpu->profile, pools.at(title_of(gpu->profile)), use, gpu->at});
  std::vector<const PoolDevice*> chosen;
  choose_devices(requests, place_of(domain), chosen);
  Placed placed{use, {}, {}};
  for (size_t number = 0; number < leaving.size(); ++number) {
    const auto& [gpu, why] = leaving[number];
    const PoolDevice* const device = chosen[number];
    if (!device) {
      placed.without.push_back(gpu);
      continue;
    }
    placed.moves.push_back(
        {domain.uuid, gpu->alias, is_managed(gpu->profile), gpu->at, device->functions, why});
    take(*device, domain, placed.use.taken);
    auto& assigned_count = placed.use.assigned_count;
    if (gpu->at && assigned_count[*gpu->at] > 0) --assigned_count[*gpu->at];
    ++assigned_count[device->address];
  }
  return placed;
}

/// The device that one stays at for want of another, and that a GPU of another profile was given.
static std::optional<PciAddress> given_twice(const Placed& placed) {
  for (const PoolGpu* const gpu : placed.without)
    for (const Reassignment& move : placed.moves)
      if (gpu->at && std::find(move.to.begin(), move.to.end(), *gpu->at) != move.to.end())
        return gpu->at;
  return {};
}

/// Those that stay first, so that none is pointed where another of the same domain is.
static void place(const PoolDomain& domain, const DevicePools& pools, DeviceUse& use,
                  PoolPlan& plan) {
  ToReassign leaving;
  for (const PoolGpu& gpu : domain.gpus) {
    const auto pool = pools.find(title_of(gpu.profile));
    if (pool == pools.end()) continue;
    const std::string why = reason_to_move(domain, gpu, pool->second, use);
    if (!why.empty()) {
      leaving.emplace_back(&gpu, why);
      continue;
    }
    const PoolDevice& here = *find_device(pool->second, gpu.at);
    if (gpu.must_be_unmanaged)
      plan.moves.push_back({domain.uuid, gpu.alias, false, gpu.at, here.functions,
                            "managed='no' for " + title_of(gpu.profile)});
    take(here, domain, use.taken);
    use.beside.push_back(spot_of(here));
  }
  if (leaving.empty()) return;
  Placed placed = place_reassigned(domain, pools, use, leaving);
  while (const auto device = given_twice(placed)) {
    use.taken[*device] = assigned_to_another_gpu(domain);
    placed = place_reassigned(domain, pools, use, leaving);
  }
  for (const PoolGpu* const gpu : placed.without)
    plan.retry_later |= is_held_by_process(pools.at(title_of(gpu->profile)), placed.use.taken);
  plan.moves.insert(plan.moves.end(), placed.moves.begin(), placed.moves.end());
  use = std::move(placed.use);
}

PoolPlan plan_reassignments(const std::vector<PoolDomain>& off, const DevicePools& pools,
                            const DevicesByHand& by_hand, const DevicesInUse& taken,
                            std::map<PciAddress, unsigned> assigned_count) {
  for (const PoolDomain& domain : off)
    for (const PoolGpu& gpu : domain.gpus)
      if (gpu.at) ++assigned_count[*gpu.at];
  PoolPlan plan;
  for (const PoolDomain& domain : off) {
    DeviceUse use{in_use_by_others(taken, domain.uuid), std::move(assigned_count), domain.own};
    if (const auto own = by_hand.find(domain.uuid); own != by_hand.end())
      use.taken.insert(own->second.begin(), own->second.end());
    place(domain, pools, use, plan);
    assigned_count = std::move(use.assigned_count);
  }
  return plan;
}

/// Titles of what domains request that have several vGPUs on VFs.
static std::set<std::string> titles_of_several(const PoolDomain& domain) {
  std::set<std::string> titles;
  size_t count = 0;
  for (const PoolGpu& gpu : domain.gpus)
    if (is_typed_vf(gpu.profile.use)) {
      titles.insert(title_of(gpu.profile));
      ++count;
    }
  return count > 1 ? titles : std::set<std::string>();
}

/// Of the pools' devices that may be had.
static size_t count_cards(const DevicePools& pools, const std::set<std::string>& titles,
                          const DevicesInUse& taken) {
  std::set<PciAddress> cards;
  for (const std::string& title : titles)
    for (const PoolDevice& device : pools.at(title))
      if (!device.is_full && !taken.contains(device.address)) cards.insert(spot_of(device).card);
  return cards.size();
}

void add_nvlinks(const Root& root, const std::vector<PoolDevice*>& devices,
                 std::vector<GpuSpot>& beside, AskedCards& asked) {
  std::vector<GpuSpot> spots;
  std::vector<GpuSpot*> all;
  spots.reserve(devices.size());
  all.reserve(devices.size() + beside.size());
  for (const PoolDevice* const device : devices)
    all.push_back(&spots.emplace_back(spot_of(*device)));
  for (GpuSpot& spot : beside) all.push_back(&spot);
  add_nvlinks(root, all, asked);
  for (size_t at = 0; at < devices.size(); ++at) devices[at]->links = std::move(spots[at].links);
}

void add_nvlinks(const Root& root, const std::vector<PoolDomain>& off, DevicePools& pools,
                 const DevicesByHand& by_hand, const DeviceUse& use, AskedCards& asked) {
  std::map<Uuid, std::set<std::string>> several;
  for (const PoolDomain& domain : off)
    if (auto titles = titles_of_several(domain);
        !titles.empty() && count_cards(pools, titles, use.taken) > 1)
      several.emplace(domain.uuid, std::move(titles));
  if (several.empty()) return;
  std::set<std::string> titles;
  for (const Reassignment& move :
       plan_reassignments(off, pools, by_hand, use.taken, use.assigned_count).moves)
    if (const auto found = several.find(move.domain); found != several.end())
      titles.insert(found->second.begin(), found->second.end());
  std::vector<PoolDevice*> devices;
  for (const std::string& title : titles)
    for (PoolDevice& device : pools.at(title)) devices.push_back(&device);
  std::vector<GpuSpot> none;
  if (!devices.empty()) add_nvlinks(root, devices, none, asked);
}

}  // namespace gpuward
