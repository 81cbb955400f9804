// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "config/config.hpp"
#include "domain/domain.hpp"
#include "state/start_permit.hpp"

namespace gpuward {

// What a domain is taken for when it is started although its XML or the configuration cannot be
// read. How to scrub a device is then unknown: it goes into quarantine when it is released.

/// A domain whose XML cannot be parsed, by what its text names.
Domain domain_of_text(const StartPermit& permit, std::vector<Hostdev> hostdevs);

/// The PCI devices of all its hostdevs.
std::vector<PciAddress> addresses_of(const Domain& domain);

/// The PCI devices of its GPUs that have a profile.
std::vector<PciAddress> addresses_from_profiles(const Domain& domain);

/// The domain with each PCI GPU whose profile is not in the configuration as one written by hand:
/// its address is in the XML. An mdev's type is in the profile alone, so it stays as it is.
Domain without_lost_profiles(const Config& config, Domain domain);

}  // namespace gpuward
