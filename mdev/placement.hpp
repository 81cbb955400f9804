// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace gpuward {

/// A parent and a type of it that a profile allows.
struct Candidate {
  std::string parent;
  std::string type;
  unsigned available = 0;  ///< what the kernel says, less what others are about to take
  unsigned rank = 0;       ///< place of the type in the profile's list
  bool near = true;        ///< on a NUMA node of the domain, or either is not told
};

/// The best of them that has room; nothing when none has.
/// First the type named first, then the near one, then the fullest (binpack) or the emptiest
/// (spread), then by name, so that the same host gives the same answer.
std::optional<Candidate> place(const Profile& profile, std::span<const Candidate> candidates);

}  // namespace gpuward
