// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/offered_types.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "config/gpu_selector.hpp"
#include "config/gpu_settings.hpp"
#include "config/names.hpp"
#include "kinds/kind.hpp"

namespace gpuward {

namespace {

struct Before {
  bool operator()(const OfferedType& one, const OfferedType& other) const {
    return std::tie(one.use, one.id, one.name) < std::tie(other.use, other.id, other.name);
  }
};
using Types = std::set<OfferedType, Before>;

}  // namespace

/// Whether [gpu] leaves a part of the GPU to domains for this kind: a section may name one of them.
static bool is_allowed(const Root& root, const Config& config, const Gpu& gpu, const Kind& kind) {
  Profile profile;
  profile.use = kind.use;
  if (serves(config, profile, gpu.parent)) return true;
  const auto parts = kind.parts(gpu);
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& name) {
    return serves(config, profile, identity_of(root, config, name));
  });
}

/// Kinds of which the GPU offers types that domains may have.
static std::vector<const Kind*> typed_kinds(const Root& root, const Config& config,
                                            const Gpu& gpu) {
  std::vector<const Kind*> kinds;
  for (const Use use : kinds_of(gpu))
    if (const Kind& kind = kind_of(use); kind.types && is_allowed(root, config, gpu, kind))
      kinds.push_back(&kind);
  return kinds;
}

/// The driver gives no name of those that it does not list.
static void add_existing(const Root& root, const Gpu& gpu, const Kind& kind, Types& types) {
  if (!kind.existing_types) return;
  for (std::string& id : kind.existing_types(root, gpu)) {
    const bool is_known = std::any_of(types.begin(), types.end(), [&](const OfferedType& type) {
      return type.use == kind.use && type.id == id;
    });
    if (!is_known) types.insert({std::move(id), {}, kind.use});
  }
}

/// Whether it may have types that its driver does not list now.
static bool is_partly_listed(const Root& root, const Gpu& gpu, const Kind& kind,
                             const std::vector<GpuType>& listed) {
  return kind.existing_types && (listed.empty() || !kind.existing_types(root, gpu).empty());
}

OfferedTypes offered_types(const Root& root, const Config& config, const std::vector<Gpu>& gpus) {
  Types types;
  OfferedTypes offered;
  const std::vector<std::string> none;  // is counted
  for (const Gpu& gpu : gpus)
    for (const Kind* const kind : typed_kinds(root, config, gpu)) {
      std::string unknown;
      const auto listed = kind->types(root, gpu, &none, true, unknown);
      if (!unknown.empty()) {
        offered.unknown.emplace(gpu.parent.name, std::move(unknown));
        break;
      }
      for (const GpuType& type : listed) types.insert({type.id, type.name, type.use});
      if (is_partly_listed(root, gpu, *kind, listed))
        offered.partly_listed.push_back(gpu.parent.name);
    }
  for (const Gpu& gpu : gpus) {
    if (offered.unknown.contains(gpu.parent.name)) continue;
    for (const Kind* const kind : typed_kinds(root, config, gpu))
      add_existing(root, gpu, *kind, types);
  }
  offered.types.assign(types.begin(), types.end());
  return offered;
}

static bool provides_only(const Profile& profile, const OfferedType& type) {
  return profile.use == type.use && !profile.types.empty() &&
         std::all_of(profile.types.begin(), profile.types.end(), [&](const std::string& provided) {
           return provided == type.id || provided == type.name;
         });
}

static bool provides_only(const Profile& profile, const OfferedModel& model) {
  return traits_of(profile.use).is_whole_card && profile.gpus.size() == 1 &&
         to_string(profile.gpus.front()) == model.device;
}

static ConfigProblem named_as(const Profile& profile, const std::string& what) {
  return {profile.position, "[profile " + profile.name + "] is named as a " + what +
                                " of a GPU of this host, but provides another; rename the profile"};
}

static bool is_named_as_type(const Profile& profile, const std::vector<OfferedType>& types) {
  return std::any_of(types.begin(), types.end(), [&](const OfferedType& type) {
    return (profile.name == type.id || profile.name == type.name) && !provides_only(profile, type);
  });
}

/// As a request for a model is read: its case is ignored.
static bool is_named_as_model(const Profile& profile, const std::vector<OfferedModel>& models) {
  const std::string name = lower_case(profile.name);
  return std::any_of(models.begin(), models.end(), [&](const OfferedModel& model) {
    return (name == lower_case(model.name) || name == lower_case(model.full)) &&
           !provides_only(profile, model);
  });
}

std::vector<ConfigProblem> profiles_named_as_others(const Config& config,
                                                    const std::vector<OfferedType>& types,
                                                    const std::vector<OfferedModel>& models) {
  std::vector<ConfigProblem> problems;
  for (const Profile& profile : config.profiles)
    if (is_named_as_type(profile, types))
      problems.push_back(named_as(profile, "type"));
    else if (is_named_as_model(profile, models))
      problems.push_back(named_as(profile, "model"));
  return problems;
}

}  // namespace gpuward
