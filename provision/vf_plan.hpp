// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/process.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/gpu.hpp"
#include "mdev/parent.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

/// A device that can have virtual functions.
struct PhysicalFunction {
  Parent identity;
  unsigned most = 0;  ///< sriov_totalvfs
  unsigned now = 0;
  std::optional<std::string> recorded;  ///< settings that gpuward enabled them with
  Process writer{};                     ///< that changes them at this moment
  bool is_gpu = true;                   ///< by its class; others count where a section names them
};

/// Those of the GPUs: of what only a section names too.
std::vector<PhysicalFunction> physical_functions(const Root& root, const std::vector<Gpu>& gpus);

/// A PF whose VFs are to become others, in number or by their settings.
struct VfChange {
  PciAddress pf;
  unsigned now = 0;
  VfSettings wanted;
};

/// "4 virtual functions of 0000:41:00.0 (now 0)", "(now with other settings)"
std::string to_string(const VfChange& change);
std::string not_changed(const VfChange& change, const std::string& why);

/// What "vfs = N" wants. Pure. What cannot be goes to `errors`, a line each. Without "vfs" they
/// are made when a domain needs one.
std::vector<VfChange> plan_vfs(const Config& config, const std::vector<PhysicalFunction>& pfs,
                               std::vector<std::string>& errors);

/// Does it, with the PF's lock. Why not; "" when it is done.
std::string change_vfs(const Root& root, const VfChange& change,
                       std::chrono::milliseconds lock_deadline,
                       std::chrono::milliseconds write_deadline);

}  // namespace gpuward
