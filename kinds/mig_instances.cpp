// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/mig_instances.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "kinds/mig_part.hpp"
#include "kinds/rows.hpp"

namespace gpuward {

static MigInstance make_instance(const MigCard& card, const GpuInstanceRef& ref) {
  MigInstance instance{.id = ref.id, .place = ref.place};
  for (const GpuInstanceProfile& profile : card.profiles)
    if (profile.id == ref.profile_id) {
      instance.profile = profile.name;
      instance.memory_mib = profile.memory_mib;
    }
  return instance;
}

/// As a release does, which leaves another one at its place, and one of its id elsewhere.
static bool is_named(const MigInstance& instance, const GpuInstanceRef& claimed) {
  return instance.place == claimed.place && (!claimed.id || instance.id == claimed.id);
}

std::vector<MigInstance> match_mig_instances(const std::string& card_name, const MigCard& card,
                                             const std::vector<GpuInstance>& instances,
                                             bool claims_known) {
  std::vector<MigInstance> found;
  found.reserve(card.instances.size());
  for (const GpuInstanceOfCard& each : card.instances) {
    found.push_back(make_instance(card, {each.profile_id, each.place, each.id}));
    found.back().state = claims_known ? "external" : "unknown";
  }
  for (const GpuInstance& instance : instances) {
    if (!instance.device || instance.device->parent != card_name) continue;
    const auto part = parse_part(instance.device->part);
    if (!part) continue;
    auto at = std::find_if(found.begin(), found.end(), [&part](const MigInstance& each) {
      return is_named(each, part->gpu_instance);
    });
    const bool exists = at != found.end();
    if (!exists) at = found.insert(found.end(), make_instance(card, part->gpu_instance));
    at->state = instance.device->state == ClaimedDevice::State::quarantined ? "quarantined"
                : exists                                                    ? "in-use"
                                                                            : "missing";
    at->domain = instance.domain;
    at->domain_uuid = instance.domain_uuid;
  }
  std::stable_sort(found.begin(), found.end(), [](const MigInstance& a, const MigInstance& b) {
    return a.place.start < b.place.start;
  });
  return found;
}

std::optional<MigInstances> read_mig_instances(const Root& root, const Host& host,
                                               const Gpu& gpu) try {
  if (!mig_kind.is_offered(gpu) || !gpu.asked) return {};
  return MigInstances{match_mig_instances(gpu.parent.name,
                                          gpu.asked->read(root, *gpu.parent.address),
                                          host.instances, host.claimed.unreadable.empty())};
} catch (const Error& error) {
  return MigInstances{{}, error.reason.problem};
}

}  // namespace gpuward
