// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/pci_request.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/trusted_file.hpp"
#include "hooks/choose_device.hpp"
#include "hooks/pool_plan.hpp"
#include "hooks/request_verdict.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "mdev/gpu_settings.hpp"
#include "mdev/instance.hpp"
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
  if (!is_near_enough(profile, *found, {domain.numa_nodes, domain.cpus}))
    throw Error(title(device) + " is not near the domain's memory and CPUs (numa = require); " +
                repoint_command(domain) + " chooses another");
  if (profile.use == Use::vendor_vf && hostdev.managed)
    throw Error(title(device) +
                ": managed='yes' would take it from NVIDIA's driver, which is its "
                "VFIO provider; " +
                repoint_command(domain) + " mends it");
  if (const auto untrusted = find_untrusted(root, profile.scrub);
      !profile.scrub.empty() && !untrusted.empty())
    throw Error("scrub program of [profile " + profile.name + "]: " + to_string(untrusted.front()));
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

void require_not_used(const Root& root, const ClaimedDevice& device) {
  if (const auto owner = used_by(root, device.address, parse_pci_address(device.parent)))
    throw Error(title(device) + " was given to " + *owner +
                " and its profile gives a device once; 'gpuward clear " +
                to_string(device.address) + "' lets it be given again");
}

void require_unused(const Root& root, const Domain& domain, const ClaimedDevice& device,
                    const Deadlines& deadlines) {
  require_not_used(root, device);
  if (!find_pci_device(root, device.address)) return;  // a VF that is yet to be made
  if (const auto vfs = virtual_functions(root, device.address); !vfs.empty())
    throw Error(
        title(device) + " has " + std::to_string(vfs.size()) +
        " virtual functions, which would go with its driver; 'vfs = 0' in its [gpu] section "
        "and 'gpuward apply' take them away");
  require_viable_group(root, domain, device);
  if (const auto user = open_user_after(root, device.address, deadlines.release_wait()))
    throw InUse(title(device) +
                (user->by == Taker::By::itself ? user->what.substr(2) : ": " + user->what) +
                (user->is_process ? "; end that first" : ""));
}

/// What can be done by who asks for a device that another has.
static std::string way_out(const Root& root, const Config& config, const Domain& domain,
                           const ClaimedDevice& device, const ClaimedDevices& claimed) {
  const Profile& profile = *find_profile(config, device.profile);
  const auto pool = pool_of(root, config, profile);
  if (choose_device(profile, pool,
                    {taken_devices(root, domain.uuid), {}, pool_domain(config, domain).own},
                    {domain.numa_nodes, domain.cpus}))
    return repoint_command(domain) + " chooses a free one";
  std::set<std::string> others;
  for (const Claim& claim : claimed.claims)
    for (const ClaimedDevice& other : claim.devices)
      if (claim.domain != domain.uuid && other.use != Use::mdev &&
          other.address != device.address && find_device(pool, other.address))
        others.insert(claim.name);
  return "no other of its profile is free" +
         (others.empty() ? std::string() : ", held by " + few_of(others));
}

/// Who keeps this domain from having the device, by claims; null when nobody does.
static const Taker* taker_of(const ClaimedDevices& claimed, const Domain& domain,
                             const ClaimedDevice& device) {
  const Taker* taker = nullptr;
  if (device.use == Use::mdev) {
    const auto found = claimed.instances.find(device.instance);
    if (found != claimed.instances.end()) taker = &found->second;
  } else {
    const auto found = claimed.taken.find(device.address);
    if (found != claimed.taken.end()) taker = &found->second;
  }
  return taker && taker->domain != domain.uuid ? taker : nullptr;
}

/// The name of who has claimed this very device.
static const Claim* claim_of(const ClaimedDevices& claimed, const Domain& domain,
                             const ClaimedDevice& device) {
  for (const Claim& claim : claimed.claims)
    for (const ClaimedDevice& other : claim.devices)
      if (claim.domain != domain.uuid && is_same_device(device, other)) return &claim;
  return nullptr;
}

/// As the rest of a sentence that begins with the device.
static std::string in_use_text(const ClaimedDevices& claimed, const Domain& domain,
                               const ClaimedDevice& device, const Taker& taker) {
  const Claim* const claim = claim_of(claimed, domain, device);
  if (!claim) return ": " + taker.what + "; ";
  const bool waits =
      std::any_of(claim->devices.begin(), claim->devices.end(), [&](const ClaimedDevice& other) {
        return is_same_device(device, other) && other.state == ClaimedDevice::State::quarantined;
      });
  return (waits ? " is in quarantine since " : " is held by ") + claim->name +
         (waits ? " had it; see 'gpuward reconcile'; " : "; ");
}

