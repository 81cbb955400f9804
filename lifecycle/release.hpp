// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/root.hpp"
#include "kinds/deadlines.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

/// A device that did not go.
struct QuarantinedDevice {
  ClaimedDevice device;
  std::string reason;    ///< who has it open, or what the kernel said
  std::string remedy{};  ///< where to try again is not enough
};

/// Removes what the claim names, and nothing else, then drops the claim. Of a claim that prepare
/// did not complete no guest had the devices: they are not scrubbed, and no single use becomes
/// final. What does not go within the deadline stays in it as quarantined and is returned. Twice
/// does no harm. The caller holds the domain's lock. Throws SystemError only when the claim itself
/// cannot be written.
std::vector<QuarantinedDevice> release_devices(const Root& root, const Claims& claims, Claim claim,
                                               const Deadlines& deadlines);

/// Whether a write that was blocked in the driver still is: what it makes must be known as ours, it
/// must not remove what the next owner has.
bool has_blocked_writer(const Root& root, const ClaimedDevice& device);

/// The command that ends it.
std::string remedy_of(const QuarantinedDevice& kept);

/// What is reported of a device that remains in quarantine: the caller logs or throws it.
Reason quarantine_reason(const QuarantinedDevice& kept);

}  // namespace gpuward
