// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "allocation/distance.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "kinds/pool_device.hpp"

namespace gpuward {

/// Whether the profile gives PCI devices, whose address is in the domain's XML before it starts.
bool gives_pci_devices(const Profile& profile);

/// All devices that the profile may give on this host, in the order of their addresses: its pool.
/// Whether one is in use is not checked. Not by a snapshot of the host: that has no driver, group
/// or companions of a VF, which kinds go by, and a start that reads one device would pay for
/// all.
std::vector<PoolDevice> pool_of(const Root& root, const Config& config, const Profile& profile);
std::vector<PoolDevice> pool_of(const PoolQuery& query);

/// Where these devices are plugged in, without those that do not exist.
std::vector<GpuSpot> spots_of(const Root& root, const std::vector<PciAddress>& devices);

/// Asks NVIDIA's library for the NVLinks of all cards on which mdevs can be created, and of those
/// of the devices `beside`, 2 s at most: before a lock is taken under which add_nvlinks() is
/// called.
void ask_nvlinks(const Root& root, const std::vector<PciAddress>& beside, AskedCards& asked);

/// Notes in each the NVLinks of its card. NVIDIA's library is asked for cards that NVIDIA's driver
/// has bound, two or more: it knows no others.
void add_nvlinks(const Root& root, const std::vector<GpuSpot*>& spots, AskedCards& asked);

/// Why the pool is empty: what keeps the devices out that come to mind, three at most.
std::string explain_empty_pool(const Root& root, const Config& config, const Profile& profile);

/// The one at this address, without looking at others or at its driver (reason_unbound); nothing,
/// and why, when it is not of the pool.
std::optional<PoolDevice> find_in_pool(const Root& root, const Config& config,
                                       const Profile& profile, const PciAddress& address,
                                       std::string& why);
std::optional<PoolDevice> find_in_pool(const PoolQuery& query, const PciAddress& address,
                                       std::string& why);

}  // namespace gpuward
