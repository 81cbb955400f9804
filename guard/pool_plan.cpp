// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/pool_plan.hpp"

#include <algorithm>

#include "hooks/repoint.hpp"

namespace gpuward {

PoolDomain pool_domain(const Config& config, const Domain& domain) {
  PoolDomain found{domain.uuid, domain.name, {}, domain.numa_nodes};
  for (const AskedGpu& gpu : domain.asked) {
    const Profile* const profile = find_profile(config, gpu.profile);
    if (!profile || !gives_pci_devices(*profile)) continue;
    PoolGpu& added = found.gpus.emplace_back(gpu.alias, gpu.profile, std::nullopt);
    for (const Hostdev& hostdev : domain.hostdevs)
      if (hostdev.alias == gpu.alias) added.at = hostdev.address;
  }
  return found;
}

static const Taker* taker_of(const TakenDevices& taken, const PciAddress& address,
                             const Uuid& domain) {
  const auto found = taken.find(address);
  return found == taken.end() || found->second.domain == domain ? nullptr : &found->second;
}

bool points_at_taken(const PoolDomain& domain, const TakenDevices& taken) {
  return std::any_of(domain.gpus.begin(), domain.gpus.end(), [&](const PoolGpu& gpu) {
    return gpu.at && taker_of(taken, *gpu.at, domain.uuid);
  });
}

namespace {

/// One plan in the making.
struct Planning {
  const Config& config;
  const DevicePools& pools;
  const TakenDevices& taken;
  std::map<PciAddress, unsigned> pointed_at;
  PoolPlan plan;

  /// Why the GPU cannot stay where it is; "" when it can.
  std::string why_not_here(const PoolDomain& domain, const PoolGpu& gpu,
                           const std::vector<PoolDevice>& pool, const DeviceUse& use) const {
    if (!gpu.at) return "it had none";
    const auto here = std::find_if(pool.begin(), pool.end(), [&](const PoolDevice& device) {
      return device.address == gpu.at;
    });
    if (here == pool.end()) return "that is none of profile " + gpu.profile + " (any more)";
    for (const PciAddress& function : here->functions) {
      if (const Taker* const taker = taker_of(taken, function, domain.uuid)) return taker->what;
      if (use.taken.contains(function)) return "another GPU of it is there";
    }
    return {};
  }

  void move(const PoolDomain& domain, const PoolGpu& gpu, const std::string& why, DeviceUse& use) {
    const Profile& profile = *find_profile(config, gpu.profile);
    const auto& pool = pools.at(gpu.profile);
    const PoolDevice* const chosen = choose_device(profile, pool, use, domain.numa_nodes);
    if (!chosen) {
      plan.look_again |= is_held_by_process(pool);
      return;
    }
    plan.moves.push_back({domain.uuid, gpu.alias, profile.use, gpu.at, chosen->functions, why});
    use.taken.insert(chosen->functions.begin(), chosen->functions.end());
    if (gpu.at) --pointed_at[*gpu.at];
    ++pointed_at[chosen->address];
  }

  /// Those that stay first, so that none is pointed where another of the same domain is.
  void place(const PoolDomain& domain) {
    DeviceUse use{{}, pointed_at};
    for (const auto& [address, taker] : taken)
      if (taker.domain != domain.uuid) use.taken.insert(address);
    std::vector<std::pair<const PoolGpu*, std::string>> going;
    for (const PoolGpu& gpu : domain.gpus) {
      const auto pool = pools.find(gpu.profile);
      if (pool == pools.end() || !find_profile(config, gpu.profile)) continue;
      const std::string why = why_not_here(domain, gpu, pool->second, use);
      if (why.empty())
        use.taken.insert(*gpu.at);
      else
        going.emplace_back(&gpu, why);
    }
    for (const auto& [gpu, why] : going) move(domain, *gpu, why, use);
  }

  bool is_held_by_process(const std::vector<PoolDevice>& pool) const {
    return std::any_of(pool.begin(), pool.end(), [&](const PoolDevice& device) {
      const auto taker = taken.find(device.address);
      return taker != taken.end() && taker->second.is_process;
    });
  }
};

}  // namespace

PoolPlan plan_moves(const Config& config, const std::vector<PoolDomain>& off,
                    const DevicePools& pools, const TakenDevices& taken,
                    std::map<PciAddress, unsigned> pointed_at) {
  for (const PoolDomain& domain : off)
    for (const PoolGpu& gpu : domain.gpus)
      if (gpu.at) ++pointed_at[*gpu.at];
  Planning planning{config, pools, taken, std::move(pointed_at), {}};
  for (const PoolDomain& domain : off) planning.place(domain);
  return std::move(planning.plan);
}

}  // namespace gpuward
