// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/config_parser.hpp"
#include "mdev/parent.hpp"

namespace gpuward {

/// Whether a selector of the configuration speaks of this parent, or of the card that it is a VF
/// of.
bool selects(const GpuSelector& selector, const Parent& parent);
/// Of this parent, not of its card.
bool selects_itself(const GpuSelector& selector, const Parent& parent);

/// What the configuration says of one GPU, all sections that select it taken together.
struct GpuSettings {
  std::optional<Use> use;
  std::optional<unsigned> vfs;  ///< GpuSection::max_vfs for "max"
  VfQuota quota;
  std::string reset_method;
  bool adopt = false;     ///< a vGPU that gpuward did not make may be removed for a domain
  bool is_named = false;  ///< a section other than [gpu *] speaks of it
  std::vector<InstanceCount> instances;
  std::vector<InstanceCount> max;  ///< that domains may have on one card
  std::optional<Isolation> isolation;
  bool instances_by_name = false;  ///< the section that gives them names this very GPU
};

/// Selectors by name that name no mdev parent of this host: its driver may be loaded later, or the
/// name is misspelt.
std::vector<ConfigProblem> names_without_parent(const Root& root, const Config& config);

/// The more precise section wins key by key: its address or name, then that of the card that it is
/// a VF of, then vendor:device, then *.
GpuSettings settings_of(const Config& config, const Parent& parent);

/// Whether domains may get by this profile what it is for: the profile allows the GPU and the GPU
/// is not kept for another use.
bool serves(const Config& config, const Profile& profile, const Parent& parent);

}  // namespace gpuward
