// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "allocation/request.hpp"
#include "base/root.hpp"
#include "config/config.hpp"

namespace gpuward {

/// What a request may name on this host beside a profile: its types, and the models of GPUs that
/// can be assigned as a whole. What serves a fraction is read when that is asked for; `root` and
/// `config` have to live as long.
HostOffer read_host_offer(const Root& root, const Config& config);

}  // namespace gpuward
