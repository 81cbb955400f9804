// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"
#include "cli/doctor/guard_status.hpp"
#include "config/config.hpp"
#include "protection/guards.hpp"
#include "protection/pci_root.hpp"
#include "state/start_permit.hpp"

namespace gpuward {

/// A domain as far as its guards ask.
struct GuardedDomain {
  std::string name;
  Uuid uuid;
  std::string owner;              ///< label for quotas, "" without one
  bool active = false;            ///< running, and its live XML was inspected
  bool known_to_polkit = false;   ///< it has a claim or a mark
  std::vector<std::string> gpus;  ///< "ua-gpuward-0, mdev", as its XML has them
  std::string readconfig;         ///< "-readconfig (line 7): file is not searched"; it may have one
  std::vector<Gap> gaps;
  std::vector<Gap> configured_pauses;
  std::string emulator;
  std::optional<unsigned> qemu;  ///< version of that
  PciRoot pci_root = PciRoot::pcie;
  std::optional<StartPermit> permit;  ///< by which it was started although the hook refuses it
};

/// Adds what the domain's XML says. Throws Error where that cannot be parsed.
void add_xml(const Root& root, const Config& config, std::string_view xml, GuardedDomain& domain);

/// What one layer does for one guard.
struct LayerState {
  enum class State {
    holds,
    open,     ///< running, but something is still possible
    off,      ///< not running
    none,     ///< not applicable to this guard
    unknown,  ///< cannot be determined
  } state = State::none;
  std::string layer;  ///< xml, hook, polkit, guard
  std::string text;   ///< what it does, or why not and what to do
};

std::string_view to_string(LayerState::State state);

struct ExplainedGuard {
  Guard guard = Guard::migration;
  Policy policy = Policy::block;
  std::vector<LayerState> layers;
  std::vector<std::string> left;  ///< what is still possible, and for whom
};

/// For each guard which layers enforce it now, and what is still possible.
std::vector<ExplainedGuard> explain(const HostLayers& host, const GuardedDomain& domain,
                                    const GuardPolicy& policy);

}  // namespace gpuward
