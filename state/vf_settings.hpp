// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/lock.hpp"
#include "base/pci_address.hpp"
#include "base/process.hpp"
#include "base/root.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

/// Held by whoever changes the VFs of a PF, or what they are. Nothing when another still has it
/// after `deadline`.
std::optional<Lock> lock_vfs(const Root& root, const PciAddress& pf,
                             std::chrono::milliseconds deadline);

struct RecordedVfs {
  /// What the VFs were enabled with: a driver does not report what it was given, or rounds it.
  /// Nothing of VFs that others enabled.
  std::optional<std::string> settings;
  Process writer{};  ///< still changes them, the process that started it was not patient enough
};

/// What is recorded of a PF that has `now` VFs. A change whose process was not waited for counts as
/// done when it has ended, there were none before and there are as many as it was to enable.
RecordedVfs recorded_vfs(const Root& root, const PciAddress& pf, size_t now);

/// What gpuward gave each of the VFs when it enabled them, none of those that others enabled;
/// nothing while they are changed, or where a change failed halfway.
std::optional<VfQuota> recorded_quota(const RecordedVfs& recorded);

/// The process that still changes the VFs of the PF; none when none does.
Process vf_writer(const Root& root, const PciAddress& pf);

/// Why the VFs that it changes can neither be changed nor counted on.
Reason still_changing(const Process& writer);

/// Whether VFs with these recorded settings are other ones than wanted, their number aside. Pure.
/// Of those that others enabled only a quota is known to be missing.
bool settings_differ(const std::optional<std::string>& recorded, const VfSettings& wanted);

/// set_virtual_functions, and what the kernel took is recorded. While it is under way the record
/// names the process that writes, and after it failed halfway it equals no settings, so that the
/// next plan enables them again; where the kernel refused at once the record stays as it was.
/// Throws SystemError when /run cannot be written: before, then nothing is changed, or after.
KernelChange enable_vfs(const Root& root, const PciAddress& pf, const VfSettings& wanted,
                        const WriteOptions& options);

}  // namespace gpuward
