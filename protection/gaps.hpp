// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "domain/domain.hpp"

namespace gpuward {

/// What [guard] guards against, by its keys.
enum class Guard { migration, pause, memory_hotplug, gpu_hotplug };

/// The key in [guard]: "migration", "pause", "memory-hotplug", "gpu-hotplug".
std::string_view to_string(Guard guard);
Policy policy_of(const GuardPolicy& policy, Guard guard);

/// Something in a domain's XML that lets through what a guard is against.
struct Gap {
  Guard guard = Guard::migration;
  int line = 0;               ///< in the XML
  std::string element;        ///< "maxMemory", "hostdev ua-gpuward-0"
  std::string text;           ///< what it allows
  bool can_be_closed = true;  ///< by `gpuward protect`; else by the one who wrote it
};

/// What depends on the QEMU that runs the domain.
struct QemuAbilities {
  bool can_disable_vfio_migration =
      false;              ///< property enable-migration of vfio-pci: 8.1 and later
  bool is_known = false;  ///< its version could be told
};

/// All gaps of a domain with these GPUs, in the order of Guard; with `strict` (gpu-hotplug = strict)
/// also ports that are open for a device to be added.
std::vector<Gap> guard_gaps(const Document& document, const std::vector<const Hostdev*>& gpus,
                            QemuAbilities qemu, bool strict = false);

/// Disk error policies and watchdog actions that pause the domain: the admin's choice about its
/// data, and gaps only with harden = yes.
std::vector<Gap> chosen_pauses(const Document& document);

/// The QEMU that the domain names, or libvirt's default for its architecture.
std::string emulator_of(const Document& document);

}  // namespace gpuward
