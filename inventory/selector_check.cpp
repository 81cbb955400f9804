// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/selector_check.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "config/gpu_selector.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/snapshot.hpp"
#include "mdev/parent.hpp"
#include "pci/card_facts.hpp"

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

/// The GPUs of the host and their VFs, as selectors see them.
static std::vector<Parent> read_parts(const Root& root, const Config& config,
                                      const std::vector<Gpu>& gpus) {
  std::vector<Parent> parts;
  KnownCards cards;
  for (const Gpu& gpu : gpus) {
    parts.push_back(gpu.parent);
    for (const PciAddress& vf : gpu.vfs) parts.push_back(read_identity(root, config, vf, cards));
  }
  return parts;
}

static std::set<std::string> mdev_parents(const std::vector<Gpu>& gpus) {
  std::set<std::string> parents;
  for (const Gpu& gpu : gpus) parents.insert(gpu.mdev_parents.begin(), gpu.mdev_parents.end());
  return parents;
}

std::vector<ConfigProblem> unmatched_selectors(const Root& root, const Config& config) {
  if (!needs_gpus(config) && !has_selector(config, By::name)) return {};
  return unmatched_selectors(root, config, read_gpus(root, config));
}

std::vector<ConfigProblem> unmatched_selectors(const Root& root, const Config& config,
                                               const std::vector<Gpu>& gpus) {
  const auto parents = mdev_parents(gpus);
  const auto parts = needs_gpus(config) ? read_parts(root, config, gpus) : std::vector<Parent>();
  const auto is_matched = [&](const GpuSelector& selector) {
    if (selector.by == By::name) return parents.contains(selector.name);
    return std::any_of(parts.begin(), parts.end(), [&](const Parent& part) {
      return match(selector, part) != Match::no;  // unclear_gpus reports what is unknown
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

UnclearGpus unclear_gpus(const Root& root, const Config& config) {
  UnclearGpus found;
  if (!needs_gpus(config)) return found;
  // What is so of a card is not reported again of each of its VFs.
  std::set<std::pair<std::string, std::string>> reported;
  const auto add = [&](const Parent& part, const Unclear& unclear, const Position& position) {
    const std::string card =
        part.physical_function ? to_string(*part.physical_function) : part.name;
    if (unclear.problem.empty() || !reported.emplace(card, unclear.problem).second) return;
    (unclear.is_unread ? found.unread : found.errors).push_back({position, to_string(unclear)});
  };
  for (const Parent& part : read_parts(root, config, read_gpus(root, config))) {
    add(part, settings_of(config, part).unclear, {});
    for (const Profile& profile : config.profiles)
      add(part, unclear_for(profile, part), profile.position);
  }
  return found;
}

}  // namespace gpuward
