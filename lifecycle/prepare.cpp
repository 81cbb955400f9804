// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/prepare.hpp"

#include <algorithm>
#include <set>

#include "allocation/device_memory.hpp"
#include "allocation/place_mdev.hpp"
#include "allocation/pool.hpp"
#include "allocation/quota.hpp"
#include "allocation/request.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "inventory/usage.hpp"
#include "kinds/attributes.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/kind.hpp"
#include "kinds/mdev.hpp"
#include "kinds/type_limit.hpp"
#include "lifecycle/by_hand.hpp"
#include "lifecycle/fraction_request.hpp"
#include "lifecycle/mdev_request.hpp"
#include "lifecycle/pci_request.hpp"
#include "lifecycle/release.hpp"
#include "mdev/parent.hpp"
#include "pci/card_facts.hpp"
#include "pci/pci_device.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {

namespace {

using State = ClaimedDevice::State;

/// One prepare at work.
struct Preparation {
  const Root& root;
  const Config& config;
  const Domain& domain;
  const Deadlines& deadlines;
  const Deadlines& undo_deadlines;
  std::vector<ResolvedRequest> requests;  ///< of the domain
  Claims claims;
  Claim claim;
  std::set<ParentType> refused;  ///< where the kernel said no although it had said there was room
  std::set<std::string> made;    ///< aliases of the devices whose instance is there
  std::vector<std::string> marks{};  ///< files of single use that this prepare has written

