// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/usage.hpp"

#include "domain/document.hpp"
#include "inventory/device_nodes.hpp"
#include "pci/pci_device.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"

namespace gpuward {

ClaimedDevices claimed_devices(const Root& root) {
  ClaimedDevices found;
  for (const PciAddress& address : used_devices(root))
    found.taken[address] = {
        {}, shown(used_by(root, address).value_or("a domain")) + " had it, and it is given once"};
  for (const Claim& claim : Claims(root).all().readable)
    for (const ClaimedDevice& device : claim.devices) {
      const bool has_it = device.state == ClaimedDevice::State::claimed;
      if (has_it) found.on.insert(claim.domain);
      if (device.use != Use::mdev)
        found.taken[device.address] =
            has_it ? Taker{claim.domain, shown(claim.name) + " has it"}
                   : Taker{{}, "it is in quarantine since " + shown(claim.name) + " had it"};
    }
  return found;
}

void add_open_devices(const Root& root, const std::vector<PciAddress>& devices,
                      TakenDevices& taken) {
  const DeviceHolders holders(root);
  for (const PciAddress& device : devices) {
    if (taken.contains(device)) continue;
    if (const auto holder = holder_of(root, holders, device))
      taken[device] = {{}, "it is open in " + to_string(*holder), true};
  }
}

TakenDevices taken_devices(const Root& root, const Uuid& domain) {
  TakenDevices taken = claimed_devices(root).taken;
  add_open_devices(root, pci_addresses(root), taken);
  return taken_by_others(taken, domain);
}

TakenDevices taken_by_others(const TakenDevices& taken, const Uuid& domain) {
  TakenDevices others = taken;
  std::erase_if(others, [&](const auto& device) { return device.second.domain == domain; });
  return others;
}

}  // namespace gpuward
