// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/fraction_host.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "allocation/choose_device.hpp"
#include "allocation/device_share.hpp"
#include "allocation/pool.hpp"
#include "allocation/vf_limit.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/gpu_types.hpp"
#include "kinds/fraction_limit.hpp"
#include "kinds/kind.hpp"
#include "kinds/type_limit.hpp"
#include "kinds/types.hpp"
#include "pci/card_facts.hpp"
#include "pci/identity.hpp"
#include "pci/pci_device.hpp"
#include "pci/vf_part.hpp"

namespace gpuward {

namespace {

/// What all GPUs are judged by.
struct Judgement {
  const Root& root;
  const Config& config;
  const Host& host;
  const FractionRequest& request;
  const std::vector<GpuSelector>& gpus;  ///< of a profile; empty: any
  DevicesInUse taken;
  std::map<std::string, GpuUse> uses;
  KnownCards& cards;
};

/// What the fraction is given as.
Profile profile_of(const Judgement& judgement, Use use) {
  Profile profile;
  profile.is_configured = false;
  profile.use = use;
  profile.gpus = judgement.gpus;
  return profile;
}

std::string not_served_as(const Judgement& judgement, const Parent& part, Use use) {
  if (serves(judgement.config, profile_of(judgement, use), part)) return {};
  GpuSettings settings = settings_of(judgement.config, part);
  if (!settings.unclear.problem.empty()) return std::move(settings.unclear.problem);
  const auto configured = settings.use.value_or(use);
  if (configured != use) return "[gpu] has use = " + std::string(use_word(configured));
  return "not in gpu of the profile";
}

/// A part of a card on which instances are created: an mdev parent or a VF.
struct Part {
  Parent parent;
  std::string refused;  ///< why domains never get an instance on it
  bool is_free = false;
};

Part mdev_part(const Judgement& judgement, const Parent& parent, Use use) {
  Part part{parent, not_served_as(judgement, parent, use), false};
  const Verdict verdict = check_identity(judgement.root, judgement.config, parent);
  if (part.refused.empty() && !verdict) part.refused = verdict.reason.problem;
  part.is_free = part.refused.empty() && !user_of_parent(judgement.taken, parent);
  return part;
}

Part vf_part(const Judgement& judgement, const PciAddress& vf, Use use) {
  Part part{read_identity(judgement.root, judgement.config, vf, judgement.cards), {}, false};
  part.refused = not_served_as(judgement, part.parent, use);
  if (!part.refused.empty()) return part;
  const Profile profile = profile_of(judgement, use);
  const auto device =
      find_in_pool({judgement.root, judgement.config, profile, judgement.cards}, vf, part.refused);
  // Whether one more vGPU fits is not asked here: that is so of each type.
  part.is_free = device && !find_user(*device, judgement.taken) && !has_others_vgpu(*device);
  return part;
}

std::vector<Part> parts_of(const Judgement& judgement, const Gpu& gpu) {
  std::vector<Part> parts;
  for (const Use use : kinds_of(gpu)) {
    if (!traits_of(use).has_types || !parts.empty()) continue;
    for (const std::string& name : kind_of(use).parts(gpu))
      if (const auto vf = parse_pci_address(name); vf && is_pci(use))
        parts.push_back(vf_part(judgement, *vf, use));
      else if (const auto parent =
                   find_parent(judgement.root, judgement.config, name, judgement.cards);
               parent && is_mediated(use))
        parts.push_back(mdev_part(judgement, *parent, use));
  }
  return parts;
}

/// What of the types fits on the free parts within [gpu] max.
void add_room(const Judgement& judgement, const Gpu& gpu, const std::vector<Part>& parts,
              FractionGpu& found) {
  std::set<std::string> usable;
  const Part* last = nullptr;
  for (const Part& part : parts) {
    if (!part.is_free) continue;
    usable.insert(part.parent.name);
    last = &part;
  }
  const auto use = judgement.uses.find(gpu.parent.name);
  auto present = use == judgement.uses.end() ? std::vector<std::string>()
                                             : present_types(use->second, judgement.host.instances);
  found.room = card_room(gpu, found.types, std::move(present),
                         [&](const std::string& name) { return usable.contains(name); });
  if (!last) return;
  const auto max = settings_of(judgement.config, last->parent).max;
  for (const GpuType& type : found.types)
    if (const auto more =
            remaining_of(judgement.root, max, gpu.parent.name, type, judgement.host.claimed.claims))
      limit(found.room, type.id, *more);
}

/// A card of NVIDIA's has types once its VFs are enabled.
std::string without_types(const Gpu& gpu) {
  constexpr uint16_t nvidia = 0x10de;
  if (gpu.offers_vgpus) return "the driver lists no type that can be created now";
  if (gpu.serves_mdevs()) return "the driver lists no types";
  if (gpu.parent.vendor == nvidia && gpu.most_vfs > 0 && gpu.vfs.empty())
    return "no VF is enabled, so the types are unknown";
  return {};
}

void add_types(const Judgement& judgement, const Gpu& gpu, FractionGpu& found) {
  std::string unknown;
  found.types = types_of(judgement.root, judgement.config, gpu, nullptr, &unknown);
  if (!unknown.empty())
    found.types_refused = "types are unknown, as " + unknown;
  else if (found.types.empty())
    found.types_refused = without_types(gpu);
  const auto parts = parts_of(judgement, gpu);
  const bool is_refused = !parts.empty() && std::all_of(parts.begin(), parts.end(), [](auto& part) {
    return !part.refused.empty();
  });
  if (is_refused) found.types_refused = parts.front().refused;
  found.is_silent = !unknown.empty();
  found.types_unknown = found.is_silent && !is_refused;
  add_room(judgement, gpu, parts, found);
  found.hides_types = gpu.offers_vgpus && !found.types.empty() && !found.room.present.empty();
}

/// What no file shows. That it is not known which types serve the request is another thing than
/// that none does.
void add_scheduler(const Judgement& judgement, const Gpu& gpu, FractionGpu& found) {
  if (!judgement.request.part.compute_percent || !gpu.parent.address) return;
  if (!found.types_refused.empty()) return;
  if (std::none_of(found.types.begin(), found.types.end(),
                   [&](const GpuType& type) { return is_scheduled(type, found); }))
    return;
  const SchedulerAnswer answer = read_scheduler(judgement.root, *gpu.parent.address, *gpu.asked);
  found.scheduler = answer.scheduler;
  found.scheduler_problem = answer.problem;
  if (!answer.problem.empty()) found.types_unknown = true;
}

FractionVfs& vfs_like(const FractionVfs& part, std::vector<FractionVfs>& all) {
  for (FractionVfs& other : all)
    if (other.memory_mib == part.memory_mib && other.compute_percent == part.compute_percent &&
        other.compute == part.compute)
      return other;
  return all.emplace_back(part);
}

/// One VF: counted with those that have the same; else why it does not serve.
std::string add_vf(const Judgement& judgement, const Gpu& gpu,
                   const std::vector<VfProfile>& profiles, const VfTurns& turns,
                   const PciAddress& vf, FractionGpu& found) {
  const Use use = kinds_of(gpu).front();
  Part part = vf_part(judgement, vf, use);
  if (!part.refused.empty()) return std::move(part.refused);
  const auto memory = vf_memory(judgement.root, *gpu.parent.address, vf);
  if (!memory)
    return "the driver does not report their memory; request one by a profile with use = " +
           std::string(use_word(use)) + " without memory";
  const Limit compute = limits_of_vf(profiles, vf).limits.compute;
  FractionVfs& all =
      vfs_like({use, *memory, vf_share(turns, vf), compute, 0, {}, turns.unknown}, found.vfs);
  if (part.is_free)
    ++all.count;
  else
    all.in_use = "all of them are in use";
  return {};
}

/// VFs of other drivers than NVIDIA's. Each has what the driver or [gpu] vf-memory gave it when it
/// was enabled, which xe alone reports.
void add_vfs(const Judgement& judgement, const Gpu& gpu, FractionGpu& found) {
  if (gpu.most_vfs == 0 || !found.types.empty() || !found.types_refused.empty()) return;
  const auto kinds = kinds_of(gpu);
  if (kinds.empty() || !traits_of(kinds.front()).has_vf_quota || !gpu.parent.address) return;
  if (gpu.vfs.empty()) {
    found.vfs_refused = "none is enabled, so their memory is unknown";
    return;
  }
  const auto profiles = vf_profiles(judgement.root, *gpu.parent.address);
  const VfTurns turns = turns_of(profiles);
  for (const PciAddress& vf : gpu.vfs)
    if (std::string why = add_vf(judgement, gpu, profiles, turns, vf, found); !why.empty())
      found.vfs_refused = std::move(why);
}

void add_whole(const Judgement& judgement, const Gpu& gpu, FractionGpu& found) {
  if (!gpu.parent.address || gpu.is_vf) return;
  char device[10];
  std::snprintf(device, sizeof device, "%04x:%04x", gpu.parent.vendor, gpu.parent.device);
  found.device = device;
  found.whole_refused = not_served_as(judgement, gpu.parent, whole_use);
  if (!found.whole_refused.empty()) return;
  const auto pooled =
      find_in_pool(judgement.root, judgement.config, profile_of(judgement, whole_use),
                   *gpu.parent.address, found.whole_refused);
  if (!pooled) return;
  if (const auto user = find_user(*pooled, judgement.taken))
    found.whole_in_use = user->what;
  else if (!is_viable(*pooled, {}))
    found.whole_in_use = "in an IOMMU group with " + to_string(pooled->host_bound_members.front()) +
                         ", which is bound to a host driver";
}

/// amdgpu, which alone reports it, is not bound to a card that a domain has whole: what it was when
/// the domain started.
std::optional<unsigned> claimed_memory(const Judgement& judgement, const Gpu& gpu) {
  for (const Claim& claim : judgement.host.claimed.claims)
    for (const ClaimedDevice& device : claim.devices)
      if (traits_of(device.use).is_whole_card && device.address == gpu.parent.address &&
          device.memory_mib)
        return device.memory_mib;
  return {};
}

FractionGpu judged(const Judgement& judgement, const Gpu& gpu) {
  FractionGpu found{.name = gpu.parent.name};
  add_types(judgement, gpu, found);
  add_vfs(judgement, gpu, found);
  add_whole(judgement, gpu, found);
  const auto use = judgement.uses.find(gpu.parent.name);
  found.memory_mib =
      memory_of(judgement.root, gpu, found.types,
                use == judgement.uses.end() ? GpuUse{} : use->second, judgement.host.instances)
          .total_mib;
  if (!found.memory_mib) found.memory_mib = claimed_memory(judgement, gpu);
  add_scheduler(judgement, gpu, found);
  found.isolation = settings_of(judgement.config, gpu.parent).isolation;
  found.tenants = fractions_on(judgement.root, gpu.parent.name, judgement.host.claimed.claims);
  return found;
}

}  // namespace

std::vector<FractionGpu> fraction_gpus(const Root& root, const Config& config, const Host& host,
                                       const FractionRequest& request,
                                       const std::vector<GpuSelector>& selectors) {
  KnownCards cards;
  const Judgement judgement{root,
                            config,
                            host,
                            request,
                            selectors,
                            taken_devices(root, host.claimed, Uuid{}),
                            use_of_gpus(root, host.gpus, host.instances),
                            cards};
  std::vector<FractionGpu> gpus;
  gpus.reserve(host.gpus.size());
  for (const Gpu& gpu : host.gpus) gpus.push_back(judged(judgement, gpu));
  return gpus;
}

}  // namespace gpuward
