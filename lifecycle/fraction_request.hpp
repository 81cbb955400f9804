// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "mdev/parent.hpp"
#include "state/claim.hpp"

namespace gpuward {

// What prepare does for a GPU that is requested by memory, beside what it does for the type that
// serves it: a fraction is marked in the claim, and counted by it.

/// Marks the device as a fraction of the profile, if it is one.
void mark_fraction(const Profile& profile, ClaimedDevice& device);

/// Why the card takes no further fraction of the profile; "" when it does or the profile requests
/// none. `claims`: without the device that is to be placed.
std::string fraction_refusal(const Root& root, const Config& config, const Profile& profile,
                             const Parent& part, const std::vector<Claim>& claims);

/// Whether the device has the memory that the profile requests, which is written into the claim.
/// Throws Error with the command that chooses another type, also where its memory is not known.
void require_memory(const Root& root, const Domain& domain, const Profile& profile,
                    ClaimedDevice& device);

}  // namespace gpuward
