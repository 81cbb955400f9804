// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/lock.hpp"
#include "inventory/gpu.hpp"
#include "kinds/device_setup.hpp"
#include "kinds/pool_device.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

// What the kinds have in common whose devices are VFs.

std::vector<std::string> names_of_vfs(const Gpu& gpu);

struct FoundVf {
  PoolDevice device;
  GpuSettings settings;  ///< of the VF
};

/// Kind::find of a VF.
std::optional<FoundVf> find_vf(const PoolQuery& query, const PciDevice& device,
                               ReasonNotOfKind reason, std::string& why);

/// Kind::to_be_enabled: the VFs that a PF without any will have once they are needed.
std::vector<PoolDevice> vfs_to_enable(const PoolQuery& query, const PciAddress& pf);

/// Enables the VFs of its card where the VF does not exist. Until the lock goes nobody else changes
/// a VF of that card: what can be created on one depends on the others. Throws Error.
[[nodiscard]] Lock ensure_vf(const DeviceSetup& setup, ClaimedDevice& device);

/// Throws Error where a process that a claim names is blocked in the driver of the device's PF.
void require_no_blocked_writer(const Root& root, const ClaimedDevice& device);

/// Whether a device waits for its scrub program and is a VF that does not exist although its card
/// does.
bool lacks_vf(const Root& root, const ClaimedDevice& device);

/// Enables the VFs of its card as prepare does, so that it can be scrubbed. Returns why that cannot
/// be, and what helps; no problem when the VF exists. `owner`: its claim on disk.
Reason restore_vf(const Root& root, const Config& config, const Claim& owner, ClaimedDevice& device,
                  const Deadlines& deadlines);

}  // namespace gpuward
