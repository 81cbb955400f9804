// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <string>
#include <vector>

#include "allocation/place_mdev.hpp"
#include "allocation/placement.hpp"
#include "base/error.hpp"

namespace gpuward {

/// What the parents of the host have for one GPU.
struct FoundParents {
  std::vector<Candidate> candidates;
  std::map<std::string, std::string> unavailable;  ///< who has parents, with the remedy
  std::vector<UnavailableParent> without;          ///< these parents
  Reason unexpected;                               ///< a GPU that is not the one that [gpu] expects
};

/// Throws InUse or Error with why none of them takes the device, and who has what it could have
/// had.
[[noreturn]] void throw_no_capacity(const MdevPlacing& placing, const ClaimedDevice& device,
                                    const Profile& profile, const FoundParents& found);

}  // namespace gpuward
