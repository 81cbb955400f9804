// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "config/config.hpp"
#include "config/gpu_id.hpp"

namespace gpuward {

/// Whether a selector speaks of a GPU, or of the card that it is a VF of; unknown where what it
/// names cannot be read.
enum class Match { no, yes, unknown };
Match match(const GpuSelector& selector, const GpuId& gpu);

/// What is known to match.
bool selects(const GpuSelector& selector, const GpuId& gpu);
/// This GPU or VF, not its card.
bool selects_itself(const GpuSelector& selector, const GpuId& gpu);

/// Whether a selector makes a device a GPU, whatever its PCI class: by address or vendor:device.
/// All others select among the GPUs.
bool declares_gpu(const GpuSelector& selector, const GpuId& device);

/// Whether a section or a profile of the configuration has a selector of this kind.
bool has_selector(const Config& config, GpuSelector::By by);
/// Whether one needs CardFacts.
bool needs_facts(const Config& config);

/// Why it is not known which sections or profiles speak of a GPU; without a problem when it is.
struct Unclear : Reason {
  bool is_unread = false;  ///< what they go by cannot be read now; else they have to be changed
};

/// What the configuration says of one GPU, all sections that select it taken together.
struct GpuSettings {
  std::optional<Use> use;
  std::optional<unsigned> vfs;  ///< GpuSection::max_vfs for "max"
  VfQuota quota;
  std::string reset_method;
  bool adopt = false;     ///< a vGPU that gpuward did not make may be removed for a domain
  bool is_named = false;  ///< a section other than [gpu *] and a pattern speaks of it
  std::vector<InstanceCount> instances;
  std::vector<InstanceCount> max;  ///< that domains may have on one card
  std::optional<Isolation> isolation;
  bool instances_by_name = false;  ///< the section that gives them names this very GPU
  /// Why it is not known which sections speak of it. Such a GPU is neither assigned nor changed.
  Unclear unclear;
};

/// The more precise section wins key by key: its address or name, then that of the card that it is
/// a VF of, then serial number or UUID, slot, subsystem, IOMMU group, a pattern of addresses,
/// vendor:device (its own before that of its card), then *. Two sections of one of these ranks are
/// unclear, and so is one that may speak of it or not, unless a section of its address sets `use`
/// and each key of that one that means something with this use.
GpuSettings settings_of(const Config& config, const GpuId& gpu);

/// Likewise what a section permits of a device that is in use as `use` by the domain's own XML:
/// `use` alone, and `max` where that may count. No other key is applied to such a device, so none
/// leaves it unclear.
GpuSettings permissions_of(const Config& config, const GpuId& gpu, Use use);

/// Whether domains may get by this profile what it is for: the profile allows the GPU and the GPU
/// is not kept for another use.
bool serves(const Config& config, const Profile& profile, const GpuId& gpu);

/// Why it is not known whether the profile allows the GPU.
Unclear unclear_for(const Profile& profile, const GpuId& gpu);

}  // namespace gpuward
