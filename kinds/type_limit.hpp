// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/gpu.hpp"
#include "state/claim.hpp"

namespace gpuward {

// [gpu SELECTOR] max = TYPE:N: how many instances of a type domains may have on one card at a time,
// counted from claims, over all its VFs; those in quarantine, which are still on the card, count.

/// The card that an mdev or a VF of the claim is on.
std::string card_of(const Root& root, const ClaimedDevice& device);

/// A type of which no more may be created on a card, as far as the claims tell.
struct ReachedLimit {
  std::string text;           ///< "max = nvidia-63:2 is reached on 0000:41:00.0 (domains 'a', 'b')"
  bool is_permanent = false;  ///< a limit of 0, with which no domain that stops helps
  std::string remedy;         ///< "shut one of the domains down", or of a limit of 0 to raise it
};

/// A type that `max` may have: by its id, or by its name where the kind has named types.
struct LimitedType {
  Use use;
  std::string id;
  std::string name{};
};

/// Nothing while one more of the type may be created on the card.
std::optional<ReachedLimit> reached_limit(const Root& root, const std::vector<InstanceCount>& max,
                                          const std::string& card, const LimitedType& type,
                                          const std::vector<Claim>& claims);

/// How many more of the type may be created on the card; nothing where it has no limit.
std::optional<unsigned> remaining_of(const Root& root, const std::vector<InstanceCount>& max,
                                     const std::string& card, const GpuType& type,
                                     const std::vector<Claim>& claims);

/// The claims without what `device` itself is, which is about to be created.
std::vector<Claim> without_device(std::vector<Claim> claims, const ClaimedDevice& device);

}  // namespace gpuward
