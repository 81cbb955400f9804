// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/device_user.hpp"

#include <algorithm>

#include "base/quote.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"
#include "kinds/pool_device.hpp"

namespace gpuward {

Parent identity_of(const Root& root, const ClaimedDevice& device) {
  const std::string name = is_mediated(device.use) ? device.parent : to_string(device.address);
  return read_identity(parse_pci_address(name) ? root.sys("bus/pci/devices/") + name
                                               : root.sys("class/mdev_bus/") + name,
                       name);
}

static std::optional<User> user_of(const Root& root, const ClaimedDevices& claimed,
                                   const ClaimedDevice& device) {
  if (is_pci(device.use)) {
    const auto found = claimed.taken.find(device.address);
    return found == claimed.taken.end()
               ? user_of_card(claimed.taken, parse_pci_address(device.parent))
               : found->second;
  }
  const auto found = claimed.instances.find(device.instance);
  return found == claimed.instances.end() ? user_of_parent(claimed.taken, identity_of(root, device))
                                          : found->second;
}

std::optional<User> user_of(const Root& root, const ClaimedDevices& claimed, const Domain& domain,
                            const ClaimedDevice& device) {
  auto user = user_of(root, claimed, device);
  if (user && user->domain == domain.uuid) user.reset();
  return user;
}

const Claim* claim_of(const ClaimedDevices& claimed, const Domain& domain,
                      const ClaimedDevice& device) {
  for (const Claim& claim : claimed.claims)
    for (const ClaimedDevice& other : claim.devices)
      if (claim.domain != domain.uuid && is_same_device(device, other)) return &claim;
  return nullptr;
}

bool is_quarantined(const Claim& claim, const ClaimedDevice& device) {
  return std::any_of(claim.devices.begin(), claim.devices.end(), [&](const ClaimedDevice& other) {
    return is_same_device(device, other) && other.state == ClaimedDevice::State::quarantined;
  });
}

std::string in_use_text(const ClaimedDevices& claimed, const Domain& domain,
                        const ClaimedDevice& device, const User& user) {
  const Claim* const claim = claim_of(claimed, domain, device);
  if (!claim) return user.what;
  return is_quarantined(*claim, device) ? quarantine_text(claim->name)
                                        : "in use by " + domain_title(claim->name);
}

}  // namespace gpuward
