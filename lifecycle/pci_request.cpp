// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/pci_request.hpp"

#include <algorithm>
#include <set>

#include "allocation/choose_device.hpp"
#include "allocation/pool.hpp"
#include "allocation/reassignment.hpp"
#include "allocation/request_verdict.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "base/trusted_file.hpp"
#include "lifecycle/by_hand.hpp"
#include "lifecycle/device_user.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci/virtual_functions.hpp"
#include "state/single_use.hpp"

namespace gpuward {

static std::string title(const ClaimedDevice& device) {
  return gpu_title(device.alias) + " (" + to_string(device.address) + ")";
}

static std::string reassign_command(const Domain& domain) {
  return "run: gpuward reassign " + shell_word(domain.name);
}

static const Hostdev* hostdev_at(const Domain& domain, const PciAddress& address) {
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address == address) return &hostdev;
  return nullptr;
}

static const Hostdev& hostdev_of(const PciRequest& request) {
  const std::string& alias = request.gpu.alias;
  const Hostdev* const hostdev = find_hostdev(request.domain, alias);
  if (hostdev && hostdev->address) return *hostdev;
  throw Error(gpu_title(alias), "no PCI hostdev with alias " + alias,
              reassign_command(request.domain));
}

/// The device that the domain's XML names for the GPU.
static ClaimedDevice source_device(const PciRequest& request) {
  ClaimedDevice device{.alias = request.gpu.alias,
                       .profile = request.gpu.profile.name,
                       .instance = {},
                       .parent = {},
                       .type = "-"};
  device.use = request.gpu.profile.use;
  device.address = *hostdev_of(request).address;
  return device;
}

/// libvirt unbinds the driver of a hostdev with managed='yes' when the domain starts or stops.
static void require_managed_right(const PciRequest& request, const ClaimedDevice& device,
                                  const Hostdev& hostdev) {
  const Profile& profile = request.gpu.profile;
  if (is_managed(profile) || !hostdev.managed) return;
  throw Error(title(device),
              profile.keep_driver
                  ? "hostdev " + in_quotes(hostdev.alias) + " has managed='yes', and [profile " +
                        profile.name + "] has driver = keep"
                  : "hostdev has managed='yes', which would unbind NVIDIA's driver",
              reassign_command(request.domain));
}

std::vector<ClaimedDevice> pci_devices_asked(const PciRequest& request) {
  const auto& [root, config, domain, gpu] = request;
  const Profile& profile = gpu.profile;
  const Hostdev& hostdev = hostdev_of(request);
  ClaimedDevice device = source_device(request);
  device.scrub = profile.scrub;
  device.one_time = profile.one_time;
  std::string why;
  const auto found = find_in_pool(root, config, profile, device.address, why);
  if (!found)
    throw Error(title(device), "device does not match " + title_of(profile) + ": " + why,
                reassign_command(domain));
  if (!is_near_enough(profile, *found, {domain.numa_nodes, domain.cpus}))
    throw Error(title(device),
                "device is not local to the domain's memory and CPUs " + numa_text(profile.numa),
                reassign_command(domain));
  require_managed_right(request, device, hostdev);
  if (Reason unbound = reason_unbound(root, profile, found->functions); !unbound.problem.empty())
    throw Error(about(title(device), std::move(unbound)));
  if (const auto untrusted = find_untrusted(root, profile.scrub);
      !profile.scrub.empty() && !untrusted.empty())
    throw Error("scrub program of [profile " + profile.name + "]",
                untrusted.front().path + ": " + untrusted.front().found,
                "run: " + untrusted.front().command);
  device.parent = to_string(found->physical_function.value_or(found->address));

  std::vector<ClaimedDevice> devices{device};
  for (const PciAddress& function : found->functions) {
    if (function == device.address) continue;
    const Hostdev* const companion = hostdev_at(domain, function);
    if (!companion)
      throw Error(title(device),
                  "companion " + to_string(function) +
                      " of the same IOMMU group is not assigned to the domain",
                  reassign_command(domain));
    require_managed_right(request, device, *companion);
    device.alias = alias_word(companion->alias);
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
    throw Error(title(device), "device has no IOMMU group",
                "enable the IOMMU in the firmware and with intel_iommu=on or amd_iommu=on on the "
                "kernel command line");
  std::vector<PciAddress> own;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address) own.push_back(*hostdev.address);
  if (const Verdict verdict = viability(root, *group, own); !verdict)
    throw Error(about(title(device), verdict.reason));
}

void require_not_used(const Root& root, const ClaimedDevice& device,
                      const ClaimedDevices& claimed) {
  if (const auto owner =
          used_by(root, claimed.marks, device.address, parse_pci_address(device.parent)))
    throw Error(title(device), single_use_text(*owner),
                "run: gpuward clear " + to_string(device.address));
}

void require_unused(const PciRequest& request, const ClaimedDevice& device,
                    const ClaimedDevices& claimed, const Deadlines& deadlines) {
  const Root& root = request.root;
  require_not_used(root, device, claimed);
  if (!exists(pci_path(root, device.address))) return;  // a VF that is yet to be made
  if (const auto vfs = virtual_functions(root, device.address); !vfs.empty())
    throw Error(title(device), "GPU has " + std::to_string(vfs.size()) + " VFs enabled",
                "set vfs = 0 in its [gpu] section and run: gpuward apply");
  require_viable_group(root, request.domain, device);
  if (const auto user = open_user_after(root, device.address, deadlines.release_wait()))
    throw InUse(title(device), user->what,
                user->is_process ? "stop that process first" : user->remedy);
}

/// What the one who requests a device in use can do.
static std::string remedy(const PciRequest& request, const ClaimedDevice& device,
                          const ClaimedDevices& claimed) {
  const auto& [root, config, domain, gpu] = request;
  const Profile& profile = gpu.profile;
  const auto pool = pool_of(root, config, profile);
  if (choose_device(profile, pool,
                    {taken_devices(root, domain.uuid), {}, pool_domain(config, domain).own},
                    {domain.numa_nodes, domain.cpus}))
    return reassign_command(domain);
  std::set<std::string> others;
  for (const Claim& claim : claimed.claims)
    for (const ClaimedDevice& other : claim.devices)
      if (claim.domain != domain.uuid && is_pci(other.use) &&
          (other.address == device.address || find_device(pool, other.address)))
        others.insert(in_quotes(claim.name));
  if (others.empty()) return "run: gpuward list gpus";
  return (others.size() > 1 ? "shut one of the domains " + first_three_of(others)
                            : "shut domain " + *others.begin()) +
         " down" + (profile.is_configured ? " or add GPUs to [profile " + profile.name + "]" : "");
}

void require_unclaimed(const PciRequest& request, const ClaimedDevice& device,
                       const ClaimedDevices& claimed) {
  const Domain& domain = request.domain;
  const auto user = user_of(request.root, claimed, domain, device);
  if (!user) return;
  if (user->is_mark && user->by == User::By::itself) return;  // require_not_used says more
  const Claim* const claim = claim_of(claimed, domain, device);
  const std::string why = in_use_text(claimed, domain, device, *user);
  if (claim && is_quarantined(*claim, device))
    throw InUse(title(device), why, quarantine_remedy(*claim));
  throw InUse(title(device), why,
              !claim && !user->remedy.empty() ? user->remedy : remedy(request, device, claimed));
}

void require_source_unclaimed(const PciRequest& request, const ClaimedDevices& claimed) {
  require_unclaimed(request, source_device(request), claimed);
}

}  // namespace gpuward
