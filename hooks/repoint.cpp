// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/repoint.hpp"

#include "attach/rewrite.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "hooks/pool_plan.hpp"

namespace gpuward {

static void require_devices(const Root& root, const Config& config, const PoolDomain& domain,
                            const DevicePools& pools) {
  for (const PoolGpu& gpu : domain.gpus)
    if (pools.at(gpu.profile).empty())
      throw Error(domain_title(domain.name) + ": " + gpu_title(gpu.alias),
                  "profile " + in_quotes(gpu.profile) + " has no device on this host: " +
                      explain_empty_pool(root, config, *find_profile(config, gpu.profile)),
                  "run: gpuward list gpus");
}

/// What the GPU gets: where the plan moves it, else what it is at, with its companions; one of the
/// pool where it is at none of it and none is free.
static const std::vector<PciAddress>& functions_of(const PoolGpu& gpu, const PoolPlan& plan,
                                                   const std::vector<PoolDevice>& pool) {
  for (const Reassignment& move : plan.moves)
    if (move.alias == gpu.alias) return move.to;
  const PoolDevice* const here = find_device(pool, gpu.at);
  return here ? here->functions : pool.front().functions;
}

Repointed repoint(const Root& root, const Config& config, std::string_view xml,
                  const DeviceUse& use) {
  const PoolDomain domain = pool_domain(config, parse_domain(xml));
  const DevicePools pools = pools_of(root, config, {domain});
  require_devices(root, config, domain, pools);
  const PoolPlan plan = plan_reassignments(config, {domain}, pools, devices_by_hand(root, {domain}),
                                           use.taken, use.assigned_count);
  Repointed result{std::string(xml), {}};
  for (const PoolGpu& gpu : domain.gpus) {
    try {
      result.xml = assign_device(result.xml, gpu.alias, find_profile(config, gpu.profile)->use,
                                 functions_of(gpu, plan, pools.at(gpu.profile)));
    } catch (const Error& error) {
      result.refused.emplace(gpu.alias, error.reason);
    }
  }
  if (!result.refused.empty() && result.xml == xml) throw Error(result.refused.begin()->second);
  return result;
}

}  // namespace gpuward
