// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"
#include "state/recorded_device.hpp"

namespace gpuward {

/// What must be known of a device after the host's restart, in a file of its own: single use and
/// quarantine.
struct DeviceRecord {
  RecordedDevice device;
  Uuid domain;          ///< that had it; zero in a record of 0.1.0
  std::string owner;    ///< its name; "" in a record that cannot be understood
  std::string detail;   ///< what kind of record it is, one line
  std::string file{};   ///< where it is
  std::string label{};  ///< owner of the domain's GPUs, for quotas (Claim::owner); "" without one
};

/// Those in `directory`. A file that is no record of this version speaks of the address that it is
/// named by, with its only line as its owner: 0.1.0 wrote such. Throws SystemError when one cannot
/// be read.
std::vector<DeviceRecord> read_records(const std::string& directory);

/// The file that write_record writes.
std::string record_file(const std::string& directory, const RecordedDevice& device);

/// Whether it speaks of the device that is at this address now. `found`: what the caller has read
/// of a device.
bool is_at(const Root& root, const DeviceRecord& record, const PciAddress& device,
           const RecordedDevice* found = nullptr);

/// Removes it as far as it speaks of `device`: where its card cannot be told from others, it stays
/// for these, each by itself. `found`: what the caller has read of `device`. Throws SystemError.
void clear_record(const Root& root, const std::string& directory, const DeviceRecord& record,
                  const PciAddress& device, const RecordedDevice& found);

/// Replaces the one of the same device and address; on disk when it returns. Returns its file.
/// Throws SystemError.
std::string write_record(const std::string& directory, const DeviceRecord& record);

}  // namespace gpuward
