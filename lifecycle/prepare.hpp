// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "kinds/deadlines.hpp"

namespace gpuward {

/// Gives the domain all the GPUs that it asks for: place, write the claim, create, check, hold.
/// All or none: throws Error with cause, device, holder and what to do, with everything undone.
/// `unknown`: devices that go into quarantine when they are released, as how to scrub them is
/// written where it cannot be read.
void prepare_devices(const Root& root, const Config& config, const Domain& domain,
                     const Deadlines& deadlines, const std::vector<PciAddress>& unknown = {});

struct DevicesRefusal {
  Reason reason;        ///< without a problem when nothing is refused
  bool passes = false;  ///< when another domain or process releases the device
};

/// What prepare_devices would refuse a domain that is shut off right now; nothing is changed. Only
/// for a request that request_verdict allows. What an earlier run left in its own claim is not
/// checked.
DevicesRefusal devices_refusal(const Root& root, const Config& config, const Domain& domain);

}  // namespace gpuward
