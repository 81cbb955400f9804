// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/gpu_settings.hpp"

#include <algorithm>

namespace gpuward {

bool selects_itself(const GpuSelector& selector, const Parent& parent) {
  switch (selector.by) {
    case GpuSelector::By::any:
      return true;
    case GpuSelector::By::address:
      return parent.address == selector.address;
    case GpuSelector::By::name:
      return parent.name == selector.name;
    case GpuSelector::By::id:
      return parent.address && parent.vendor == selector.vendor && parent.device == selector.device;
  }
  return false;
}

static bool selects_card_of(const GpuSelector& selector, const Parent& parent) {
  if (!parent.physical_function) return false;
  if (selector.by == GpuSelector::By::address) return parent.physical_function == selector.address;
  return selector.by == GpuSelector::By::id && parent.card_vendor == selector.vendor &&
         parent.card_device == selector.device;
}

bool selects(const GpuSelector& selector, const Parent& parent) {
  return selects_itself(selector, parent) || selects_card_of(selector, parent);
}

constexpr int of_card = 2, of_itself = 3;

static int precision(const GpuSelector& selector, const Parent& parent) {
  switch (selector.by) {
    case GpuSelector::By::any:
      return 0;
    case GpuSelector::By::id:
      return 1;
    default:
      return selects_itself(selector, parent) ? of_itself : of_card;
  }
}

static void add(GpuSettings& settings, const GpuSection& section, int level) {
  if (level > 0) settings.is_named = true;
  if (section.use) settings.use = section.use;
  if (section.vfs) settings.vfs = section.vfs;
  if (section.quota.exec_quantum_ms) settings.quota.exec_quantum_ms = section.quota.exec_quantum_ms;
  if (section.quota.preempt_timeout_us)
    settings.quota.preempt_timeout_us = section.quota.preempt_timeout_us;
  if (section.quota.memory_mib) settings.quota.memory_mib = section.quota.memory_mib;
  if (!section.reset_method.empty()) settings.reset_method = section.reset_method;
  if (section.adopt) settings.adopt = *section.adopt;
  if (!section.max.empty()) settings.max = section.max;
  if (section.instances.empty()) return;
  settings.instances = section.instances;
  settings.instances_by_name = level >= of_card;
}

GpuSettings settings_of(const Config& config, const Parent& parent) {
  GpuSettings settings;
  for (int level = 0; level <= of_itself; ++level)
    for (const GpuSection& section : config.gpus) {
      if (!selects(section.selector, parent) || precision(section.selector, parent) != level)
        continue;
      add(settings, section, level);
    }
  if (!traits_of(settings.use.value_or(default_use)).has_instances) settings.instances.clear();
  return settings;
}

bool serves(const Config& config, const Profile& profile, const Parent& parent) {
  const bool named = profile.gpus.empty() ||
                     std::any_of(profile.gpus.begin(), profile.gpus.end(),
                                 [&](const GpuSelector& gpu) { return selects(gpu, parent); });
  return named && settings_of(config, parent).use.value_or(profile.use) == profile.use;
}

std::vector<ConfigProblem> names_without_parent(const Root& root, const Config& config) {
  const auto parents = parent_names(root);
  std::vector<ConfigProblem> problems;
  const auto look_up = [&](const GpuSelector& selector, const Position& position) {
    if (selector.by == GpuSelector::By::name &&
        std::find(parents.begin(), parents.end(), selector.name) == parents.end())
      problems.push_back({position, "no mdev parent is named '" + selector.name +
                                        "' on this host; list the names with: gpuward list types"});
  };
  for (const GpuSection& gpu : config.gpus) look_up(gpu.selector, gpu.position);
  for (const Profile& profile : config.profiles)
    for (const GpuSelector& selector : profile.gpus) look_up(selector, profile.position);
  return problems;
}

}  // namespace gpuward
