// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/placement.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "base/file.hpp"
#include "base/number_set.hpp"
#include "base/text.hpp"

namespace gpuward {

static constexpr int most_cpus = 8192;  // CONFIG_NR_CPUS of x86 at most

template <typename Numbers>
static bool contains(const Numbers& numbers, int number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool is_near(Numa numa, const DomainPlace& domain, const DevicePlace& device) {
  if (domain.nodes.empty() && domain.cpus.empty()) return true;
  if (!device.node) return !requires_near(numa);
  const auto is_local = [&](int node) {
    return node == *device.node || contains(device.nodes, node);
  };
  if (!domain.nodes.empty() && std::none_of(domain.nodes.begin(), domain.nodes.end(), is_local))
    return false;
  return domain.cpus.empty() || device.cpus.empty() ||
         std::any_of(domain.cpus.begin(), domain.cpus.end(),
                     [&](int cpu) { return contains(device.cpus, cpu); });
}

std::vector<int> local_cpus(const std::string& device_path) {
  return numbers_of_set(read_attribute(device_path + "/local_cpulist").value_or(""), most_cpus);
}

/// package_cpus_list is that since Linux 5.3, before it core_siblings_list; an offline CPU has
/// neither.
static std::vector<int> cpus_of_socket(const Root& root, const std::vector<int>& cpus) {
  for (const int cpu : cpus)
    for (const char* const name : {"package_cpus_list", "core_siblings_list"}) {
      const auto text = read_attribute(root.sys("devices/system/cpu/cpu") + std::to_string(cpu) +
                                       "/topology/" + name);
      if (text) return numbers_of_set(*text, most_cpus);
    }
  return {};
}

void widen_to_socket(const Root& root, DevicePlace& place) {
  auto cpus = cpus_of_socket(root, place.cpus);
  if (cpus.empty()) return;
  place.cpus = std::move(cpus);
  const std::string nodes = root.sys("devices/system/node");
  for (const std::string& name : list_directory(nodes)) {
    const auto number = name.starts_with("node") ? to_number<int>(name.substr(4)) : std::nullopt;
    if (!number) continue;
    const auto of_node =
        numbers_of_set(read_attribute(nodes + '/' + name + "/cpulist").value_or(""), most_cpus);
    if (std::any_of(of_node.begin(), of_node.end(),
                    [&](int cpu) { return contains(place.cpus, cpu); }))
      place.nodes.push_back(*number);
  }
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
    return std::tuple(c.rank, numa_counts && !c.near, fullness, c.distance,
                      std::string_view(c.parent));
  };
  return key(a) < key(b);
}

std::optional<Candidate> place(const Profile& profile, std::span<const Candidate> candidates) {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (candidate.available == 0) continue;
    if (requires_near(profile.numa) && !candidate.near) continue;
    if (!best || better(profile, candidates, candidate, *best)) best = &candidate;
  }
  if (!best) return {};
  return *best;
}

}  // namespace gpuward
