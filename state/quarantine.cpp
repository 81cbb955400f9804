// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/quarantine.hpp"

#include <algorithm>
#include <map>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "pci/pci_device.hpp"
#include "state/device_records.hpp"
#include "state/paths.hpp"

namespace gpuward {

void record_quarantine(const Root& root, const Claim& owner, const ClaimedDevice& device) {
  ClaimedDevice quarantined = device;
  quarantined.state = ClaimedDevice::State::quarantined;
  quarantined.writer = quarantined.scrub_process = {};
  quarantined.part.clear();  // after the host's restart another tool may have one at that place
  write_record(paths::quarantine(root),
               {record_device(root, device.address, parse_pci_address(device.parent)),
                owner.domain,
                owner.name,
                format_device(quarantined),
                {},
                owner.owner});
}

static std::vector<DeviceRecord> records(const Root& root) {
  return read_records(paths::quarantine(root));
}

/// The record of a card that is not on this host any more is known by where it was.
static bool is_of(const Root& root, const DeviceRecord& record, const PciAddress& device,
                  const RecordedDevice* found = nullptr) {
  if (is_at(root, record, device, found)) return true;
  return record.device.address == device && places_now(root, record.device, found).empty();
}

bool is_on_record(const Root& root, const Claim& owner, const PciAddress& device) {
  const auto all = records(root);
  return std::any_of(all.begin(), all.end(), [&](const DeviceRecord& record) {
    return record.domain == owner.domain && is_of(root, record, device);
  });
}

bool clear_quarantine_record(const Root& root, const PciAddress& device) {
  const auto all = records(root);
  if (all.empty()) return false;  // the rule; then no card is woken
  bool was_there = false;
  const RecordedDevice now = record_device(root, device);
  for (const DeviceRecord& record : all) {
    if (!is_of(root, record, device, &now)) continue;
    clear_record(root, paths::quarantine(root), record, device, now);
    was_there = true;
  }
  return was_there;
}

/// Of a record that cannot be understood: a device whose scrub program is not known.
static ClaimedDevice device_of(const Root& root, const DeviceRecord& record, const Place& now) {
  ClaimedDevice unknown{.state = ClaimedDevice::State::quarantined,
                        .alias = "-",
                        .profile = "-",
                        .instance = {},
                        .parent = {},
                        .type = "-"};
  unknown.use = unknown_use;
  unknown.scrub = unknown_scrub;
  ClaimedDevice device = parse_device(record.detail).value_or(unknown);
  device.address = now.address;
  const auto pci = find_pci_device(root, now.address);
  const auto card = pci ? pci->physical_function : now.card;  // a VF that does not exist has none
  if (card || pci || device.parent.empty()) device.parent = to_string(card.value_or(now.address));
  return device;
}

/// A claim must have a name.
static std::string owner_of(const DeviceRecord& record) {
  return record.owner.empty() ? "unknown" : record.owner;
}

std::vector<Claim> quarantine_records(const Root& root) {
  std::vector<Claim> claims;
  for (const DeviceRecord& record : records(root))
    for (const Place& now : places_now(root, record.device))
      claims.push_back({record.domain,
                        owner_of(record),
                        {device_of(root, record, now)},
                        {},
                        true,
                        record.label});
  return claims;
}

static bool names(const Claim& claim, const ClaimedDevice& device) {
  return std::any_of(claim.devices.begin(), claim.devices.end(),
                     [&](const ClaimedDevice& other) { return is_same_device(device, other); });
}

std::vector<Claim> unclaimed_quarantine(const Root& root, const std::vector<Claim>& claims) {
  std::vector<Claim> unclaimed = quarantine_records(root);
  std::erase_if(unclaimed, [&](const Claim& record) {
    return std::any_of(claims.begin(), claims.end(),
                       [&](const Claim& claim) { return names(claim, record.devices.front()); });
  });
  return unclaimed;
}

void restore_quarantine(const Root& root, const Claims& claims, const Uuid& domain) {
  std::vector<Claim> unclaimed = quarantine_records(root);  // none, as a rule: nothing else is read
  std::erase_if(unclaimed, [&](const Claim& record) { return record.domain != domain; });
  if (unclaimed.empty()) return;
  unclaimed = unclaimed_quarantine(root, claims.all().readable);
  for (const Claim& record : unclaimed) {
    if (record.domain != domain) continue;
    Claim claim =
        claims.find(domain).value_or(Claim{domain, record.name, {}, {}, true, record.owner});
    claim.devices.push_back(record.devices.front());
    claims.write(claim);
  }
}

void restore_quarantine(const Root& root, const Claims& claims) {
  std::map<Uuid, std::string> domains;
  for (const Claim& record : quarantine_records(root)) domains.emplace(record.domain, record.name);
  for (const auto& [domain, name] : domains) try {
      if (const auto lock = claims.lock_domain(domain, std::chrono::milliseconds(0)))
        restore_quarantine(root, claims, domain);
    } catch (const Error& error) {
      log::warning(name,
                   std::string("cannot restore the quarantine of its devices: ") + error.what());
    }
}

std::vector<DeviceRecord> quarantine_by_address(const Root& root) {
  std::vector<DeviceRecord> found = records(root);
  std::erase_if(found,
                [&](const DeviceRecord& record) { return is_distinguished(root, record.device); });
  return found;
}

}  // namespace gpuward
