// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdio>

#include "allocation/reassignment.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "cli/attach_requests.hpp"
#include "cli/commands.hpp"
#include "cli/domain_edits.hpp"
#include "cli/output.hpp"
#include "domain/xml_document.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "inventory/usage.hpp"
#include "kinds/kind.hpp"
#include "lifecycle/reassign.hpp"
#include "lifecycle/release.hpp"
#include "pci/pci_device.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {

/// Prints why GPUs of the domain have an unavailable device; of how many.
static int report_unassigned(const Config& config, const Repointed& after, const DeviceUse& use) {
  int count = static_cast<int>(after.refused.size());
  const PoolDomain domain = pool_domain(config, parse_domain(after.xml));
  for (const auto& [alias, why] : after.refused)
    print_failure(
        about(domain_title(domain.name), about(gpu_title(alias) + " not reassigned", why)));
  for (const PoolGpu& gpu : domain.gpus) {
    if (after.refused.contains(gpu.alias)) continue;
    const auto user = gpu.at ? use.taken.find(*gpu.at) : use.taken.end();
    if (user == use.taken.end()) continue;
    ++count;
    print_failure({domain_title(domain.name) + ": " + gpu_title(gpu.alias) + " not reassigned",
                   to_string(*gpu.at) + " is " + user->second.what + " and " +
                       title_of(gpu.profile) + " has no available device",
                   "run: gpuward list profiles"});
  }
  return count;
}

static int reassign_one(const Settings& settings, const Config& config, DomainStore& store,
                        const DomainStore::Found& found) {
  const auto lock = lock_definition_of(settings, found);
  const std::string before = store.inactive_xml(found.uuid);
  const DeviceUse use = device_use(settings, config, store, found.uuid);
  const auto asked = std::make_shared<AskedCards>();
  const Repointed after = repoint(
      settings.root, config, with_requests_settled(settings, config, before, asked), use, asked);
  const int taken = report_unassigned(config, after, use);
  if (taken > 0 && after.xml == before) return 1;
  const int status = show_or_define(
      settings, store, found, before,
      after.xml == before ? before : protected_for_attach(settings, config, after.xml),
      taken ? "other GPUs reassigned" : "GPUs reassigned");
  return taken ? 1 : status;
}

/// Whether a GPU is requested by its type, without a profile, or by memory.
static bool requests_type(const Config& config, const Domain& domain) {
  return std::any_of(domain.requests.begin(), domain.requests.end(), [&](const GpuRequest& gpu) {
    return (gpu.settled && !gpu.settled->type.empty()) || fraction_of(config, gpu);
  });
}

static int reassign_all(const Settings& settings, const Config& config, DomainStore& store) {
  int status = 0;
  bool any = false;
  for (const DomainStore::Found& found : store.all()) {
    if (found.active || !found.persistent) continue;
    try {
      const Domain domain = parse_domain(store.inactive_xml(found.uuid));
      if (assigned_devices(config, domain).empty() && !requests_type(config, domain)) continue;
      any = true;
      status = std::max(status, reassign_one(settings, config, store, found));
    } catch (const Error& error) {
      print_failure(about(domain_title(found.name), error.reason));
      status = 1;
    }
  }
  if (!any && status == 0) print_lines("No shut-off domain has a GPU of a pool.\n");
  return status;
}

/// Where `gpuward plan --defragment` says, say.
static int reassign_to(const Settings& settings, const Config& config, DomainStore& store,
                       const DomainStore::Found& found, const ReassignWords& words) {
  const auto device = parse_pci_address(words.to);
  if (!device) throw Error(in_quotes(words.to), "not a PCI address such as 0000:41:00.0");
  const auto lock = lock_definition_of(settings, found);
  const std::string before = store.inactive_xml(found.uuid);
  const std::string after =
      repoint_to(settings.root, config, before, device_use(settings, config, store, found.uuid),
                 {words.alias, *device});
  return show_or_define(settings, store, found, before,
                        after == before ? before : protected_for_attach(settings, config, after),
                        "GPU reassigned to " + to_string(*device));
}

int reassign_command(const Settings& settings, const std::string& domain,
                     const ReassignWords& words) {
  const Config config = require_config(settings.root);
  DomainStore store(settings.root, settings.connect);
  if (!words.to.empty())
    return reassign_to(settings, config, store, require_off(store, domain), words);
  if (domain.empty()) return reassign_all(settings, config, store);
  return reassign_one(settings, config, store, require_off(store, domain));
}

