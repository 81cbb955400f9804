// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/verdict.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"

namespace gpuward {

/// Whether the domain asks for its GPUs in a way that can be served: metadata and hostdevs agree,
/// the instances are its own (not those of the domain it was cloned from), the profiles exist.
Verdict request_verdict(const Config& config, const Domain& domain);

/// Whether a domain with a GPU may come in from another host or from a saved state.
Verdict check_incoming(const Config& config, std::string_view operation);

}  // namespace gpuward
