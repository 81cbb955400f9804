// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/gpu_choice.hpp"

#include <algorithm>
#include <utility>

namespace gpuward {

using Result = ConsideredDevice::Result;

bool GpuChoice::has_device() const {
  return std::any_of(devices.begin(), devices.end(), [](const ConsideredDevice& device) {
    return device.result == Result::chosen;
  });
}

// ---- mdevs

static ConsideredDevice considered(const MdevChoice& choice, const Profile& profile,
                                   const Candidate& candidate) {
  ConsideredDevice device{Result::unavailable, candidate.parent, candidate.type, {}};
  if (candidate.available == 0) {
    device.why = "no available instance";
  } else if (requires_near(profile.numa) && !candidate.near) {
    device.why = "device is not local to the domain's memory and CPUs " + numa_text(profile.numa);
  } else if (!choice.chosen) {
    device.result = Result::available;
    device.why = "left to another GPU of the domain";
  } else if (choice.chosen->parent == candidate.parent && choice.chosen->type == candidate.type) {
    device.result = Result::chosen;
    device.why = choice.links;
  } else {
    device.result = Result::available;
    const auto compared = decide(profile, choice.candidates, *choice.chosen, candidate);
    device.why = compared.is_first_better ? why_worse(compared.by, profile)
                                          : "left to another GPU of the domain";
  }
  return device;
}

GpuChoice mdev_choice(const MdevChoice& choice, const Profile& profile, const std::string& alias) {
  GpuChoice gpu{alias, title_of(profile), {}};
  gpu.devices.reserve(choice.candidates.size() + choice.unavailable.size());
  for (const Candidate& candidate : choice.candidates)
    gpu.devices.push_back(considered(choice, profile, candidate));
  for (const auto& [of, why] : choice.unavailable)
    gpu.devices.push_back({Result::unavailable, of.parent, of.type, why});
  std::stable_sort(gpu.devices.begin(), gpu.devices.end(),
                   [](const ConsideredDevice& one, const ConsideredDevice& other) {
                     return one.device < other.device;
                   });
  return gpu;
}

// ---- PCI devices

namespace {

/// What each GPU of the domain has after `gpuward reassign`.
struct Reassigned {
  const PoolDomain& domain;
  const DevicePools& pools;
  std::vector<Reassignment> moves;

  const Reassignment* move_of(const PoolGpu& gpu) const {
    for (const Reassignment& move : moves)
      if (move.alias == gpu.alias && move.from != move.to.front()) return &move;
    return nullptr;
  }
  const PoolDevice* device_of(const PoolGpu& gpu) const {
    const Reassignment* const move = move_of(gpu);
    const auto pool = pools.find(title_of(gpu.profile));
    if (pool == pools.end()) return nullptr;
    return find_device(pool->second, move ? std::optional(move->to.front()) : gpu.at);
  }
  /// With what the other GPUs of the domain have.
  DeviceUse use_beside(const PoolGpu& gpu, DeviceUse use) const {
    for (const PoolGpu& other : domain.gpus) {
      const PoolDevice* const device = other.alias == gpu.alias ? nullptr : device_of(other);
      if (!device) continue;
      for (const PciAddress& function : device->functions)
        use.taken[function] = assigned_to_another_gpu(domain);
      use.beside.push_back(spot_of(*device));
    }
    return use;
  }
};

}  // namespace

/// Why the one that was chosen is.
static std::string why_chosen(const Reassigned& after, const PoolGpu& gpu, const DeviceUse& use,
                              const PoolDevice& device) {
  const Reassignment* const move = after.move_of(gpu);
  std::string why = !move || !gpu.at ? "" : "instead of " + to_string(*gpu.at) + ": " + move->why;
  const std::string links = links_text(spot_of(device), use.beside);
  return why + (why.empty() || links.empty() ? "" : "; ") + links;
}

/// Why an available one is not the one that was chosen.
static std::string why_not(const Reassigned& after, const PoolGpu& gpu, const DeviceUse& use,
                           const PoolDevice& chosen, const PoolDevice& device) {
  if (!after.move_of(gpu))
    return "the GPU stays at " + to_string(chosen.address) + ", which is available";
  const DomainPlace place{after.domain.numa_nodes, after.domain.cpus};
  const Comparison comparison =
      decide(gpu.profile, after.pools.at(title_of(gpu.profile)), use, place, chosen, device);
  return comparison.is_first_better ? why_worse(comparison.by, gpu.profile) : "not chosen";
}

static ConsideredDevice considered(const Reassigned& after, const PoolGpu& gpu,
                                   const DeviceUse& use, const PoolDevice& device) {
  const PoolDevice* const chosen = after.device_of(gpu);
  ConsideredDevice found{Result::unavailable, to_string(device.address), {}, {}};
  found.why =
      why_impossible(gpu.profile, device, use, {after.domain.numa_nodes, after.domain.cpus});
  if (found.why.empty() && device.is_full) found.why = why_worse(Criterion::capacity, gpu.profile);
  if (!found.why.empty()) return found;
  found.result = chosen == &device ? Result::chosen : Result::available;
  if (chosen == &device)
    found.why = why_chosen(after, gpu, use, device);
  else
    found.why = chosen ? why_not(after, gpu, use, *chosen, device) : "";
  return found;
}

std::vector<GpuChoice> device_choices(const PoolDomain& domain, const DevicePools& pools,
                                      const DevicesByHand& by_hand, const DeviceUse& use) {
  const PoolPlan plan = plan_reassignments({domain}, pools, by_hand, use.taken, use.assigned_count);
  const Reassigned after{domain, pools, plan.moves};
  DeviceUse of_others{in_use_by_others(use.taken, domain.uuid), use.assigned_count, domain.own};
  if (const auto own = by_hand.find(domain.uuid); own != by_hand.end())
    of_others.taken.insert(own->second.begin(), own->second.end());
  std::vector<GpuChoice> choices;
  choices.reserve(domain.gpus.size());
  for (const PoolGpu& gpu : domain.gpus) {
    GpuChoice choice{gpu.alias, title_of(gpu.profile), {}};
    const DeviceUse beside = after.use_beside(gpu, of_others);
    for (const PoolDevice& device : pools.at(title_of(gpu.profile)))
      choice.devices.push_back(considered(after, gpu, beside, device));
    choices.push_back(std::move(choice));
  }
  return choices;
}

}  // namespace gpuward
