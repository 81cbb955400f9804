// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/taken_devices.hpp"

#include "domain/claim.hpp"
#include "domain/document.hpp"
#include "domain/used_devices.hpp"
#include "pci/device_nodes.hpp"

namespace gpuward {

ClaimedDevices claimed_devices(const Root& root) {
  ClaimedDevices found;
  for (const PciAddress& address : used_devices(root))
    found.taken[address] = {
        {}, shown(used_by(root, address).value_or("a domain")) + " had it, and it is given once"};
  for (const Claim& claim : Claims(root).all())
    for (const ClaimedDevice& device : claim.devices) {
      const bool has_it = device.state == ClaimedDevice::State::claimed;
      if (has_it) found.on.insert(claim.domain);
      if (device.use != Use::mdev)
        found.taken[device.address] = {
            claim.domain, has_it ? shown(claim.name) + " has it"
                                 : "it is in quarantine since " + shown(claim.name) + " had it"};
    }
  return found;
}

void add_open_devices(const Root& root, const DevicePools& pools, TakenDevices& taken) {
  const DeviceHolders holders(root);
  for (const auto& [profile, pool] : pools)
    for (const PoolDevice& device : pool)
      for (const PciAddress& function : device.functions) {
        if (taken.contains(function)) continue;
        if (const auto holder = holder_of(root, holders, function))
          taken[function] = {{}, "it is open in " + to_string(*holder), true};
      }
}

}  // namespace gpuward
