// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

#include "base/root.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "mdev/parent.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// What a section of the configuration may speak of: the PCI device, or the parent of an mdev.
Parent identity_of(const Root& root, const ClaimedDevice& device);

/// Who keeps this domain from having the device, by claims; nothing when nobody does.
std::optional<User> user_of(const Root& root, const ClaimedDevices& claimed, const Domain& domain,
                            const ClaimedDevice& device);

/// The claim of another domain that has this very device; null when none has.
const Claim* claim_of(const ClaimedDevices& claimed, const Domain& domain,
                      const ClaimedDevice& device);

bool is_quarantined(const Claim& claim, const ClaimedDevice& device);

/// Who uses the device, or why it is not available.
std::string in_use_text(const ClaimedDevices& claimed, const Domain& domain,
                        const ClaimedDevice& device, const User& user);

}  // namespace gpuward
