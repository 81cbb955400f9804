// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "kinds/deadlines.hpp"

namespace gpuward {

/// Claims again what a running domain has, where the claim was lost, with the scrub program and the
/// single use of its profile; where that is not configured any more, what to scrub is not known and
/// the device will go into quarantine. Says what it found in one line, "" when all is as it should
/// be.
std::string check_running_domain(const Root& root, const Config& config, const Domain& domain,
                                 const Deadlines& deadlines);

/// After libvirt's restart: adds the GPUs that the running domain has by hand to its claim where
/// they are missing, as those of a domain that an older version let start.
void claim_by_hand_again(const Root& root, const Config& config, const Domain& domain,
                         const Deadlines& deadlines);

}  // namespace gpuward
