// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/selector_check.hpp"

#include <algorithm>
#include <string>

#include "config/gpu_selector.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/snapshot.hpp"
#include "mdev/parent.hpp"

namespace gpuward {

using By = GpuSelector::By;

/// By address or vendor:device a section may wait for a GPU that is not there; those were never
/// reported.
static bool is_checked(const GpuSelector& selector) {
  return selector.by != By::address && selector.by != By::id && selector.by != By::any;
}

static std::string no_match(const GpuSelector& selector) {
  if (selector.by == By::name)
    return "no mdev parent is named '" + selector.name +
           "' on this host; list the names with: gpuward list types";
  return "no GPU of this host is selected by " + to_string(selector) +
         "; list the GPUs with: gpuward list gpus, and what one can be selected by with: gpuward "
         "show ADDRESS";
}

static bool needs_gpus(const Config& config) {
  return needs_facts(config) || has_selector(config, By::addresses);
}

std::vector<ConfigProblem> unmatched_selectors(const Root& root, const Config& config) {
  const auto parents = parent_names(root);
  const auto gpus = needs_gpus(config) ? read_gpus(root, config) : std::vector<Gpu>();
  const auto is_matched = [&](const GpuSelector& selector) {
    if (selector.by == By::name)
      return std::find(parents.begin(), parents.end(), selector.name) != parents.end();
    return std::any_of(gpus.begin(), gpus.end(), [&](const Gpu& gpu) {
      return match(selector, gpu.parent) != Match::no;  // unclear_gpus reports what is unknown
    });
  };
  std::vector<ConfigProblem> problems;
  const auto look_up = [&](const GpuSelector& selector, const Position& position) {
    if (is_checked(selector) && !is_matched(selector))
      problems.push_back({position, no_match(selector)});
  };
  for (const GpuSection& gpu : config.gpus) look_up(gpu.selector, gpu.position);
  for (const Profile& profile : config.profiles)
    for (const GpuSelector& selector : profile.gpus) look_up(selector, profile.position);
  return problems;
}

std::vector<ConfigProblem> unclear_gpus(const Root& root, const Config& config) {
  std::vector<ConfigProblem> problems;
  if (!needs_gpus(config)) return problems;
  for (const Gpu& gpu : read_gpus(root, config)) {
    if (const Reason unclear = settings_of(config, gpu.parent).unclear; !unclear.problem.empty())
      problems.push_back({{}, to_string(unclear)});
    for (const Profile& profile : config.profiles)
      if (const Reason unclear = unclear_for(profile, gpu.parent); !unclear.problem.empty())
        problems.push_back({profile.position, to_string(unclear)});
  }
  return problems;
}

}  // namespace gpuward
