// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/prepare.hpp"

#include <algorithm>
#include <optional>

#include "allocation/place_mdev.hpp"
#include "allocation/pool.hpp"
#include "base/error.hpp"
#include "base/lock.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "inventory/usage.hpp"
#include "kinds/attributes.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/kind.hpp"
#include "kinds/mdev.hpp"
#include "lifecycle/by_hand.hpp"
#include "lifecycle/pci_request.hpp"
#include "lifecycle/preparation.hpp"
#include "lifecycle/release.hpp"
#include "lifecycle/requirements.hpp"
#include "lifecycle/undo.hpp"
#include "pci/iommu_group.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {

namespace {

using State = ClaimedDevice::State;

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

// ---- what it requests

void request_pci_devices(Preparation& preparation, const ResolvedRequest& gpu) {
  const PciRequest request{preparation.root, preparation.config, preparation.domain, gpu};
  // Checked for each request: the one before may have waited until a process closed its device.
  const ClaimedDevices claimed = claimed_devices(preparation.root);
  require_readable(claimed.unreadable);
  require_source_unclaimed(request, claimed);
  for (ClaimedDevice& device : pci_devices_asked(request)) {
    mark_fraction(gpu.profile, device);
    require_unclaimed(request, device, claimed);  // names its domain, where the next says QEMU
    require_unused(request, device, claimed, preparation.deadlines);
    if (const auto require_adoptable = kind_of(device.use).require_adoptable)
      require_adoptable(preparation.root, preparation.config, device);
    preparation.claim.devices.push_back(std::move(device));
  }
}

/// What the domain requests, and what its author wrote into its XML.
void request_devices(Preparation& preparation) {
  for (const ResolvedRequest& gpu : preparation.requests) {
    if (gives_pci_devices(gpu.profile)) {
      request_pci_devices(preparation, gpu);
      continue;
    }
    ClaimedDevice device =
        mdev_asked(preparation.root, preparation.config, preparation.domain, gpu);
    if (!device.parent.empty()) preparation.made.insert(device.alias);
    preparation.claim.devices.push_back(std::move(device));
  }
  add_devices_by_hand(preparation.root, preparation.config, preparation.domain, preparation.claim);
}

// ---- its claim

/// What this domain has of PCI devices gives it no mdevs either.
DevicesInUse in_use_for_mdevs(const Preparation& preparation, const ClaimedDevices& claimed) {
  DevicesInUse taken = claimed.taken;
  std::vector<PciAddress> own;
  for (const ClaimedDevice& device : preparation.claim.devices)
    if (is_pci(device.use)) own.push_back(device.address);
  add_own_devices(preparation.root, preparation.domain.uuid, own, {}, taken);
  return taken;
}

/// Decides where each instance that does not exist yet shall be, and whether the domain may have
/// all of its devices.
void allocate(Preparation& preparation) {
  const ClaimedDevices claimed = claimed_devices(preparation.root);
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
                            preparation.made,
                            preparation.asked};
  std::vector<MdevRequest> mdevs;
  for (ClaimedDevice& device : preparation.claim.devices)
    if (needs_instance(device, preparation.made))
      mdevs.push_back({preparation.profile_of(device), device});
  place_mdevs(placing, mdevs);
  require_available(preparation, placing, claimed);
  require_unified_memory_of_types(preparation);
  require_all_memory(preparation, claimed.claims);
}

Lock lock_domain(const Preparation& preparation) {
  const auto wait = preparation.deadlines.lock_wait();
  auto lock = preparation.claims.lock_domain(preparation.domain.uuid, wait);
  if (!lock)
    throw Error({},
                "timed out after " + std::to_string(wait.count() / 1000) +
                    " s: another gpuward process is still preparing or releasing this "
                    "domain's GPUs",
                "run: gpuward list");
  return std::move(*lock);
}

std::string run_again(const Domain& domain) {
  return "run again: virsh start " + shell_word(domain.name);
}

