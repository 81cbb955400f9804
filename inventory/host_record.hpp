// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"

namespace gpuward {

/// One file of a recorded host.
struct RecordedFile {
  enum class Kind {
    text,
    serial,       ///< text that is nothing but a serial number
    pcie_serial,  ///< configuration space, of which only the serial number is kept; "" for none
    link,         ///< text: where it points
    directory,
  } kind = Kind::text;
  std::string text{};
  bool operator==(const RecordedFile&) const = default;
};

/// The files that say what GPUs a host has and which domain uses them, by their path without the
/// '/' that it begins with. Not in it is which process has a device open.
struct HostRecord {
  std::map<std::string, RecordedFile> files;
  std::vector<std::string> unreadable;  ///< "PATH: Permission denied"
};

/// Reads what the snapshot of a host, `show` and `plan` read, in the same way: nothing that resumes
/// a card, and no attribute that waits for a lock of its driver. `config`: for devices that only
/// its [gpu] sections make GPUs. Never throws for a file.
HostRecord record_host(const Root& root, const Config& config);

/// Configuration space as far as pcie_serial_number reads it: of a card with this serial number, as
/// serial_text writes it.
std::string config_space_of(const std::string& serial);

}  // namespace gpuward
