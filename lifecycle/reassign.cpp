// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/reassign.hpp"

#include <algorithm>
#include <utility>

#include "allocation/reassignment.hpp"
#include "attach/assign.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "inventory/gpu_hostdevs.hpp"

namespace gpuward {

static void require_devices(const Root& root, const Config& config, const PoolDomain& domain,
                            const DevicePools& pools) {
  for (const PoolGpu& gpu : domain.gpus)
    if (pools.at(title_of(gpu.profile)).empty())
      throw Error(domain_title(domain.name) + ": " + gpu_title(gpu.alias),
                  title_of(gpu.profile) + " has no device on this host: " +
                      explain_empty_pool(root, config, gpu.profile),
                  "run: gpuward list gpus");
}

static Error no_available_device(const PoolGpu& gpu) {
  return Error({}, title_of(gpu.profile) + " has no available device", "run: gpuward list gpus");
}

/// Whether the domain has none of the device's functions already.
static bool is_new_to(const DevicesInUse& own, const PoolDevice& device) {
  return !find_user(device, own);
}

/// What the GPU gets: where the plan moves it, else what it is at, with its companions; one of the
/// pool where it is at none of it and none is available: prepare will say who has that. Null where
/// the domain itself has all of those.
static const PoolDevice* device_for(const PoolGpu& gpu, const PoolPlan& plan,
                                    const std::vector<PoolDevice>& pool, const DevicesInUse& own) {
  for (const Reassignment& move : plan.moves)
    if (move.alias == gpu.alias) return find_device(pool, move.to.front());
  const PoolDevice* const here = find_device(pool, gpu.at);
  if (here && is_new_to(own, *here)) return here;
  const auto found = std::find_if(pool.begin(), pool.end(),
                                  [&](const PoolDevice& device) { return is_new_to(own, device); });
  return found == pool.end() ? nullptr : &*found;
}

/// The order in which GPUs get their devices: what the plan moves, what is at a device of the pool,
/// and what is to share one with other domains.
static int order_of(const PoolGpu& gpu, const PoolPlan& plan, const std::vector<PoolDevice>& pool) {
  const bool moves = std::any_of(plan.moves.begin(), plan.moves.end(),
                                 [&](const auto& move) { return move.alias == gpu.alias; });
  return moves ? 0 : find_device(pool, gpu.at) ? 1 : 2;
}

/// The device of each GPU, no two the same and none that the domain has by hand (`own`); GPUs for
/// which there is none are left out.
static std::map<std::string, const PoolDevice*> devices_for(const PoolDomain& domain,
                                                            const PoolPlan& plan,
                                                            const DevicePools& pools,
                                                            DevicesInUse own) {
  std::map<std::string, const PoolDevice*> devices;
  for (const int order : {0, 1, 2})
    for (const PoolGpu& gpu : domain.gpus) {
      const auto& pool = pools.at(title_of(gpu.profile));
      if (order_of(gpu, plan, pool) != order) continue;
      const PoolDevice* const device = device_for(gpu, plan, pool, own);
      if (!device) continue;
      devices[gpu.alias] = device;
      for (const PciAddress& function : device->functions) own[function] = {domain.uuid, {}};
    }
  return devices;
}

/// libvirt refuses such a definition. A GPU that could not be reassigned may still be at a device
/// that another one was given.
static void require_one_device_each(const Domain& domain) {
  std::map<PciAddress, std::string> aliases;
  for (const Hostdev& hostdev : domain.hostdevs) {
    if (!hostdev.address) continue;
    const auto [other, is_new] = aliases.emplace(*hostdev.address, hostdev.alias);
    if (!is_new && (is_ours(hostdev) || other->second.starts_with(alias_prefix)))
      throw Error(domain_title(domain.name),
                  "two hostdevs would have PCI device " + to_string(*hostdev.address),
                  "run: gpuward list gpus");
  }
}

static Error first_refusal(const PoolDomain& domain, const Repointed& result) {
  const auto& [alias, why] = *result.refused.begin();
  if (!why.object.empty()) return Error(why);
  return Error(about(domain_title(domain.name) + ": " + gpu_title(alias), why));
}

Repointed repoint(const Root& root, const Config& config, std::string_view xml,
                  const DeviceUse& use, const std::shared_ptr<AskedCards>& asked) {
  const PoolDomain domain = pool_domain(config, parse_domain(xml));
  const auto cards = asked ? asked : std::make_shared<AskedCards>();
  DevicePools pools = pools_of(root, config, {domain}, cards);
  require_devices(root, config, domain, pools);
  DevicesByHand by_hand = devices_by_hand(root, {domain});
  add_nvlinks(root, {domain}, pools, by_hand, use, *cards);
  const PoolPlan plan = plan_reassignments({domain}, pools, by_hand, use.taken, use.assigned_count);
  const auto devices = devices_for(domain, plan, pools, std::move(by_hand[domain.uuid]));
  Repointed result{std::string(xml), {}};
  for (const PoolGpu& gpu : domain.gpus) {
    const auto device = devices.find(gpu.alias);
    try {
      if (device == devices.end()) throw no_available_device(gpu);
      result.xml =
          assign_device(result.xml, gpu.alias, is_managed(gpu.profile), device->second->functions);
    } catch (const Error& error) {
      result.refused.emplace(gpu.alias, error.reason);
    }
  }
  if (!result.refused.empty() && result.xml == xml) throw first_refusal(domain, result);
  if (result.xml != xml) require_one_device_each(parse_domain(result.xml));
  return result;
}

static const PoolGpu& require_gpu(const PoolDomain& domain, const std::string& alias) {
  for (const PoolGpu& gpu : domain.gpus)
    if (gpu.alias == alias || (alias.empty() && domain.gpus.size() == 1)) return gpu;
  std::string aliases;
  for (const PoolGpu& gpu : domain.gpus) aliases += (aliases.empty() ? "" : ", ") + gpu.alias;
  const std::string title = domain_title(domain.name);
  if (aliases.empty()) throw Error(title, "no GPU of the domain has a PCI device");
  if (alias.empty())
    throw Error(title, "several GPUs have a PCI device: " + aliases, "name one of them with --gpu");
  throw Error(title, "no GPU " + in_quotes(alias) + " that has a PCI device, only " + aliases);
}

/// With what the domain itself has, but for the GPU.
static DeviceUse use_for(const Root& root, const PoolDomain& domain, const PoolGpu& gpu,
                         DeviceUse use) {
  use.own = domain.own;
  DevicesByHand by_hand = devices_by_hand(root, {domain});
  use.taken.merge(by_hand[domain.uuid]);
  for (const PoolGpu& other : domain.gpus)
    if (other.alias != gpu.alias && other.at)
      use.taken[*other.at] = assigned_to_another_gpu(domain);
  return use;
}

std::string repoint_to(const Root& root, const Config& config, std::string_view xml, DeviceUse use,
                       const ChosenDevice& chosen) {
  const PoolDomain domain = pool_domain(config, parse_domain(xml));
  const PoolGpu& gpu = require_gpu(domain, chosen.alias);
  const std::string title = domain_title(domain.name) + ": " + gpu_title(gpu.alias);
  const std::string name = to_string(chosen.device);
  std::string why;
  const auto pool = pool_of(root, config, gpu.profile);
  const PoolDevice* const device = find_device(pool, chosen.device);
  if (const auto found =
          device ? std::nullopt : find_in_pool(root, config, gpu.profile, chosen.device, why))
    why = to_string(reason_unbound(root, gpu.profile, found->functions));
  if (!device)
    throw Error(title, name + " does not match " + title_of(gpu.profile) + ": " + why,
                "run: gpuward list gpus");
  const DeviceUse of_others = use_for(root, domain, gpu, std::move(use));
  why = why_impossible(gpu.profile, *device, of_others, {domain.numa_nodes, domain.cpus});
  if (why.empty() && device->is_full) why = why_worse(Criterion::capacity, gpu.profile);
  if (!why.empty())
    throw Error(title, name + " cannot be assigned: " + why, "run: gpuward list gpus");
  std::string result = assign_device(xml, gpu.alias, is_managed(gpu.profile), device->functions);
  require_one_device_each(parse_domain(result));
  return result;
}

}  // namespace gpuward
