// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "base/root.hpp"
#include "state/claim.hpp"
#include "state/claim_store.hpp"
#include "state/device_records.hpp"

namespace gpuward {

// A device whose scrub has begun and not succeeded holds what its last guest left. Its claim ends
// with the host's restart, so that it also has a record in /var/lib/gpuward/quarantine, on disk
// before the scrub program starts and until one has succeeded or the administrator clears it.

/// Throws SystemError.
void record_quarantine(const Root& root, const Claim& owner, const ClaimedDevice& device);

/// Whether a record of this domain names what is, or was, at this address. Throws SystemError.
bool is_on_record(const Root& root, const Claim& owner, const PciAddress& device);

/// Whether there was a record of it. Throws SystemError.
bool clear_quarantine_record(const Root& root, const PciAddress& device);

/// One device each, with the address that it has now.
std::vector<Claim> quarantine_records(const Root& root);

/// Records of cards that cannot be told from others of their model: they go by slot or address.
std::vector<DeviceRecord> quarantine_by_address(const Root& root);

/// Those whose device no claim has in quarantine, as after a restart.
std::vector<Claim> unclaimed_quarantine(const Root& root, const std::vector<Claim>& claims);

/// Puts the records of this domain that its claim does not name into it, so that they are listed,
/// scrubbed and cleared as before the restart. The caller holds the domain's lock. Throws Error.
void restore_quarantine(const Root& root, const Claims& claims, const Uuid& domain);

/// The same of all domains; those that another process works on are left alone, and one that fails
/// is logged and does not keep the others.
void restore_quarantine(const Root& root, const Claims& claims);

}  // namespace gpuward
