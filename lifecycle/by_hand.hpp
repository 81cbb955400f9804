// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// The claim of a domain, without its devices.
Claim new_claim(const Domain& domain);

/// A word of a claim: what XML calls a hostdev may be anything.
std::string alias_word(const std::string& alias);

/// Adds the GPUs that the domain's author wrote into its XML, with their companions there, to the
/// claim, so that they are known to be in use.
void add_devices_by_hand(const Root& root, const Config& config, const Domain& domain,
                         Claim& claim);

/// Whether the domain may have one of those: nobody else has claimed it, it waits for nobody, and
/// its [gpu] section does not keep it from domains. Throws Error.
void require_allowed(const Root& root, const Config& config, const Domain& domain,
                     const ClaimedDevice& device, const ClaimedDevices& claimed);

/// Whether [gpu] max permits the vGPU that a VF of those has, beside those of `claims`, which may
/// name this one. What is not known of it is not permitted where there is a limit. Throws Error, or
/// InUse where a domain that stops helps.
void require_vgpu_within_max(const Root& root, const Config& config, const ClaimedDevice& device,
                             const std::vector<Claim>& claims);

}  // namespace gpuward
