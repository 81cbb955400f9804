// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/gpu_settings.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <utility>

#include "base/joined.hpp"
#include "config/gpu_keys.hpp"
#include "config/gpu_selector.hpp"

namespace gpuward {

using By = GpuSelector::By;

/// The mark that a selector of this kind names; null for the other kinds.
static const GpuFact* fact_of(By by, const CardFacts& card) {
  switch (by) {
    case By::serial:
      return &card.serial;
    case By::uuid:
      return &card.uuid;
    case By::slot:
      return &card.slot;
    case By::subsystem:
      return &card.subsystem;
    case By::iommu_group:
      return &card.iommu_group;
    default:
      return nullptr;
  }
}

static Match match_fact(const std::string& wanted, const GpuFact& fact) {
  if (std::find(fact.values.begin(), fact.values.end(), wanted) != fact.values.end())
    return Match::yes;
  return fact.unknown.empty() ? Match::no : Match::unknown;
}

static bool fits(const std::string& pattern, const std::optional<PciAddress>& address) {
  return address && ::fnmatch(pattern.c_str(), to_string(*address).c_str(), 0) == 0;
}

bool selects_itself(const GpuSelector& selector, const GpuId& gpu) {
  switch (selector.by) {
    case By::any:
      return true;
    case By::address:
      return gpu.address == selector.address;
    case By::name:
      return gpu.name == selector.name;
    case By::id:
      return gpu.address && gpu.vendor == selector.vendor && gpu.device == selector.device;
    case By::addresses:
      return fits(selector.name, gpu.address);
    default:  // marks of a card
      return !gpu.physical_function && match(selector, gpu) == Match::yes;
  }
}

static bool selects_card_of(const GpuSelector& selector, const GpuId& gpu) {
  if (!gpu.physical_function) return false;
  if (selector.by == By::address) return gpu.physical_function == selector.address;
  if (selector.by == By::addresses) return fits(selector.name, gpu.physical_function);
  return selector.by == By::id && gpu.card_vendor == selector.vendor &&
         gpu.card_device == selector.device;
}

Match match(const GpuSelector& selector, const GpuId& gpu) {
  if (const GpuFact* const fact = fact_of(selector.by, gpu.card))
    return gpu.address ? match_fact(selector.name, *fact) : Match::no;
  return selects_itself(selector, gpu) || selects_card_of(selector, gpu) ? Match::yes : Match::no;
}

bool selects(const GpuSelector& selector, const GpuId& gpu) {
  return match(selector, gpu) == Match::yes;
}

bool declares_gpu(const GpuSelector& selector, const GpuId& device) {
  return (selector.by == By::address || selector.by == By::id) && selects(selector, device);
}

bool has_selector(const Config& config, By by) {
  const auto is_such = [&](const GpuSelector& selector) { return selector.by == by; };
  return std::any_of(config.gpus.begin(), config.gpus.end(),
                     [&](const GpuSection& section) { return is_such(section.selector); }) ||
         std::any_of(config.profiles.begin(), config.profiles.end(), [&](const Profile& profile) {
           return std::any_of(profile.gpus.begin(), profile.gpus.end(), is_such);
         });
}

bool needs_facts(const Config& config) {
  constexpr By of_card[] = {By::serial, By::uuid, By::slot, By::subsystem, By::iommu_group};
  return std::any_of(std::begin(of_card), std::end(of_card),
                     [&](By by) { return has_selector(config, by); });
}

// ---- all sections of one GPU

namespace {

enum class Rank {
  any,
  id_of_card,
  id,
  addresses,
  iommu_group,
  subsystem,
  slot,
  number,
  card,
  itself,
};

/// A section that speaks of the GPU, or may.
struct Selected {
  Rank rank;
  Match match;
  const GpuSection* section;
};

}  // namespace

static Rank rank_of(const GpuSelector& selector, const GpuId& gpu) {
  switch (selector.by) {
    case By::any:
      return Rank::any;
    case By::id:
      return selects_itself(selector, gpu) ? Rank::id : Rank::id_of_card;
    case By::addresses:
      return Rank::addresses;
    case By::iommu_group:
      return Rank::iommu_group;
    case By::subsystem:
      return Rank::subsystem;
    case By::slot:
      return Rank::slot;
    case By::serial:
    case By::uuid:
      return Rank::number;
    case By::address:
    case By::name:
      break;
  }
  return selects_itself(selector, gpu) ? Rank::itself : Rank::card;
}

static std::vector<Selected> sections_of(const Config& config, const GpuId& gpu) {
  std::vector<Selected> sections;
  for (const GpuSection& section : config.gpus)
    if (const Match found = match(section.selector, gpu); found != Match::no)
      sections.push_back({rank_of(section.selector, gpu), found, &section});
  std::stable_sort(sections.begin(), sections.end(), [](const Selected& a, const Selected& b) {
    return std::pair(a.rank, a.match) < std::pair(b.rank, b.match);
  });
  return sections;
}

static std::string title_of(const GpuSection& section) {
  return "[gpu " + to_string(section.selector) + "] (" + to_string(section.position) + ")";
}

static Unclear may_select(const std::string& what, const GpuSelector& selector, const GpuId& gpu) {
  const GpuFact& fact = *fact_of(selector.by, gpu.card);
  return {{"device " + gpu.name,
           what + " may select the GPU, whose " + std::string(selector_word(selector.by)) + ' ' +
               fact.unknown,
           {}},
          !fact.is_shared};
}

/// A section that was written for this very device, or for its card.
static bool is_of_address(const Selected& each) {
  return each.rank >= Rank::card;
}

static std::optional<Use> use_of_address(const std::vector<Selected>& sections) {
  std::optional<Use> use;
  for (const Selected& each : sections)
    if (is_of_address(each) && each.section->use) use = each.section->use;
  return use;
}

static bool matters(const GpuKey& key, Use use) {
  const UseTraits& traits = traits_of(use);
  return (!key.trait || traits.*key.trait) && (!key.matters_for || traits.*key.matters_for);
}

/// Keys of a section that may speak of the GPU or not which no section of its address decides. A
/// key that means nothing with the use of these decides nothing; without a use any may.
static std::vector<const char*> undecided_keys(const GpuSection& section,
                                               const std::vector<Selected>& sections) {
  const auto use = use_of_address(sections);
  std::vector<const char*> keys;
  if (!use) keys.push_back("use");
  if (is_off(use)) return keys;
  for (const GpuKey& key : gpu_keys) {
    if (!key.is_set(section) || (use && !matters(key, *use))) continue;
    const bool is_decided = std::any_of(
        sections.begin(), sections.end(),
        [&](const Selected& each) { return is_of_address(each) && key.is_set(*each.section); });
    if (!is_decided) keys.push_back(key.name);
  }
  return keys;
}

/// Why it matters whether the section speaks of the GPU; without a problem when it does not.
static Unclear may_matter(const GpuSection& section, const std::vector<Selected>& sections,
                          const GpuId& gpu) {
  const std::string keys = joined(undecided_keys(section, sections));
  if (keys.empty()) return {};
  const std::string sets = use_of_address(sections) ? ", which sets " + keys + ',' : "";
  Unclear unclear = may_select(title_of(section) + sets, section.selector, gpu);
  unclear.remedy = "set " + keys + " in [gpu " +
                   to_string(gpu.physical_function.value_or(*gpu.address)) + "], which counts more";
  return unclear;
}

/// `sections` in the order of their ranks, those that match first.
static Unclear reason_unclear(const std::vector<Selected>& sections, const GpuId& gpu) {
  for (size_t i = 0; i < sections.size(); ++i) {
    const Selected& each = sections[i];
    if (each.match == Match::unknown) {
      Unclear unclear = may_matter(*each.section, sections, gpu);
      if (!unclear.problem.empty()) return unclear;
    } else if (i > 0 && each.rank == sections[i - 1].rank && sections[i - 1].match == Match::yes) {
      return {{"device " + gpu.name,
               "selected by both " + title_of(*sections[i - 1].section) + " and " +
                   title_of(*each.section) + ", of which neither counts more",
               "change one of them, then run: gpuward check"}};
    }
  }
  return {};
}

static void add(GpuSettings& settings, const GpuSection& section, Rank rank) {
  if (rank != Rank::any && rank != Rank::addresses) settings.is_named = true;
  if (section.use) settings.use = section.use;
  if (section.vfs) settings.vfs = section.vfs;
  if (section.quota.exec_quantum_ms) settings.quota.exec_quantum_ms = section.quota.exec_quantum_ms;
  if (section.quota.preempt_timeout_us)
    settings.quota.preempt_timeout_us = section.quota.preempt_timeout_us;
  if (section.quota.memory_mib) settings.quota.memory_mib = section.quota.memory_mib;
  if (!section.reset_method.empty()) settings.reset_method = section.reset_method;
  if (section.adopt) settings.adopt = *section.adopt;
  if (!section.max.empty()) settings.max = section.max;
  if (section.isolation) settings.isolation = section.isolation;
  if (section.instances.empty()) return;
  settings.instances = section.instances;
  settings.instances_by_name = rank >= Rank::slot;
}

GpuSettings settings_of(const Config& config, const GpuId& gpu) {
  GpuSettings settings;
  const std::vector<Selected> sections = sections_of(config, gpu);
  for (const Selected& each : sections)
    if (each.match == Match::yes) add(settings, *each.section, each.rank);
  if (!traits_of(settings.use.value_or(default_use)).has_instances) settings.instances.clear();
  settings.unclear = reason_unclear(sections, gpu);
  return settings;
}

GpuSettings permissions_of(const Config& config, const GpuId& gpu, Use use) {
  const std::vector<Selected> sections = sections_of(config, gpu);
  const bool is_use_decided = use_of_address(sections).has_value();
  Config permissions;
  permissions.gpus.reserve(sections.size());
  for (const Selected& each : sections) {
    GpuSection kept;
    kept.selector = each.section->selector;
    kept.position = each.section->position;
    if (!is_use_decided || is_of_address(each)) kept.use = each.section->use;
    if (!traits_of(use).is_whole_card) kept.max = each.section->max;
    if (kept.use || !kept.max.empty()) permissions.gpus.push_back(std::move(kept));
  }
  return settings_of(permissions, gpu);
}

bool serves(const Config& config, const Profile& profile, const GpuId& gpu) {
  const bool named = profile.gpus.empty() || std::any_of(profile.gpus.begin(), profile.gpus.end(),
                                                         [&](const GpuSelector& selector) {
                                                           return selects(selector, gpu);
                                                         });
  return named && settings_of(config, gpu).use.value_or(profile.use) == profile.use;
}

Unclear unclear_for(const Profile& profile, const GpuId& gpu) {
  const GpuSelector* unknown = nullptr;
  for (const GpuSelector& selector : profile.gpus) {
    const Match found = match(selector, gpu);
    if (found == Match::yes) return {};
    if (found == Match::unknown) unknown = &selector;
  }
  if (!unknown) return {};
  return may_select("'gpu = " + to_string(*unknown) + "' of " + title_of(profile), *unknown, gpu);
}

}  // namespace gpuward
