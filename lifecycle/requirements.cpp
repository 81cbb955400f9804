// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/requirements.hpp"

#include "allocation/device_memory.hpp"
#include "allocation/device_share.hpp"
#include "allocation/quota.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/quote.hpp"
#include "config/attribute_list.hpp"
#include "inventory/gpu_types.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/pool_device.hpp"
#include "kinds/type_limit.hpp"
#include "kinds/unified_memory.hpp"
#include "lifecycle/by_hand.hpp"
#include "lifecycle/fraction_request.hpp"
#include "lifecycle/pci_request.hpp"
#include "pci/card_facts.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

namespace {

using State = ClaimedDevice::State;

/// Again, now that nobody else can claim: since the first look another may have had it and gone.
void require_free(const Preparation& preparation, const ClaimedDevice& device,
                  const ClaimedDevices& claimed) {
  require_unclaimed(
      {preparation.root, preparation.config, preparation.domain, preparation.request_of(device)},
      device, claimed);
  require_not_used(preparation.root, device, claimed);
}

/// With what this domain is to have.
std::vector<Claim> with_own(const Preparation& preparation, std::vector<Claim> claims) {
  std::erase_if(claims,
                [&](const Claim& claim) { return claim.domain == preparation.claim.domain; });
  claims.push_back(preparation.claim);
  return claims;
}

/// Whether the card takes a PCI device that is a fraction of it.
void require_fraction_free(const Preparation& preparation, const ClaimedDevice& device,
                           const std::vector<Claim>& others) {
  if (!device.fraction) return;
  // Of a VF that is not enabled yet nothing but its card is known.
  const std::string part = exists(pci_path(preparation.root, device.address))
                               ? to_string(device.address)
                               : device.parent;
  const auto limit =
      fraction_limit(preparation.root, preparation.config, preparation.profile_of(device),
                     identity_of(preparation.root, preparation.config, part),
                     without_device(with_own(preparation, others), device));
  if (!limit) return;
  const Reason reason{gpu_title(device.alias), limit->text,
                      "run: gpuward reassign " + shell_word(preparation.domain.name)};
  if (limit->is_permanent) throw Error(reason);
  throw InUse(reason);
}

/// An instance or a VF that the domain's XML names without a profile: as prepare places those that
/// it creates.
void require_allowed_by_hand(const Preparation& preparation, const MdevPlacing& placing,
                             const ClaimedDevice& device, const ClaimedDevices& claimed) {
  require_allowed(preparation.root, preparation.config, preparation.domain, device, claimed);
  require_vgpu_within_max(preparation.root, preparation.config, device,
                          with_own(preparation, claimed.claims));
  const auto parent = is_mediated(device.use)
                          ? find_parent(preparation.root, preparation.config, device.parent)
                          : std::optional<Parent>();
  Profile of_none;
  of_none.use = device.use;
  if (parent) require_within_max(placing, of_none, *parent, device);
}

/// A GPU of the domain, no companion, that is not kept in quarantine.
bool has_memory(const ClaimedDevice& device) {
  return device.state == State::claimed && (is_gpu_of_profile(device) || is_by_hand(device));
}

bool is_memory_required(const Preparation& preparation, const ClaimedDevice& device) {
  return limits_memory(preparation.config) ||
         (!is_by_hand(device) && preparation.profile_of(device).memory_mib);
}

}  // namespace

void require_quota(const Preparation& preparation, const std::vector<Claim>& claims,
                   const std::optional<MemoryCount>& memory) {
  const Claim& claim = preparation.claim;
  const auto refusal =
      quota_refusal(preparation.config,
                    {claim.domain, claim.name, claim.owner, count_gpus(claim), memory}, claims);
  if (refusal && refusal->passes) throw InUse(refusal->reason);
  if (refusal) throw Error(refusal->reason);
}

void require_available(const Preparation& preparation, const MdevPlacing& placing,
                       const ClaimedDevices& claimed) {
  for (const ClaimedDevice& device : preparation.claim.devices) {
    if (device.state != State::claimed) continue;  // waits in quarantine, and is not asked for
    if (is_by_hand(device))
      require_allowed_by_hand(preparation, placing, device, claimed);
    else if (is_pci(device.use)) {
      require_free(preparation, device, claimed);
      require_fraction_free(preparation, device, claimed.claims);
    } else if (preparation.made.contains(device.alias))
      require_parent_available(placing, preparation.profile_of(device), device);
  }
}

void require_all_memory(Preparation& preparation, const std::vector<Claim>& claims) {
  for (ClaimedDevice& device : preparation.claim.devices) {
    if (!has_memory(device) || !is_memory_required(preparation, device)) continue;
    if (is_by_hand(device))
      device.memory_mib = memory_of_device(preparation.root, device, device.type);
    else
      require_memory(preparation.root, preparation.domain, preparation.profile_of(device), device);
  }
  if (limits_memory(preparation.config))
    require_quota(preparation, with_memory(preparation.root, claims),
                  count_memory(preparation.claim));
}

void require_unified_memory_of_types(const Preparation& preparation) {
  const Root& root = preparation.root;
  for (const ClaimedDevice& device : preparation.claim.devices) {
    if (!is_mediated(device.use) || device.state != State::claimed || is_by_hand(device)) continue;
    const Profile& profile = preparation.profile_of(device);
    if (!sets_unified_memory(profile.attributes)) continue;
    GpuType type{.id = device.type,
                 .name = type_name(root, device.parent, device.type),
                 .description = type_description(root, device.parent, device.type)};
    add_size(type);
    require_unified_memory(profile, type, gpu_title(device.alias));
  }
}

void require_shares(const Preparation& preparation) {
  AskedCards asked;
  for (const ClaimedDevice& device : preparation.claim.devices) {
    if (device.state != State::claimed || is_by_hand(device) || !device.compute_percent) continue;
    const Profile& profile = preparation.profile_of(device);
    const std::string& type =
        device.type == "-" && !profile.types.empty() ? profile.types.front() : device.type;
    const auto share = promised_share(preparation.root, device, type, asked);
    if (share && !share->refusal.empty())
      throw Error(gpu_title(device.alias),
                  title_of(profile) + " was promised " + std::to_string(*device.compute_percent) +
                      " % of the compute units: " + share->refusal,
                  share->is_unknown && traits_of(device.use).has_types
                      ? "check: nvidia-smi"
                      : "run: gpuward reassign " + shell_word(preparation.domain.name));
  }
}

void note_other_memory(Preparation& preparation) {
  for (ClaimedDevice& device : preparation.claim.devices)
    if (has_memory(device) && !is_memory_required(preparation, device))
      note_memory(preparation.root, device);
}

}  // namespace gpuward
