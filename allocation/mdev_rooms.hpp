// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <string>
#include <vector>

#include "allocation/capacity.hpp"
#include "allocation/placement.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "mdev/parent.hpp"

namespace gpuward {

/// The card that the parent is, or that it is a VF of.
std::string card_of(const Parent& parent);

/// What the cards of the candidates have room for, by name. `parents`: all of the host. What
/// profiles of mdevs may have there counts, or all types where there is no such profile. Only the
/// cards of candidates are read, and what types are like once for cards of one model.
std::map<std::string, CardRoom> mdev_rooms(const Root& root, const Config& config,
                                           const std::vector<Parent>& parents,
                                           const std::vector<Candidate>& candidates,
                                           const IsUsable& is_usable);

}  // namespace gpuward
