// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/start_anyway.hpp"

#include <algorithm>

#include "allocation/request.hpp"
#include "inventory/gpu_hostdevs.hpp"

namespace gpuward {

Domain domain_of_text(const StartPermit& permit, std::vector<Hostdev> hostdevs) {
  Domain domain;
  domain.uuid = permit.domain;
  domain.name = permit.name;
  domain.hostdevs = std::move(hostdevs);
  return domain;
}

std::vector<PciAddress> addresses_of(const Domain& domain) {
  std::vector<PciAddress> addresses;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address) addresses.push_back(*hostdev.address);
  return addresses;
}

/// Neither a companion, which has no scrub program of its own, nor of a request that names no
/// profile, which has none.
static bool is_gpu_of_profile(const Domain& domain, const Hostdev& hostdev) {
  if (!hostdev.address || !is_ours(hostdev) || gpu_alias(hostdev.alias) != hostdev.alias)
    return false;
  return std::none_of(domain.requests.begin(), domain.requests.end(), [&](const GpuRequest& gpu) {
    return gpu.alias == hostdev.alias && !names_profile(gpu);
  });
}

std::vector<PciAddress> addresses_from_profiles(const Domain& domain) {
  std::vector<PciAddress> addresses;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (is_gpu_of_profile(domain, hostdev)) addresses.push_back(*hostdev.address);
  return addresses;
}

Domain without_lost_profiles(const Config& config, Domain domain) {
  std::erase_if(domain.requests, [&](const GpuRequest& gpu) {
    const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
    if (resolve(config, gpu).profile || !hostdev || !hostdev->address) return false;
    for (Hostdev& part : domain.hostdevs)
      if (part.address && gpu_alias(part.alias) == gpu.alias) part.alias.clear();
    return true;
  });
  return domain;
}

}  // namespace gpuward
