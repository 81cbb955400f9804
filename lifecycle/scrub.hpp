// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/root.hpp"
#include "kinds/deadlines.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// Runs the program that clears the device of what its last guest left, when its profile has one.
/// Returns why it cannot be given to another yet; "" when it can. libvirt is not kept waiting for
/// longer than `deadlines.scrub_wait`: a program that takes longer goes on by itself, known by
/// `device.scrub_process`, and when it ends well the device leaves the claim, which otherwise keeps
/// it in quarantine. The caller holds the domain's lock. Throws SystemError when there can be no
/// child.
std::string scrub(const Root& root, const Claim& owner, ClaimedDevice& device,
                  const Deadlines& deadlines);

}  // namespace gpuward
