// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/pool_device.hpp"

#include "inventory/usage.hpp"
#include "pci/identity.hpp"

namespace gpuward {

const std::vector<Claim>& claims_of(const PoolQuery& query) {
  auto& claims = *query.claims;
  if (!claims) claims = claimed_devices(query.root).claims;
  return *claims;
}

Parent identity_of(const Root& root, const Config& config, const std::string& name) {
  if (const auto address = parse_pci_address(name)) return read_identity(root, config, *address);
  Parent parent = read_identity(root.sys("class/mdev_bus/") + name, name);
  read_card_facts(root, config, parent);
  return parent;
}

std::string not_allowed_by(const PoolQuery& query, const GpuId& gpu) {
  const Profile& profile = query.profile;
  if (Reason unclear = settings_of(query.config, gpu).unclear; !unclear.problem.empty())
    return std::move(unclear.problem);
  if (Reason unclear = unclear_for(profile, gpu); !unclear.problem.empty())
    return std::move(unclear.problem);
  return "neither " +
         (profile.is_configured ? "[profile " + profile.name + "]" : title_of(profile)) +
         " nor the [gpu] section of " +
         (gpu.physical_function ? gpu.name + " or its PF " + to_string(*gpu.physical_function)
                                : "the device") +
         " allows it";
}

/// libvirt refuses a hostdev with managed='no' whose driver is none of VFIO's ("Unmanaged PCI
/// device
/// ... must be manually detached from the host", hypervisor/virhostdev.c).
Reason reason_unbound(const Root& root, const Profile& profile,
                      const std::vector<PciAddress>& functions) {
  if (!profile.keep_driver) return {};
  const std::string requires_one =
      ", and driver = keep in [profile " + profile.name + "] requires a driver of VFIO's";
  for (const PciAddress& function : functions) {
    const auto device = find_pci_device(root, function);
    if (!device)
      return {{},
              "VF is not enabled" + requires_one,
              "set vfs = in its [gpu] section and run: gpuward apply"};
    if (has_vfio_driver(root, *device)) continue;
    const std::string what =
        function == functions.front() ? "device" : "companion " + to_string(function);
    return {{},
            what + " is bound to " + (device->driver.empty() ? "no driver" : device->driver) +
                requires_one,
            "run: driverctl set-override " + to_string(function) + " vfio-pci"};
  }
  return {};
}

/// "" where the device is the one that its section expects, and it is known which that is.
static std::string unexpected_identity(const PoolQuery& query, const Parent& device) {
  if (Reason unclear = settings_of(query.config, device).unclear; !unclear.problem.empty())
    return std::move(unclear.problem);
  const Verdict verdict = check_identity(query.root, query.config, device);
  return verdict ? "" : "not the expected GPU: " + verdict.reason.problem;
}

std::optional<GpuSettings> allowed_settings(const PoolQuery& query, const PciDevice& device,
                                            ReasonNotOfKind reason, std::string& why) {
  const auto& [root, config, profile, cards, claims] = query;
  const Parent parent = read_identity(root, config, device, cards);
  if (!serves(config, profile, parent)) {
    why = not_allowed_by(query, parent);
    return {};
  }
  GpuSettings settings = settings_of(config, parent);
  why = reason(query, settings, device);
  if (why.empty()) why = unexpected_identity(query, parent);
  if (!why.empty()) return {};
  return settings;
}

}  // namespace gpuward
