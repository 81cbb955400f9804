// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/lock.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

/// Held by whoever changes the VFs of a PF, or what they are. Nothing when another still has it
/// after `deadline`.
std::optional<Lock> lock_vfs(const Root& root, const PciAddress& pf,
                             std::chrono::milliseconds deadline);

/// What the VFs of a PF were enabled with: a driver does not report what it was given, or rounds
/// it. Nothing of VFs that others enabled.
std::optional<std::string> recorded_settings(const Root& root, const PciAddress& pf);

/// Whether VFs with these recorded settings are other ones than wanted, their number aside. Pure.
/// Of those that others enabled only a quota is known to be missing.
bool settings_differ(const std::optional<std::string>& recorded, const WantedVfs& wanted);

/// set_virtual_functions, and what the kernel took is recorded. While it is under way, and after it
/// failed halfway, the record equals no settings, so that the next plan enables them again; where
/// the kernel refused at once the record stays as it was. Throws SystemError when /run cannot be
/// written: before, then nothing is changed, or after.
KernelChange enable_vfs(const Root& root, const PciAddress& pf, const WantedVfs& wanted,
                        const WriteOptions& options);

}  // namespace gpuward
