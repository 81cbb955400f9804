// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

// Devices of a profile with one-time = yes that a domain has had: one file each in
// /var/lib/gpuward/used, as this must outlive the host's restart.

/// `owner`: the name of the domain that had it. Throws SystemError.
void mark_used(const Root& root, const PciAddress& device, const std::string& owner);

/// Who had it; nothing when nobody did, or it was cleared.
std::optional<std::string> used_by(const Root& root, const PciAddress& device);

/// Whether there was such a mark. Throws SystemError.
bool clear_used(const Root& root, const PciAddress& device);

std::vector<PciAddress> used_devices(const Root& root);

}  // namespace gpuward
