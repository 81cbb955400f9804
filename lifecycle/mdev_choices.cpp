// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/mdev_choices.hpp"

#include <set>

#include "allocation/place_mdev.hpp"
#include "allocation/pool.hpp"
#include "base/error.hpp"
#include "inventory/usage.hpp"
#include "kinds/fraction_limit.hpp"
#include "lifecycle/by_hand.hpp"
#include "pci/pci_device.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

/// A PCI device of the domain as its claim would have it: mdevs are placed near it.
static ClaimedDevice claimed_device(const Root& root, const PoolGpu& gpu) {
  ClaimedDevice device{
      .alias = gpu.alias, .profile = gpu.profile.name, .instance = {}, .parent = {}, .type = "-"};
  device.use = gpu.profile.use;
  device.address = *gpu.at;
  mark_fraction(gpu.profile, device);
  const auto found = find_pci_device(root, *gpu.at);
  const auto card = found ? found->physical_function.value_or(*gpu.at) : *gpu.at;
  device.parent = to_string(card);
  return device;
}

/// What the domain has before any mdev is placed.
static Claim claim_of(const Root& root, const Config& config, const Domain& domain) {
  Claim claim{domain.uuid, domain.name, {}};
  for (const PoolGpu& gpu : pool_domain(config, domain).gpus)
    if (gpu.at) claim.devices.push_back(claimed_device(root, gpu));
  for (const ResolvedRequest& request : resolve_requests(config, domain))
    if (!gives_pci_devices(request.profile))
      claim.devices.push_back(mdev_asked(root, config, domain, request));
  add_devices_by_hand(root, config, domain, claim);
  return claim;
}

/// One that exists stays where it is, or prepare refuses the start.
static GpuChoice existing(const MdevPlacing& placing, const ResolvedRequest& request,
                          const ClaimedDevice& device) {
  ConsideredDevice found{ConsideredDevice::Result::chosen, device.parent, device.type,
                         "instance " + to_string(device.instance) + " already exists"};
  try {
    require_parent_available(placing, request.profile, device);
  } catch (const Error& error) {
    found.result = ConsideredDevice::Result::unavailable;
    found.why = error.reason.problem;
  }
  return {request.alias, title_of(request.profile), {std::move(found)}};
}

std::vector<GpuChoice> mdev_choices(const Root& root, const Config& config, const Domain& domain) {
  Claim claim = claim_of(root, config, domain);
  const ClaimedDevices claimed = claimed_devices(root);
  require_readable(claimed.unreadable);
  const Claims claims(root);
  DevicesInUse taken = claimed.taken;
  add_own_devices(root, domain.uuid, pool_domain(config, domain).own, {}, taken);
  std::set<std::string> made;
  for (const ClaimedDevice& device : claim.devices)
    if (is_mediated(device.use) && !is_by_hand(device) && !device.parent.empty())
      made.insert(device.alias);
  const std::set<ParentType> refused;
  const MdevPlacing placing{root,           config, domain,  claims, claim,
                            claimed.claims, taken,  refused, made};
  const auto resolved = resolve_requests(config, domain);
  std::vector<MdevRequest> requests;
  for (const ResolvedRequest& request : resolved)
    for (ClaimedDevice& device : claim.devices)
      if (device.alias == request.alias && needs_instance(device, made))
        requests.push_back({request.profile, device});
  const auto placed = choose_parents(placing, requests);
  std::vector<GpuChoice> choices;
  auto next = placed.begin();
  for (const ResolvedRequest& request : resolved)
    for (const ClaimedDevice& device : claim.devices)
      if (device.alias == request.alias && is_mediated(device.use))
        choices.push_back(made.contains(device.alias)
                              ? existing(placing, request, device)
                              : mdev_choice(*next++, request.profile, request.alias));
  return choices;
}

}  // namespace gpuward
