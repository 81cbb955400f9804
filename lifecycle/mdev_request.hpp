// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "allocation/request.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// The instance that a domain requests, as a claim holds it: with a parent and type only where it
/// exists already. Throws Error where what exists is not what the request asks for.
ClaimedDevice mdev_asked(const Root& root, const Config& config, const Domain& domain,
                         const ResolvedRequest& gpu);

}  // namespace gpuward
