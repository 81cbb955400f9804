// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/offered_types.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "config/gpu_settings.hpp"
#include "inventory/gpu_types.hpp"
#include "pci/card_facts.hpp"
#include "pci/pci_device.hpp"
#include "pci/vendor_vgpu.hpp"

namespace gpuward {

namespace {

struct Before {
  bool operator()(const OfferedType& one, const OfferedType& other) const {
    return std::tie(one.use, one.id, one.name) < std::tie(other.use, other.id, other.name);
  }
};
using Types = std::set<OfferedType, Before>;

}  // namespace

/// Whether [gpu] leaves a part of the GPU to domains for this use: a section may name one of its
/// VFs.
static bool is_allowed(const Root& root, const Config& config, const Gpu& gpu, Use use) {
  Profile profile;
  profile.use = use;
  if (serves(config, profile, gpu.parent)) return true;
  const auto allows = [&](const std::string& name) {
    const auto parent = find_parent(root, config, name);
    return parent && serves(config, profile, *parent);
  };
  if (use == Use::mdev)
    return std::any_of(gpu.mdev_parents.begin(), gpu.mdev_parents.end(), allows);
  return std::any_of(gpu.vfs.begin(), gpu.vfs.end(), [&](const PciAddress& vf) {
    return serves(config, profile, read_identity(root, config, vf));
  });
}

static bool has_vgpu(const Root& root, const Gpu& gpu) {
  return std::any_of(gpu.vfs.begin(), gpu.vfs.end(),
                     [&](const PciAddress& vf) { return current_vgpu(root, vf).value_or(0) != 0; });
}

/// Of a full card NVIDIA's driver lists none, and of another none that does not fit beside those
/// that exist. The driver gives no name of those.
static void add_current_vgpus(const Root& root, const Gpu& gpu, Types& types) {
  for (const PciAddress& vf : gpu.vfs) {
    const std::string id = std::to_string(current_vgpu(root, vf).value_or(0));
    const bool is_known = std::any_of(types.begin(), types.end(), [&](const OfferedType& type) {
      return type.use == Use::vendor_vf && type.id == id;
    });
    if (id != "0" && !is_known) types.insert({id, {}, Use::vendor_vf});
  }
}

OfferedTypes offered_types(const Root& root, const Config& config, const std::vector<Gpu>& gpus) {
  Types types;
  std::vector<std::string> partly_listed;
  for (const Gpu& gpu : gpus) {
    const Use use = gpu.serves_mdevs() ? Use::mdev : Use::vendor_vf;
    if (use == Use::vendor_vf && !gpu.offers_vgpus) continue;
    if (!is_allowed(root, config, gpu, use)) continue;
    const auto listed = catalogue_of(root, gpu);
    for (const GpuType& type : listed) types.insert({type.id, type.name, type.use});
    if (use == Use::vendor_vf && (listed.empty() || has_vgpu(root, gpu)))
      partly_listed.push_back(gpu.parent.name);
  }
  for (const Gpu& gpu : gpus)
    if (gpu.offers_vgpus && is_allowed(root, config, gpu, Use::vendor_vf))
      add_current_vgpus(root, gpu, types);
  return {{types.begin(), types.end()}, partly_listed};
}

static bool provides_only(const Profile& profile, const OfferedType& type) {
  return profile.use == type.use && !profile.types.empty() &&
         std::all_of(profile.types.begin(), profile.types.end(), [&](const std::string& provided) {
           return provided == type.id || provided == type.name;
         });
}

std::vector<ConfigProblem> profiles_named_as_types(const Config& config,
                                                   const std::vector<OfferedType>& types) {
  std::vector<ConfigProblem> problems;
  for (const Profile& profile : config.profiles)
    for (const OfferedType& type : types) {
      if ((profile.name != type.id && profile.name != type.name) || provides_only(profile, type))
        continue;
      problems.push_back({profile.position,
                          "[profile " + profile.name +
                              "] is named as a type of a GPU of this host, but provides another; "
                              "rename the profile"});
      break;
    }
  return problems;
}

}  // namespace gpuward
