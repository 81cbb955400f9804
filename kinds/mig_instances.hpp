// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"
#include "inventory/snapshot.hpp"
#include "pci/nvml.hpp"

namespace gpuward {

/// A GPU instance of a card, and who has it.
struct MigInstance {
  std::optional<unsigned> id{};  ///< nothing of one that is claimed and still to be created
  MemorySlices place{};
  std::string profile{};  ///< "1g.10gb", "" where the card does not list it
  std::optional<unsigned> memory_mib{};
  std::string state{};   ///< as of GpuInstance; missing: claimed but not on the card
  std::string domain{};  ///< its name, when claimed
  std::optional<Uuid> domain_uuid{};
};

struct MigInstances {
  std::vector<MigInstance> instances{};  ///< by place
  std::string unknown{};                 ///< why it is not known which there are
};

/// The GPU instances of the card, and those that claims name; `instances`: those of the host.
/// `claims_known`: false while a claim cannot be read, which may name any. Pure.
std::vector<MigInstance> match_mig_instances(const std::string& card_name, const MigCard& card,
                                             const std::vector<GpuInstance>& instances,
                                             bool claims_known);

/// Nothing for a card that is not asked for its GPU instances (Gpu::asks_programs).
std::optional<MigInstances> read_mig_instances(const Root& root, const Host& host, const Gpu& gpu);

}  // namespace gpuward