Lock lock_host(const Preparation& preparation) {
  const auto wait = preparation.deadlines.lock_wait();
  auto lock = preparation.claims.lock_host(wait);
  if (!lock)
    throw Error({},
                "timed out after " + std::to_string(wait.count() / 1000) +
                    " s waiting for another allocation on this host",
                run_again(preparation.domain));
  return std::move(*lock);
}

// ---- its devices are set up

/// A write that begins with no time left would look like one that is blocked.
void require_time(const Preparation& preparation) {
  if (preparation.deadlines.end.is_over())
    throw Error({}, "timed out waiting for other gpuward processes", run_again(preparation.domain));
}

/// Asks NVIDIA's library, which may take long, while the lock of the host is not held. Only the
/// mdevs of a domain with several GPUs are placed by links.
void ask_links(const Preparation& preparation) {
  const auto& devices = preparation.claim.devices;
  if (devices.size() < 2 ||
      std::none_of(devices.begin(), devices.end(), [&](const ClaimedDevice& device) {
        return needs_instance(device, preparation.made);
      }))
    return;
  std::vector<PciAddress> beside;
  for (const ClaimedDevice& device : devices)
    if (is_pci(device.use)) beside.push_back(device.address);
  ask_nvlinks(preparation.root, beside, *preparation.asked);
}

/// Asks NVIDIA's library, which may take long: the claim is on disk then, and the lock of the host
/// is not held.
void require_promised_shares(const Preparation& preparation, std::optional<Lock>& of_host) {
  const auto& devices = preparation.claim.devices;
  if (std::none_of(devices.begin(), devices.end(),
                   [](const ClaimedDevice& device) { return device.compute_percent.has_value(); }))
    return;
  preparation.claims.write(preparation.claim);
  of_host.reset();
  require_shares(preparation);
}

/// Writes the claim, then releases the lock of the host and creates what is not there yet, in
/// order. True when all are; false when the kernel had no room where it was placed, which is then
/// noted and the rest to be placed again. Throws Error for all else.
bool create_all(Preparation& preparation, std::optional<Lock> of_host) {
  std::vector<ClaimedDevice*> devices;
  for (ClaimedDevice& device : preparation.claim.devices)
    if (needs_instance(device, preparation.made)) devices.push_back(&device);
  const auto write_claim = [&] {  // before anything is touched
    preparation.claims.write(preparation.claim);
    of_host.reset();  // not held while instances are created
  };
  if (devices.empty()) {
    write_claim();
    return true;
  }
  require_time(preparation);
  const size_t created =
      create_instances(preparation.root, devices, preparation.deadlines, write_claim);
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

/// With what was noted of the devices while they were set up. A VF has an IOMMU group only then.
void complete(Preparation& preparation) {
  for (ClaimedDevice& device : preparation.claim.devices)
    if (is_pci(device.use) && device.state == State::claimed)
      device.iommu_group = iommu_group_number(preparation.root, device.address);
  preparation.claim.completed = true;
  preparation.claims.write(preparation.claim);
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
  const Lock of_domain = lock_domain(preparation);
  release_stale_claim(preparation);
  request_devices(preparation);
  forget_scrub_programs(unknown, preparation.claim);
  try {
    ask_links(preparation);
    for (bool are_created = false; !are_created;) {
      std::optional<Lock> of_host = lock_host(preparation);
      allocate(preparation);
      require_promised_shares(preparation, of_host);
      are_created = create_all(preparation, std::move(of_host));
    }
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
  deadlines.release = {};  // a process that has a device open now is not waited for
  Preparation preparation{root,         config,
                          domain,       deadlines,
                          deadlines,    resolve_requests(config, domain),
                          Claims(root), new_claim(domain),
                          {},           {}};
  request_devices(preparation);
  if (!preparation.claim.devices.empty()) allocate(preparation);
  require_shares(preparation);
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
