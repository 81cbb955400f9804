// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/placement.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

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

/// What each card has left of each type: each VF of NVIDIA's counts only itself.
using LeftOnCards = std::map<std::pair<std::string_view, std::string_view>, unsigned>;

static LeftOnCards left_on_cards(std::span<const Candidate> candidates) {
  LeftOnCards left;
  for (const Candidate& candidate : candidates)
    if (!candidate.card.empty()) left[{candidate.card, candidate.type}] += candidate.available;
  return left;
}

static unsigned left_for(const Candidate& candidate, const LeftOnCards& on_cards) {
  return candidate.card.empty() ? candidate.available
                                : on_cards.at({candidate.card, candidate.type});
}

using CandidateCosts = std::array<int64_t, 7>;
static constexpr std::array candidate_criteria{
    Criterion::type, Criterion::stranded, Criterion::numa,     Criterion::opened,
    Criterion::fill, Criterion::stranded, Criterion::distance, Criterion::name};

/// `left`: what its card has left of its type.
static CandidateCosts costs_of(const Profile& profile, unsigned left, const Candidate& candidate) {
  const bool is_far = profile.numa != Numa::ignore && !candidate.near;
  const int64_t fill = left;
  if (profile.placement == Placement::spread)
    return {candidate.rank, 0, is_far, 0, -fill, candidate.stranded_mib, candidate.distance};
  return {candidate.rank,    candidate.stranded_mib, is_far, candidate.opens_card, fill, 0,
          candidate.distance};
}

Comparison decide(const Profile& profile, std::span<const Candidate> all, const Candidate& one,
                  const Candidate& other) {
  const LeftOnCards on_cards = left_on_cards(all);
  const auto costs = costs_of(profile, left_for(one, on_cards), one);
  const auto others = costs_of(profile, left_for(other, on_cards), other);
  const auto differs = std::mismatch(costs.begin(), costs.end(), others.begin()).first;
  return {candidate_criteria[static_cast<size_t>(differs - costs.begin())],
          std::tie(costs, one.parent) < std::tie(others, other.parent)};
}

std::string why_worse(Criterion by, const Profile& profile) {
  switch (by) {
    case Criterion::type:
      return "the profile names its type later";
    case Criterion::capacity:
      return "GPU has no capacity for another vGPU of " + title_of(profile);
    case Criterion::vgpu:
      return "device has a vGPU that gpuward did not create";
    case Criterion::stranded:
      return "leaves more memory of its card that no profile can use";
    case Criterion::numa:
      return "device is not local to the domain's memory and CPUs";
    case Criterion::assigned:
      return "assigned to more shut-off domains";
    case Criterion::opened:
      return "card has no instance yet";
    case Criterion::fill:
      return "card is " +
             std::string(profile.placement == Placement::binpack ? "emptier" : "fuller");
    case Criterion::distance:
      return "farther from the other GPUs of the domain";
    case Criterion::name:
      break;
  }
  return "as good, but later by name";
}

std::optional<Candidate> place(const Profile& profile, std::span<const Candidate> candidates) {
  const LeftOnCards on_cards = left_on_cards(candidates);
  CandidateCosts best_costs{};
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (candidate.available == 0) continue;
    if (requires_near(profile.numa) && !candidate.near) continue;
    const auto costs = costs_of(profile, left_for(candidate, on_cards), candidate);
    if (best && std::tie(costs, candidate.parent) >= std::tie(best_costs, best->parent)) continue;
    best = &candidate;
    best_costs = costs;
  }
  if (!best) return {};
  return *best;
}

}  // namespace gpuward