/// Its definition as it is then.
static std::string reassign_before_start(const Settings& settings, const Config& config,
                                         DomainStore& store, const DomainStore::Found& found) {
  const auto lock = lock_definition_of(settings, found);
  const std::string before = store.inactive_xml(found.uuid);
  const auto asked = std::make_shared<AskedCards>();
  std::string after = with_available_devices(
      settings, config, with_requests_settled(settings, config, before, asked),
      device_use(settings, config, store, found.uuid), asked);
  if (after != before) store.define(protected_for_attach(settings, config, after));
  return after;
}

/// Between choosing and starting another domain may take the device; then the next is tried.
int start_command(const Settings& settings, const std::string& name) {
  constexpr int attempts = 4;
  const Config config = require_config(settings.root);
  DomainStore store(settings.root, settings.connect);
  const DomainStore::Found found = require_off(store, name);
  for (int attempt = 1;; ++attempt) {
    const std::string after = reassign_before_start(settings, config, store, found);
    try {
      store.start(found.uuid);
      break;
    } catch (const Error&) {
      const auto taken = taken_devices(settings.root, found.uuid);
      const auto pointed = assigned_devices(config, parse_domain(after));
      const bool lost = std::any_of(pointed.begin(), pointed.end(), [&](const PciAddress& device) {
        return taken.contains(device);
      });
      if (!lost || attempt == attempts) throw;
    }
  }
  print_lines(found.name + ": started\n");
  return 0;
}

/// Whether a claim kept it in quarantine. What is open in a process stays there.
static bool clear_quarantine(const Settings& settings, const PciAddress& address) {
  const Claims claims(settings.root);
  for (const Claim& seen : claimed_devices(settings.root).claims) {
    // Another domain, which may be starting or stopping, is not waited for.
    if (std::none_of(seen.devices.begin(), seen.devices.end(), [&](const ClaimedDevice& device) {
          return is_pci(device.use) && device.address == address;
        }))
      continue;
    const Deadlines deadlines;
    const auto lock = claims.lock_domain(seen.domain, deadlines.lock);
    if (!lock)
      throw Error(domain_title(seen.name),
                  "timed out after " + std::to_string(deadlines.lock.count() / 1000) +
                      " s: another gpuward process is still preparing or releasing its GPUs",
                  "run: gpuward list");
    auto claim = claims.find(seen.domain);
    if (!claim) continue;
    for (ClaimedDevice& device : claim->devices) {
      if (is_mediated(device.use) || device.address != address ||
          device.state != ClaimedDevice::State::quarantined)
        continue;
      device.scrub.clear();
      Claim waiting{claim->domain, claim->name, {}};
      for (const ClaimedDevice& each : claim->devices)
        if (each.state == ClaimedDevice::State::quarantined) waiting.devices.push_back(each);
      if (waiting.devices.size() != claim->devices.size())
        throw Error(to_string(address),
                    "quarantined after use by " + domain_title(claim->name) +
                        ", which has other devices claimed",
                    quarantine_remedy(*claim));
      for (const QuarantinedDevice& kept :
           release_devices(settings.root, claims, waiting, deadlines))
        if (is_same_device(kept.device, device)) throw Error(quarantine_reason(kept));
      return true;
    }
  }
  return false;
}

/// Whether something was on it that no domain has claimed. What a process has open stays.
static bool clear_unclaimed(const Root& root, const PciAddress& address) {
  const auto device = find_pci_device(root, address);
  if (!device) return false;
  const auto remove_unclaimed = kind_of(use_of_device(root, *device)).remove_unclaimed;
  return remove_unclaimed && remove_unclaimed(root, *device, Deadlines());
}

int clear_command(const Settings& settings, const std::string& text) {
  const auto address = parse_pci_address(text);
  if (!address) throw Error(in_quotes(text), "not a PCI address such as 0000:41:00.0");
  const Claims claims(settings.root);
  claims.make_ready();
  restore_quarantine(settings.root, claims);
  bool waited = clear_quarantine(settings, *address);
  waited = clear_quarantine_record(settings.root, *address) || waited;
  const bool used = clear_used(settings.root, *address);
  const bool had_vgpu = clear_unclaimed(settings.root, *address);
  if (!used && !waited && !had_vgpu)
    throw Error("device " + text,
                "neither quarantined nor marked single-use, and without an unclaimed vGPU",
                "run: gpuward list");
  print_lines(text + ": cleared\n");
  return 0;
}

}  // namespace gpuward
