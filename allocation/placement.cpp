// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/placement.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "base/file.hpp"
#include "base/number_set.hpp"

namespace gpuward {

template <typename Numbers>
static bool contains(const Numbers& numbers, int number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool is_near(Numa numa, const DomainPlace& domain, const DevicePlace& device) {
  if (domain.nodes.empty() && domain.cpus.empty()) return true;
  if (!device.node) return numa != Numa::require;
  if (!domain.nodes.empty() && !contains(domain.nodes, *device.node)) return false;
  return domain.cpus.empty() || device.cpus.empty() ||
         std::any_of(domain.cpus.begin(), domain.cpus.end(),
                     [&](int cpu) { return contains(device.cpus, cpu); });
}

std::vector<int> local_cpus(const std::string& device_path) {
  return numbers_of_set(read_attribute(device_path + "/local_cpulist").value_or(""), 8192);
}

/// What its card has left of its type: each VF of NVIDIA's counts only itself.
static unsigned left_on_card(const Candidate& candidate, std::span<const Candidate> all) {
  if (candidate.card.empty()) return candidate.available;
  unsigned left = 0;
  for (const Candidate& other : all)
    if (other.card == candidate.card && other.type == candidate.type) left += other.available;
  return left;
}

static bool better(const Profile& profile, std::span<const Candidate> all, const Candidate& a,
                   const Candidate& b) {
  const bool numa_counts = profile.numa != Numa::ignore;
  const auto key = [&](const Candidate& c) {
    const unsigned left = left_on_card(c, all);
    const unsigned fullness = profile.placement == Placement::binpack ? left : ~0U - left;
    return std::tuple(c.rank, numa_counts && !c.near, fullness, std::string_view(c.parent));
  };
  return key(a) < key(b);
}

std::optional<Candidate> place(const Profile& profile, std::span<const Candidate> candidates) {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (candidate.available == 0) continue;
    if (profile.numa == Numa::require && !candidate.near) continue;
    if (!best || better(profile, candidates, candidate, *best)) best = &candidate;
  }
  if (!best) return {};
  return *best;
}

}  // namespace gpuward
