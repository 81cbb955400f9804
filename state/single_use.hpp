// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "state/device_records.hpp"

namespace gpuward {

// Devices of a profile with one-time = yes that a domain has had: one record each in
// /var/lib/gpuward/used, as this must outlive the host's restart, also by a power cut.

/// Written before the hardware is touched, for `domain`, named `owner`. `card`: the PF of a VF that
/// is not enabled. Only the prepare that wrote it takes it back: found at any other time, it counts
/// as a device that was used. Returns its file. Throws SystemError.
std::string mark_pending(const Root& root, const PciAddress& device,
                         const std::optional<PciAddress>& card, const Uuid& domain,
                         const std::string& owner);
void withdraw_mark(const std::string& file);

/// At release. Throws SystemError.
void mark_used(const Root& root, const PciAddress& device, const Uuid& domain,
               const std::string& owner);

/// All marks. Throws SystemError when one cannot be read.
std::vector<DeviceRecord> single_use_marks(const Root& root);

/// Who had it, "" when not known; nothing when nobody did, or it was cleared. Wakes the card when
/// there is a mark to compare it with. `card`: as above.
std::optional<std::string> used_by(const Root& root, const PciAddress& device,
                                   const std::optional<PciAddress>& card = {});
/// The same by `marks`, all that there are.
std::optional<std::string> used_by(const Root& root, const std::vector<DeviceRecord>& marks,
                                   const PciAddress& device, const std::optional<PciAddress>& card);

/// Whether there was such a mark. Throws SystemError.
bool clear_used(const Root& root, const PciAddress& device);

struct UsedDevice {
  PciAddress address;  ///< now
  std::string owner;   ///< "" when not known
};
/// The devices of `marks`, where they are now.
std::vector<UsedDevice> used_devices(const Root& root, const std::vector<DeviceRecord>& marks);

/// Marks of cards that cannot be told from others: they go by slot or address.
std::vector<DeviceRecord> marks_by_address(const Root& root);

}  // namespace gpuward
