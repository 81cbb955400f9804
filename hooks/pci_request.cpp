// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/pci_request.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/text.hpp"
#include "hooks/choose_device.hpp"
#include "hooks/pool_plan.hpp"
#include "hooks/request_verdict.hpp"
#include "inventory/device_nodes.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/pool.hpp"
#include "pci/virtual_functions.hpp"
#include "state/single_use.hpp"

namespace gpuward {

static std::string title(const ClaimedDevice& device) {
  return "GPU " + device.alias + " (profile " + device.profile + "): " + to_string(device.address);
}

static std::string repoint_command(const Domain& domain) {
  return "'gpuward repoint " + shell_word(domain.name) + "'";
}

static const Hostdev* hostdev_at(const Domain& domain, const PciAddress& address) {
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address == address) return &hostdev;
  return nullptr;
}

static const Hostdev& hostdev_of(const Domain& domain, const AskedGpu& gpu) {
  const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
  if (hostdev && hostdev->address) return *hostdev;
  throw Error("GPU " + gpu.alias + " has no PCI hostdev; " + repoint_command(domain) + " adds it");
}

std::vector<ClaimedDevice> pci_devices_asked(const Root& root, const Config& config,
                                             const Domain& domain, const AskedGpu& gpu) {
  const Profile& profile = *find_profile(config, gpu.profile);  // request_verdict looked
  const Hostdev& hostdev = hostdev_of(domain, gpu);
  ClaimedDevice device{
      .alias = gpu.alias, .profile = gpu.profile, .instance = {}, .parent = {}, .type = "-"};
  device.use = profile.use;
  device.address = *hostdev.address;
  device.scrub = profile.scrub;
  device.one_time = profile.one_time;
  std::string why;
  const auto found = find_in_pool(root, config, profile, device.address, why);
  if (!found)
    throw Error(title(device) + " is not of the profile's pool: " + why + "; " +
                repoint_command(domain) + " chooses another");
  if (profile.use == Use::vendor_vf && hostdev.managed)
    throw Error(title(device) +
                ": managed='yes' would take it from NVIDIA's driver, which is its "
                "VFIO provider; " +
                repoint_command(domain) + " mends it");
  device.parent = to_string(found->physical_function.value_or(found->address));

  std::vector<ClaimedDevice> devices{device};
  for (const PciAddress& function : found->functions) {
    if (function == device.address) continue;
    const Hostdev* const companion = hostdev_at(domain, function);
    if (!companion)
      throw Error(title(device) + ": " + to_string(function) +
                  " is in its slot and IOMMU group and must go with it; " +
                  repoint_command(domain) + " adds it");
    device.alias = companion->alias.empty() ? "-" : companion->alias;
    device.address = function;
    device.parent = to_string(function);
    device.scrub.clear();
    device.one_time = false;
    devices.push_back(device);
  }
  return devices;
}

static void require_viable_group(const Root& root, const Domain& domain,
                                 const ClaimedDevice& device) {
  const auto group = iommu_group_of(root, device.address);
  if (!group)
    throw Error(title(device) +
                " has no IOMMU group; switch the IOMMU on in the firmware and with "
                "intel_iommu=on or amd_iommu=on on the kernel's command line");
  std::vector<PciAddress> own;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address) own.push_back(*hostdev.address);
  if (const Verdict verdict = viability(root, *group, own); !verdict)
    throw Error(title(device) + ": " + verdict.reason +
                "; unbind that one, give it to this domain "
                "too, or use another slot");
}

void require_unused(const Root& root, const Domain& domain, const ClaimedDevice& device,
                    const Deadlines& deadlines) {
  if (const auto owner = used_by(root, device.address))
    throw Error(title(device) + " was given to " + *owner +
                " and its profile gives a device once; 'gpuward clear " +
                to_string(device.address) + "' lets it be given again");
  if (!find_pci_device(root, device.address)) return;  // a VF that is yet to be made
  if (const auto vfs = virtual_functions(root, device.address); !vfs.empty())
    throw Error(
        title(device) + " has " + std::to_string(vfs.size()) +
        " virtual functions, which would go with its driver; 'vfs = 0' in its [gpu] section "
        "and 'gpuward apply' take them away");
  require_viable_group(root, domain, device);
  if (const auto holder = holder_after(
          deadlines.release, [&] { return holder_of(root, DeviceHolders(root), device.address); }))
    throw Error(title(device) + " is open in " + to_string(*holder) + "; end that first");
}

/// Of another domain.
static const Claim* claim_of(const std::vector<Claim>& claims, const PciAddress& address,
                             const Uuid& domain) {
  for (const Claim& claim : claims)
    for (const ClaimedDevice& device : claim.devices)
      if (claim.domain != domain && device.use != Use::mdev && device.address == address)
        return &claim;
  return nullptr;
}

/// What can be done by who asks for a device that another has.
static std::string way_out(const Root& root, const Config& config, const Domain& domain,
                           const ClaimedDevice& device, const std::vector<Claim>& claims) {
  const Profile& profile = *find_profile(config, device.profile);
  const auto pool = pool_of(root, config, profile);
  if (choose_device(profile, pool,
                    {taken_devices(root, domain.uuid), {}, pool_domain(config, domain).own},
                    domain.numa_nodes))
    return repoint_command(domain) + " chooses a free one";
  std::set<std::string> others;
  for (const PoolDevice& other : pool)
    if (const Claim* const claim = claim_of(claims, other.address, domain.uuid);
        claim && other.address != device.address)
      others.insert(claim->name);
  return "no other of its profile is free" +
         (others.empty() ? std::string() : ", held by " + few_of(others));
}

void require_unclaimed(const Root& root, const Config& config, const Domain& domain,
                       const ClaimedDevice& device, const std::vector<Claim>& claims) {
  const Claim* const claim = claim_of(claims, device.address, domain.uuid);
  if (!claim) return;
  const bool waits =
      std::any_of(claim->devices.begin(), claim->devices.end(), [&](const ClaimedDevice& other) {
        return is_same_device(device, other) && other.state == ClaimedDevice::State::quarantined;
      });
  throw Error(title(device) + (waits ? " is in quarantine since " : " is held by ") + claim->name +
              (waits ? " had it; see 'gpuward reconcile'; " : "; ") +
              way_out(root, config, domain, device, claims));
}

}  // namespace gpuward