void require_unclaimed(const Root& root, const Config& config, const Domain& domain,
                       const ClaimedDevice& device, const ClaimedDevices& claimed) {
  const Taker* const taker = taker_of(claimed, domain, device);
  if (!taker || taker->is_mark) return;  // require_not_used says more of a mark
  throw InUse(title(device) + in_use_text(claimed, domain, device, *taker) +
              way_out(root, config, domain, device, claimed));
}

void require_source_unclaimed(const Root& root, const Config& config, const Domain& domain,
                              const AskedGpu& gpu, const ClaimedDevices& claimed) {
  ClaimedDevice device{
      .alias = gpu.alias, .profile = gpu.profile, .instance = {}, .parent = {}, .type = "-"};
  device.use = find_profile(config, gpu.profile)->use;  // request_verdict looked
  device.address = *hostdev_of(domain, gpu).address;
  require_unclaimed(root, config, domain, device, claimed);
}

// ---- written by hand

/// A word of a claim: what XML calls it may be anything.
static std::string word_of(const std::string& alias) {
  return is_profile_name(alias) && alias != "." && alias != ".." ? alias : "-";
}

/// Whether a GPU of the domain is in this slot: the function is its companion.
static bool has_slot_mate(const PciAddress& address, const std::vector<const Hostdev*>& gpus) {
  return std::any_of(gpus.begin(), gpus.end(), [&](const Hostdev* gpu) {
    return gpu->address && gpu->address->domain == address.domain &&
           gpu->address->bus == address.bus && gpu->address->slot == address.slot;
  });
}

static std::optional<ClaimedDevice> device_by_hand(const Root& root, const Hostdev& hostdev) {
  ClaimedDevice device{
      .alias = word_of(hostdev.alias), .profile = "-", .instance = {}, .parent = {}, .type = "-"};
  if (hostdev.type == Hostdev::Type::mdev) {
    const auto instance = hostdev.instance ? find_instance(root, *hostdev.instance) : std::nullopt;
    if (!instance) return {};
    device.instance = instance->uuid;
    device.parent = instance->parent;
    if (!instance->type.empty()) device.type = instance->type;
    return device;
  }
  const auto pci = hostdev.address ? find_pci_device(root, *hostdev.address) : std::nullopt;
  if (!pci) return {};
  device.use = pci->physical_function ? Use::vf : Use::whole;
  device.address = pci->address;
  device.parent = to_string(pci->physical_function.value_or(pci->address));
  return device;
}

void add_devices_by_hand(const Root& root, const Config& config, const Domain& domain,
                         Claim& claim) {
  const auto gpus = gpu_hostdevs(root, config, domain);
  for (const Hostdev& hostdev : domain.hostdevs) {
    if (is_ours(hostdev)) continue;
    const bool is_gpu_here = std::find(gpus.begin(), gpus.end(), &hostdev) != gpus.end();
    if (!is_gpu_here && !(hostdev.address && has_slot_mate(*hostdev.address, gpus))) continue;
    const auto device = device_by_hand(root, hostdev);
    const bool is_known =
        device && std::any_of(claim.devices.begin(), claim.devices.end(),
                              [&](const auto& other) { return is_same_device(*device, other); });
    if (device && !is_known) claim.devices.push_back(*device);
  }
}

static std::string by_hand_title(const ClaimedDevice& device) {
  return "hostdev " + device_name(device);
}

/// The card that a section speaks of.
static Parent card_of(const Root& root, const ClaimedDevice& device) {
  return read_identity(parse_pci_address(device.parent)
                           ? root.sys("bus/pci/devices/") + device.parent
                           : root.sys("class/mdev_bus/") + device.parent,
                       device.parent);
}

void require_allowed(const Root& root, const Config& config, const Domain& domain,
                     const ClaimedDevice& device, const ClaimedDevices& claimed) {
  if (const Taker* const taker = taker_of(claimed, domain, device))
    throw InUse(by_hand_title(device) +
                (taker->is_mark ? ": " + taker->what + "; 'gpuward clear " + device_name(device) +
                                      "' lets it be given again"
                                : in_use_text(claimed, domain, device, *taker) +
                                      "name another device in the domain's XML ('virsh edit " +
                                      shell_word(domain.name) + "'), or see 'gpuward list'"));
  if (settings_of(config, card_of(root, device)).use == Use::off)
    throw Error(by_hand_title(device) + ": the [gpu] section of " + device.parent +
                " has use = off, which keeps it from all domains; name another device in the "
                "domain's XML ('virsh edit " +
                shell_word(domain.name) + "'), or change that section");
}

}  // namespace gpuward
