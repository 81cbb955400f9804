// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "config/request_words.hpp"
#include "kinds/type_limit.hpp"
#include "mdev/parent.hpp"
#include "state/claim.hpp"

namespace gpuward {

// Fractions of a GPU beside each other: how many there may be on a card, and that all of them are
// isolated in the same way. Counted from claims, which say of each device whether it is one.

inline constexpr unsigned most_fractions_per_gpu = 20;

/// What fractions of this request do not share: with a share of the compute units that too.
Isolation isolation_of(const GpuPart& part);

/// Of a profile with memory.
Isolation isolation_of(const Profile& profile);

/// Marks the device as a fraction of the profile, if it is one.
void mark_fraction(const Profile& profile, ClaimedDevice& device);

/// The fractions on the card.
std::vector<Isolation> fractions_on(const Root& root, const std::string& card,
                                    const std::vector<Claim>& claims);

/// Why a GPU takes no further fraction of this isolation; "" when it does. `configured`: of [gpu].
std::string tenant_refusal(const std::optional<Isolation>& configured,
                           const std::vector<Isolation>& tenants, Isolation wanted);

/// The same for a fraction of the profile on the card of this PCI device or parent of mdevs;
/// nothing too when the profile requests none. Permanent is what [gpu] says. `claims`: without the
/// device that is to be placed.
std::optional<ReachedLimit> fraction_limit(const Root& root, const Config& config,
                                           const Profile& profile, const Parent& part,
                                           const std::vector<Claim>& claims);

}  // namespace gpuward
