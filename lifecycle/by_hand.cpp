// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/by_hand.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "config/gpu_settings.hpp"
#include "config/names.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "kinds/kind.hpp"
#include "kinds/type_limit.hpp"
#include "kinds/type_names.hpp"
#include "kinds/types.hpp"
#include "lifecycle/device_user.hpp"
#include "mdev/instance.hpp"
#include "pci/card_facts.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

Claim new_claim(const Domain& domain) {
  Claim claim{domain.uuid, domain.name, {}};
  claim.owner = domain.owner;
  return claim;
}

std::string alias_word(const std::string& alias) {
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
  ClaimedDevice device{.alias = alias_word(hostdev.alias),
                       .profile = "-",
                       .instance = {},
                       .parent = {},
                       .type = "-"};
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
  device.use = use_by_hand(*pci);
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
  GpuSettings settings = permissions_of(config, identity, device.use);
  if (!settings.unclear.problem.empty()) return std::move(settings.unclear);
  if (!is_off(settings.use)) return {};
  const auto& card = identity.physical_function;
  const bool is_by_card =
      card && is_off(settings_of(config, read_identity(root, config, *card)).use);
  return {
      {},
      "use = off is set in the [gpu] section of " + (is_by_card ? to_string(*card) : identity.name),
      {}};
}

void require_allowed(const Root& root, const Config& config, const Domain& domain,
                     const ClaimedDevice& device, const ClaimedDevices& claimed) {
  const std::string edit = "name another device in: virsh edit " + shell_word(domain.name);
  if (const auto user = user_of(root, claimed, domain, device))
    throw InUse(by_hand_title(device), in_use_text(claimed, domain, device, *user),
                user->remedy.empty() ? edit : user->remedy);
  if (const Reason off = switched_off(root, config, device); !off.problem.empty())
    throw Error(by_hand_title(device), off.problem, off.remedy.empty() ? edit : off.remedy);
}

/// A limit for this id, else one that is written with the name of a vGPU, such as NVIDIA L40S-1B.
/// The ids of mdev types, such as nvidia-63, and the profiles of GPU instances are one word.
static bool needs_name(const std::vector<InstanceCount>& max, const std::string& id) {
  const auto is_of_id = [&](const InstanceCount& limit) { return limit.type == id; };
  return std::none_of(max.begin(), max.end(), is_of_id) &&
         std::any_of(max.begin(), max.end(),
                     [](const InstanceCount& limit) { return !is_name(limit.type); });
}

/// [gpu] max that counts for a device by hand. With use = mig it counts GPU instances, of which
/// none has been made for what a domain has by hand.
static std::vector<InstanceCount> max_by_hand(const Root& root, const Config& config,
                                              const ClaimedDevice& device) {
  const auto has_max = [](const GpuSection& section) { return !section.max.empty(); };
  if (!traits_of(device.use).is_vf || std::none_of(config.gpus.begin(), config.gpus.end(), has_max))
    return {};
  GpuSettings settings =
      permissions_of(config, read_identity(root, config, device.address), device.use);
  if (settings.use && traits_of(*settings.use).needs_program) return {};
  return std::move(settings.max);
}

void require_vgpu_within_max(const Root& root, const Config& config, const ClaimedDevice& device,
                             const std::vector<Claim>& claims) {
  const auto max = max_by_hand(root, config, device);
  if (max.empty()) return;
  const ClaimedType type = claimed_type(root, device);
  if (!is_typed_vf(type.use) || type.id == "-") return;
  const std::string section = "the [gpu] section of " + device.parent;
  if (type.id.empty())
    throw Error(by_hand_title(device),
                "type of its vGPU cannot be read, max of " + section + " may not permit it",
                "check: journalctl -k");
  std::string name;
  if (needs_name(max, type.id))
    name = TypeNames(root).of({.instance = {{}, device.parent, type.id}, .use = type.use});
  if (name.empty() && needs_name(max, type.id))
    throw Error(by_hand_title(device),
                "name of its vGPU type " + type.id + " is not listed by the driver, max of " +
                    section + " may not permit it",
                "write ids of types instead of names in max of that section");
  const auto limit = reached_limit(root, max, device.parent, {type.use, type.id, name},
                                   without_device(claims, device));
  if (!limit) return;
  const Reason reason{by_hand_title(device), "has vGPU type " + type.id + ", and " + limit->text,
                      limit->remedy};
  if (limit->is_permanent) throw Error(reason);
  throw InUse(reason);
}

}  // namespace gpuward
