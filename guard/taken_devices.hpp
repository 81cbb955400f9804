// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <set>

#include "base/root.hpp"
#include "base/uuid.hpp"
#include "guard/pool_plan.hpp"

namespace gpuward {

/// What domains have, by their claims, and what was given once already.
struct ClaimedDevices {
  TakenDevices taken;
  std::set<Uuid> on;  ///< domains that start or run: their definition is left alone
};
ClaimedDevices claimed_devices(const Root& root);

/// Adds devices that a process has open: of a domain that nobody claimed, or of the host. It walks
/// over all of /proc.
void add_open_devices(const Root& root, const DevicePools& pools, TakenDevices& taken);

}  // namespace gpuward
