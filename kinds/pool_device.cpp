// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/pool_device.hpp"

#include "pci/identity.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

Parent identity_of(const Root& root, const PciAddress& device) {
  return read_identity(pci_path(root, device), to_string(device));
}

Parent identity_of(const Root& root, const std::string& name) {
  return read_identity(parse_pci_address(name) ? root.sys("bus/pci/devices/") + name
                                               : root.sys("class/mdev_bus/") + name,
                       name);
}

std::string unexpected_identity(const PoolQuery& query, const Parent& device) {
  const Verdict verdict = check_identity(query.root, query.config, device);
  return verdict ? "" : "not the expected GPU: " + verdict.reason.problem;
}

std::string not_allowed_by(const Profile& profile) {
  return "neither " +
         (profile.is_configured ? "[profile " + profile.name + "]" : title_of(profile)) + " nor ";
}

}  // namespace gpuward
