// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protection/guards.hpp"
#include "protection/pci_root.hpp"

namespace gpuward {

/// What explain's words on one guard of one domain depend on.
struct GuardFacts {
  std::string_view domain;  ///< its name
  const GuardPolicy& policy;
  std::optional<unsigned> qemu;  ///< its version
  PciRoot pci_root = PciRoot::pcie;
  const std::vector<Gap>& configured_pauses;
  // Which layers enforce this guard now.
  bool has_xml = false;
  bool has_polkit = false;
  bool has_guard = false;
};

/// "disk vda (line 12): a write error pauses the domain"
std::string place_text(const Gap& gap);

// For guard_table(): where something else than the domain's XML keeps what the guard is against
// from happening ("": nothing does), and what no layer prevents.

std::string migration_xml_holds_by(const GuardFacts& facts);
void add_remaining_migration(const GuardFacts& facts, std::vector<std::string>& remaining);

void add_remaining_pauses(const GuardFacts& facts, std::vector<std::string>& remaining);

std::string gpu_hotplug_xml_holds_by(const GuardFacts& facts);
void add_remaining_gpu_hotplug(const GuardFacts& facts, std::vector<std::string>& remaining);

}  // namespace gpuward