  /// The request that the device was claimed for: each that is not by hand has one, a companion
  /// without an alias that of its profile.
  const ResolvedRequest& request_of(const ClaimedDevice& device) const {
    for (const ResolvedRequest& request : requests)
      if (request.alias == gpu_alias(device.alias)) return request;
    for (const ResolvedRequest& request : requests)
      if (request.profile.name == device.profile) return request;
    throw Error(device_name(device), "not requested by the domain");
  }
  const Profile& profile_of(const ClaimedDevice& device) const {
    return request_of(device).profile;
  }
};

/// Again, now that nobody else can claim: since the first look another may have had it and gone.
void require_free(const Preparation& preparation, const ClaimedDevice& device,
                  const ClaimedDevices& claimed) {
  require_unclaimed(
      {preparation.root, preparation.config, preparation.domain, preparation.request_of(device)},
      device, claimed);
  require_not_used(preparation.root, device);
}

/// What this domain has of PCI devices gives it no mdevs either.
DevicesInUse in_use_for_mdevs(const Preparation& preparation, const ClaimedDevices& claimed) {
  DevicesInUse taken = claimed.taken;
  std::vector<PciAddress> own;
  for (const ClaimedDevice& device : preparation.claim.devices)
    if (is_pci(device.use)) own.push_back(device.address);
  add_own_devices(preparation.root, preparation.domain.uuid, own, {}, taken);
  return taken;
}

void require_quota(const Preparation& preparation, const std::vector<Claim>& claims,
                   const std::optional<MemoryCount>& memory = {}) {
  const Claim& claim = preparation.claim;
  const auto refusal =
      quota_refusal(preparation.config,
                    {claim.domain, claim.name, claim.owner, count_gpus(claim), memory}, claims);
  if (refusal && refusal->passes) throw InUse(refusal->reason);
  if (refusal) throw Error(refusal->reason);
}

/// A GPU of the domain, no companion, that is not kept in quarantine.
bool has_memory(const ClaimedDevice& device) {
  return device.state == State::claimed && (is_gpu_of_profile(device) || is_by_hand(device));
}

bool is_memory_required(const Preparation& preparation, const ClaimedDevice& device) {
  return limits_memory(preparation.config) ||
         (!is_by_hand(device) && preparation.profile_of(device).memory_mib);
}

/// What each device has of its card's memory, where that is requested or limited. It is known once
/// the devices are placed.
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

/// Of all others, for later requests: without the lock of the host, as nothing waits for it.
void note_other_memory(Preparation& preparation) {
  for (ClaimedDevice& device : preparation.claim.devices)
    if (has_memory(device) && !is_memory_required(preparation, device))
      note_memory(preparation.root, device);
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

/// Decides where each instance that does not exist yet shall be.
void place_mdevs(Preparation& preparation, const MdevPlacing& placing) {
  std::vector<MdevRequest> requests;
  for (ClaimedDevice& device : preparation.claim.devices)
    if (needs_instance(device, preparation.made))
      requests.push_back({preparation.profile_of(device), device});
  place_mdevs(placing, requests);
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

/// Whether the domain may have what is where it is: PCI devices, and instances that exist.
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

void allocate(Preparation& preparation, const ClaimedDevices& claimed) {
  require_readable(claimed.unreadable);
  require_quota(preparation, claimed.claims);
  const DevicesInUse taken = in_use_for_mdevs(preparation, claimed);
  const MdevPlacing placing{preparation.root,
                            preparation.config,
                            preparation.domain,
                            preparation.claims,
                            preparation.claim,
                            claimed.claims,
                            taken,
                            preparation.refused,
                            preparation.made};
  place_mdevs(preparation, placing);
  require_available(preparation, placing, claimed);
  require_all_memory(preparation, claimed.claims);
}

std::string run_again(const Domain& domain) {
  return "run again: virsh start " + shell_word(domain.name);
}

/// Allocates all devices, and writes the claim before anything is touched.
void claim_all(Preparation& preparation) {
  const auto wait = preparation.deadlines.lock_wait();
  const auto lock = preparation.claims.lock_host(wait);
  if (!lock)
    throw Error({},
                "timed out after " + std::to_string(wait.count() / 1000) +
                    " s waiting for another allocation on this host",
                run_again(preparation.domain));
  allocate(preparation, claimed_devices(preparation.root));
  preparation.claims.write(preparation.claim);
}

/// A write that begins with no time left would look like one that is blocked.
void require_time(const Preparation& preparation) {
  if (preparation.deadlines.end.is_over())
    throw Error({}, "timed out waiting for other gpuward processes", run_again(preparation.domain));
}

/// Creates what is not there yet, in order. True when all are; false when the kernel had no room
/// where it was placed, which is then noted and the rest to be placed again. Throws Error for all
/// else.
bool create_all(Preparation& preparation) {
  std::vector<ClaimedDevice*> devices;
  for (ClaimedDevice& device : preparation.claim.devices)
    if (needs_instance(device, preparation.made)) devices.push_back(&device);
  require_time(preparation);
  const size_t created = create_instances(preparation.root, preparation.claims, preparation.claim,
                                          devices, preparation.deadlines);
  for (size_t i = 0; i < created; ++i) preparation.made.insert(devices[i]->alias);
  if (created == devices.size()) return true;
  preparation.refused.insert({devices[created]->parent, devices[created]->type});
  return false;
}

void require_created(const Preparation& preparation) {
  for (const ClaimedDevice& device : preparation.claim.devices)
    if (const Kind& kind = kind_of(device.use); kind.require_set_up && !is_by_hand(device))
      kind.require_set_up(preparation.root, device);
}

void write_attributes_of_instances(Preparation& preparation) {
  for (ClaimedDevice& device : preparation.claim.devices) {
    if (is_pci(device.use) || device.state != State::claimed || is_by_hand(device)) continue;
    write_attributes({preparation.root, preparation.config, preparation.profile_of(device),
                      preparation.claim, preparation.deadlines},
                     device);
  }
}

/// On disk before anything is done to the hardware of the first.
void mark_single_use(Preparation& preparation) {
  for (const ClaimedDevice& device : preparation.claim.devices)
    if (device.one_time && device.state == State::claimed)
      preparation.marks.push_back(mark_pending(preparation.root, device.address,
                                               parse_pci_address(device.parent),
                                               preparation.claim.domain, preparation.claim.name));
}

/// No guest has had the devices, also where one has to wait in quarantine. Last: killed before,
/// this call leaves them as used.
void take_back_marks(const Preparation& preparation) {
  for (const std::string& mark : preparation.marks) take_back_mark(mark);
}

/// PCI devices last: when one of these fails the instances are easily undone. A vGPU's type is
/// known only now.
void set_up_pci_devices(Preparation& preparation) {
  for (ClaimedDevice& device : preparation.claim.devices) {
    if (is_mediated(device.use) || device.state != State::claimed || is_by_hand(device)) continue;
    require_time(preparation);
    kind_of(device.use)
        .set_up({preparation.root, preparation.config, preparation.profile_of(device),
                 preparation.claim, preparation.deadlines},
                device);
  }
}

/// With what was noted of the devices while they were set up.
void complete(Preparation& preparation) {
  preparation.claim.completed = true;
  preparation.claims.write(preparation.claim);
}

/// What an earlier start left that was never released, as the host's hook was killed.
bool no_longer_requested(const Preparation& preparation, const ClaimedDevice& device) {
  return is_pci(device.use) &&
         std::none_of(preparation.domain.hostdevs.begin(), preparation.domain.hostdevs.end(),
                      [&](const Hostdev& hostdev) { return hostdev.address == device.address; });
}

void release_stale_claim(Preparation& preparation) {
  restore_quarantine(preparation.root, preparation.claims, preparation.claim.domain);
  const auto old = preparation.claims.find(preparation.claim.domain);
  if (!old) return;
  log::warning(domain_title(preparation.domain.name) +
               ": found a claim from an earlier run, releasing it first");
  for (const QuarantinedDevice& kept :
       release_devices(preparation.root, preparation.claims, *old, preparation.deadlines)) {
    if (!no_longer_requested(preparation, kept.device))
      throw Error(gpu_title(kept.device.alias),
                  describe_device(kept.device) + " is quarantined: " + kept.reason,
                  remedy_of(kept));
    log::warning(domain_title(preparation.domain.name) + ": " + to_string(quarantine_reason(kept)));
    preparation.claim.devices.push_back(kept.device);
  }
}

/// What is written of this domain's claim; nothing when it cannot be read, as then nothing is known
/// to be its own.
std::vector<ClaimedDevice> claim_on_disk(const Preparation& preparation) {
  try {
    if (const auto claim = preparation.claims.find(preparation.claim.domain)) return claim->devices;
  } catch (const Error& error) {
    log::error(domain_title(preparation.domain.name) +
               ": cannot roll back: " + without_remedy(error.reason) + "; run: gpuward reconcile");
  }
  return {};
}

/// A VF on which no type was created: a vGPU that is there is another tool's.
bool is_untouched(const ClaimedDevice& device) {
  return is_typed_vf(device.use) && device.type == "-" && !device.writer.pid &&
         device.state == State::claimed;
}

/// The first cause is what the user must see, so nothing here throws. No guest has had the devices,
/// so there is nothing to scrub. Only what is on disk as this domain's was touched: a claim that
/// was refused before it was written names devices of others.
void undo(Preparation& preparation) {
  const auto written = claim_on_disk(preparation);
  std::erase_if(preparation.claim.devices, [&](const ClaimedDevice& device) {
    return is_untouched(device) ||
           std::none_of(written.begin(), written.end(),
                        [&](const ClaimedDevice& other) { return is_same_device(device, other); });
  });
  if (preparation.claim.devices.empty() && written.empty()) return;
  preparation.claim.completed = false;
  try {
    for (const QuarantinedDevice& kept : release_devices(
             preparation.root, preparation.claims, preparation.claim, preparation.undo_deadlines))
      log::warning(domain_title(preparation.domain.name) + ": " +
                   to_string(quarantine_reason(kept)));
    take_back_marks(preparation);
  } catch (const Error& error) {
    log::error(domain_title(preparation.domain.name) +
               ": rollback failed: " + without_remedy(error.reason) + "; run: gpuward reconcile");
  }
}

void request_pci_devices(Preparation& preparation, const ResolvedRequest& gpu) {
  const PciRequest request{preparation.root, preparation.config, preparation.domain, gpu};
  const ClaimedDevices claimed = claimed_devices(preparation.root);
  require_readable(claimed.unreadable);
  require_source_unclaimed(request, claimed);
  for (ClaimedDevice& device : pci_devices_asked(request)) {
    mark_fraction(gpu.profile, device);
    require_unclaimed(request, device, claimed);  // names its domain, where the next says QEMU
    require_unused(preparation.root, preparation.domain, device, preparation.deadlines);
    if (const auto require_adoptable = kind_of(device.use).require_adoptable)
      require_adoptable(preparation.root, preparation.config, device);
    preparation.claim.devices.push_back(std::move(device));
  }
}

void request_mdev(Preparation& preparation, const ResolvedRequest& gpu) {
  ClaimedDevice device = mdev_asked(preparation.root, preparation.config, preparation.domain, gpu);
  mark_fraction(gpu.profile, device);
  if (!device.parent.empty()) preparation.made.insert(device.alias);
  preparation.claim.devices.push_back(std::move(device));
}

/// What the domain requests, and what its author wrote into its XML.
void request_devices(Preparation& preparation) {
  for (const ResolvedRequest& gpu : preparation.requests)
    if (gives_pci_devices(gpu.profile))
      request_pci_devices(preparation, gpu);
    else
      request_mdev(preparation, gpu);
  add_devices_by_hand(preparation.root, preparation.config, preparation.domain, preparation.claim);
}

}  // namespace

/// A hostdev whose device is not there is libvirt's to refuse.
static bool has_none_by_hand(const Root& root, const Config& config, const Domain& domain) {
  Claim claim = new_claim(domain);
  add_devices_by_hand(root, config, domain, claim);
  return claim.devices.empty();
}

/// In quarantine a device stays until the administrator clears it, so its single use is kept too.
static void forget_scrub_programs(const std::vector<PciAddress>& devices, Claim& claim) {
  for (ClaimedDevice& device : claim.devices)
    if (is_pci(device.use) &&
        std::find(devices.begin(), devices.end(), device.address) != devices.end())
      device.scrub = unknown_scrub;
}

void prepare_devices(const Root& root, const Config& config, const Domain& domain,
                     const Deadlines& deadlines, const std::vector<PciAddress>& unknown) {
  if (domain.requests.empty() && has_none_by_hand(root, config, domain)) return;
  const Deadlines before_undo = deadlines.before_reserve();
  Preparation preparation{root,         config,
                          domain,       before_undo,
                          deadlines,    resolve_requests(config, domain),
                          Claims(root), new_claim(domain),
                          {},           {}};
  preparation.claims.make_ready();
  preparation.claims.sweep();
  const auto wait = preparation.deadlines.lock_wait();
  const auto lock = preparation.claims.lock_domain(domain.uuid, wait);
  if (!lock)
    throw Error({},
                "timed out after " + std::to_string(wait.count() / 1000) +
                    " s: another gpuward process is still preparing or releasing this "
                    "domain's GPUs",
                "run: gpuward list");
  release_stale_claim(preparation);
  request_devices(preparation);
  forget_scrub_programs(unknown, preparation.claim);
  try {
    do claim_all(preparation);
    while (!create_all(preparation));
    note_other_memory(preparation);
    require_created(preparation);
    write_attributes_of_instances(preparation);
    mark_single_use(preparation);
    set_up_pci_devices(preparation);
    complete(preparation);
  } catch (const Error&) {
    undo(preparation);
    throw;
  }
}

DevicesRefusal devices_refusal(const Root& root, const Config& config, const Domain& domain) try {
  Deadlines deadlines;
  deadlines.release = {};  // whoever has a device open now is not waited for
  Preparation preparation{root,         config,
                          domain,       deadlines,
                          deadlines,    resolve_requests(config, domain),
                          Claims(root), new_claim(domain),
                          {},           {}};
  request_devices(preparation);
  if (!preparation.claim.devices.empty()) allocate(preparation, claimed_devices(root));
  for (const ClaimedDevice& device : preparation.claim.devices)
    if (const auto check = kind_of(device.use).require_creatable; check && !is_by_hand(device))
      check(root, config, preparation.profile_of(device), device);
  return {};
} catch (const InUse& error) {
  return {error.reason, true};
} catch (const Error& error) {
  return {error.reason, false};
}

}  // namespace gpuward
