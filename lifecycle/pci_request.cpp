// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/pci_request.hpp"

#include <algorithm>
#include <set>

#include "allocation/choose_device.hpp"
#include "allocation/pool.hpp"
#include "allocation/reassignment.hpp"
#include "allocation/request_verdict.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "base/trusted_file.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "mdev/instance.hpp"
#include "pci/card_facts.hpp"
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

/// A word of a claim: what XML calls it may be anything.
static std::string word_of(const std::string& alias) {
  return is_profile_name(alias) && alias != "." && alias != ".." ? alias : "-";
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
                "device is not local to the domain's memory and CPUs (numa = require)",
                reassign_command(domain));
  if (profile.use == Use::vendor_vf && hostdev.managed)
    throw Error(title(device), "hostdev has managed='yes', which would unbind NVIDIA's driver",
                reassign_command(domain));
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
    device.alias = word_of(companion->alias);
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

void require_not_used(const Root& root, const ClaimedDevice& device) {
  if (const auto owner = used_by(root, device.address, parse_pci_address(device.parent)))
    throw Error(title(device), single_use_text(*owner),
                "run: gpuward clear " + to_string(device.address));
}

void require_unused(const Root& root, const Domain& domain, const ClaimedDevice& device,
                    const Deadlines& deadlines) {
  require_not_used(root, device);
  if (!find_pci_device(root, device.address)) return;  // a VF that is yet to be made
  if (const auto vfs = virtual_functions(root, device.address); !vfs.empty())
    throw Error(title(device), "GPU has " + std::to_string(vfs.size()) + " VFs enabled",
                "set vfs = 0 in its [gpu] section and run: gpuward apply");
  require_viable_group(root, domain, device);
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
      if (claim.domain != domain.uuid && other.use != Use::mdev &&
          other.address != device.address && find_device(pool, other.address))
        others.insert(in_quotes(claim.name));
  if (others.empty()) return "no other device of " + title_of(profile) + " is available";
  return "shut one of the domains " + first_three_of(others) + " down" +
         (profile.is_configured ? " or add GPUs to [profile " + profile.name + "]" : "");
}

/// What a section of the configuration may speak of: the PCI device, or the parent of an mdev.
static Parent identity_of(const Root& root, const ClaimedDevice& device) {
  const std::string name = device.use == Use::mdev ? device.parent : to_string(device.address);
  return read_identity(parse_pci_address(name) ? root.sys("bus/pci/devices/") + name
                                               : root.sys("class/mdev_bus/") + name,
                       name);
}

static std::optional<User> user_of(const Root& root, const ClaimedDevices& claimed,
                                   const ClaimedDevice& device) {
  if (device.use != Use::mdev) {
    const auto found = claimed.taken.find(device.address);
    return found == claimed.taken.end()
               ? user_of_card(claimed.taken, parse_pci_address(device.parent))
               : found->second;
  }
  const auto found = claimed.instances.find(device.instance);
  return found == claimed.instances.end() ? user_of_parent(claimed.taken, identity_of(root, device))
                                          : found->second;
}

/// Who keeps this domain from having the device, by claims; nothing when nobody does.
static std::optional<User> taker_of(const Root& root, const ClaimedDevices& claimed,
                                    const Domain& domain, const ClaimedDevice& device) {
  auto user = user_of(root, claimed, device);
  if (user && user->domain == domain.uuid) user.reset();
  return user;
}

/// The name of who has claimed this very device.
static const Claim* claim_of(const ClaimedDevices& claimed, const Domain& domain,
                             const ClaimedDevice& device) {
  for (const Claim& claim : claimed.claims)
    for (const ClaimedDevice& other : claim.devices)
      if (claim.domain != domain.uuid && is_same_device(device, other)) return &claim;
  return nullptr;
}

static bool is_quarantined(const Claim& claim, const ClaimedDevice& device) {
  return std::any_of(claim.devices.begin(), claim.devices.end(), [&](const ClaimedDevice& other) {
    return is_same_device(device, other) && other.state == ClaimedDevice::State::quarantined;
  });
}

/// Who uses the device, or why it is not available.
static std::string in_use_text(const ClaimedDevices& claimed, const Domain& domain,
                               const ClaimedDevice& device, const User& taker) {
  const Claim* const claim = claim_of(claimed, domain, device);
  if (!claim) return taker.what;
  return is_quarantined(*claim, device) ? quarantine_text(claim->name)
                                        : "in use by " + domain_title(claim->name);
}

void require_unclaimed(const PciRequest& request, const ClaimedDevice& device,
                       const ClaimedDevices& claimed) {
  const Domain& domain = request.domain;
  const auto taker = taker_of(request.root, claimed, domain, device);
  if (!taker) return;
  if (taker->is_mark && taker->by == User::By::itself) return;  // require_not_used says more
  const Claim* const claim = claim_of(claimed, domain, device);
  const std::string why = in_use_text(claimed, domain, device, *taker);
  if (claim && is_quarantined(*claim, device))
    throw InUse(title(device), why, quarantine_remedy(*claim));
  throw InUse(title(device), why,
              !claim && !taker->remedy.empty() ? taker->remedy : remedy(request, device, claimed));
}

void require_source_unclaimed(const PciRequest& request, const ClaimedDevices& claimed) {
  require_unclaimed(request, source_device(request), claimed);
}

// ---- written by hand

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

/// Whether [gpu] switches it off; without a problem when it does not.
static Reason switched_off(const Root& root, const Config& config, const ClaimedDevice& device) {
  Parent identity = identity_of(root, device);
  read_card_facts(root, config, identity);
  GpuSettings settings = settings_of(config, identity);
  if (!settings.unclear.problem.empty()) return std::move(settings.unclear);
  if (settings.use != Use::off) return {};
  const auto& card = identity.physical_function;
  const bool is_by_card =
      card && settings_of(config, read_identity(root, config, *card)).use == Use::off;
  return {
      {},
      "use = off is set in the [gpu] section of " + (is_by_card ? to_string(*card) : identity.name),
      {}};
}

void require_allowed(const Root& root, const Config& config, const Domain& domain,
                     const ClaimedDevice& device, const ClaimedDevices& claimed) {
  const std::string edit = "name another device in: virsh edit " + shell_word(domain.name);
  if (const auto taker = taker_of(root, claimed, domain, device))
    throw InUse(by_hand_title(device), in_use_text(claimed, domain, device, *taker),
                taker->remedy.empty() ? edit : taker->remedy);
  if (const Reason off = switched_off(root, config, device); !off.problem.empty())
    throw Error(by_hand_title(device), off.problem, off.remedy.empty() ? edit : off.remedy);
}

}  // namespace gpuward
