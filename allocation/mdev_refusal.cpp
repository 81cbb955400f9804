// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/mdev_refusal.hpp"

#include <optional>
#include <set>

#include "allocation/capacity.hpp"
#include "allocation/fraction_host.hpp"
#include "allocation/quota.hpp"
#include "allocation/request.hpp"
#include "allocation/settled_now.hpp"
#include "base/joined.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/snapshot.hpp"
#include "pci/card_facts.hpp"

namespace gpuward {

namespace {

/// The cards that have the types of the profile: what is on one shares it, whatever its type.
std::set<std::string> cards_of(const MdevPlacing& placing, const FoundParents& found) {
  std::set<std::string> cards;
  for (const Candidate& candidate : found.candidates) cards.insert(card_of(candidate));
  for (const ParentType& refused : placing.refused) {
    const auto parent = find_parent(placing.root, refused.parent);
    cards.insert(parent && parent->physical_function ? to_string(*parent->physical_function)
                                                     : refused.parent);
  }
  return cards;
}

/// Other domains: the claim of this one is on disk already when the kernel has no room.
std::string holders_of(const MdevPlacing& placing, const FoundParents& found) {
  const auto cards = cards_of(placing, found);
  std::set<std::string> names;
  for (const Claim& claim : placing.others)
    for (const ClaimedDevice& device : claim.devices)
      if (claim.domain != placing.domain.uuid && is_mediated(device.use) &&
          cards.contains(card_of(placing.root, device)))
        names.insert(in_quotes(claim.name));
  return first_three_of(names);
}

std::string unavailable_text(const FoundParents& found) {
  std::set<std::string> users;
  for (const auto& [user, remedy] : found.unavailable) users.insert(user);
  return first_three_of(users);
}

std::string way_to_capacity(const Profile& profile) {
  return profile.is_configured ? "shut one down or add GPUs to [profile " + profile.name + "]"
                               : "shut one of the domains down";
}

/// All that have its types are in use in another way than by mdevs.
[[noreturn]] void throw_unavailable(const FoundParents& found, const ClaimedDevice& device,
                                    const Profile& profile) {
  std::string remedy;
  for (const auto& [user, user_remedy] : found.unavailable)
    if (remedy.empty()) remedy = user_remedy;
  throw InUse(gpu_title(device.alias),
              "no GPU of " + title_of(profile) + " is available: " + unavailable_text(found),
              remedy.empty() ? way_to_capacity(profile) : remedy);
}

/// What attach would settle for the GPU now, where that is not what it settled: the driver of the
/// GPUs has changed since.
std::optional<SettledRequest> settled_otherwise(const MdevPlacing& placing,
                                                const ClaimedDevice& device) {
  for (const GpuRequest& gpu : placing.domain.requests) {
    if (gpu.alias != device.alias || !gpu.settled) continue;
    auto now = settled_now(placing.root, placing.config, gpu);
    if (now && now != gpu.settled) return now;
  }
  return {};
}

[[noreturn]] void throw_no_type(const MdevPlacing& placing, const ClaimedDevice& device,
                                const Profile& profile, const std::string& types) {
  const std::string title = gpu_title(device.alias);
  const std::string problem = "no GPU allowed by " + title_of(profile) + " supports type " + types;
  if (const auto now = settled_otherwise(placing, device))
    throw Error(
        title,
        problem + ", GPUs of this host offer it now with use " + std::string(use_word(now->use)),
        "run: gpuward reassign " + shell_word(placing.domain.name));
  throw Error(title, problem, "run: gpuward list types");
}

/// "; 1 of 2 requested are available", of a profile of which the domain requests several.
std::string available_of_requested(const MdevPlacing& placing, const ClaimedDevice& device) {
  unsigned requested = 0, placed = 0;
  for (const ClaimedDevice& own : placing.claim.devices) {
    if (is_pci(own.use) || own.profile != device.profile) continue;
    ++requested;
    placed += own.parent.empty() ? 0 : 1;
  }
  if (requested < 2) return {};
  return "; " + std::to_string(placed) + " of " + std::to_string(requested) +
         " requested are available";
}

/// "; 0000:04:00.0: 128 MiB of memory remain and one requires 256 MiB": what the cards have left
/// for a GPU that requests memory, beside what this domain is to have on them.
std::string memory_left(const MdevPlacing& placing, const Profile& profile,
                        const FoundParents& found) {
  if (!profile.memory_mib) return {};
  const auto cards = cards_of(placing, found);
  std::string text;
  // Only the rooms are read, which no request changes.
  for (FractionGpu& gpu :
       fraction_gpus(placing.root, placing.config, read_host(placing.root, placing.config),
                     FractionRequest{}, profile.gpus)) {
    if (!cards.contains(gpu.name)) continue;
    for (const ClaimedDevice& own : placing.claim.devices)
      if (needs_instance(own, placing.existing) && !own.parent.empty() &&
          card_of(placing.root, own) == gpu.name)
        take_anyway(gpu.room, own.type);
    for (const std::string& type : profile.types)
      if (has_type(gpu.room, type) && room_for(gpu.room, type) == 0)
        text += "; " + gpu.name + ": " + reason_full(gpu.room, type);
  }
  return text;
}

std::string list_types(const Profile& profile) {
  std::string types;
  for (const std::string& type : profile.types) types += (types.empty() ? "" : " or ") + type;
  return types;
}

/// The parents that have the types of the profile.
std::string list_parents(const MdevPlacing& placing, const FoundParents& found) {
  std::set<std::string> parents;
  for (const Candidate& candidate : found.candidates) parents.insert(candidate.parent);
  for (const ParentType& refused : placing.refused) parents.insert(refused.parent);
  return joined(parents);
}

}  // namespace

void throw_no_capacity(const MdevPlacing& placing, const ClaimedDevice& device,
                       const Profile& profile, const FoundParents& found) {
  const bool is_nowhere = found.candidates.empty() && placing.refused.empty();
  if (found.candidates.empty() && !found.unexpected.problem.empty())
    throw Error(about(gpu_title(device.alias), found.unexpected));
  if (is_nowhere && !found.unavailable.empty()) throw_unavailable(found, device, profile);
  if (is_nowhere) throw_no_type(placing, device, profile, list_types(profile));
  std::string text =
      "no available instance of " + list_types(profile) + " on " + list_parents(placing, found);
  if (requires_near(profile.numa))
    text += " local to the domain's memory and CPUs " + numa_text(profile.numa);
  if (const std::string holders = holders_of(placing, found); !holders.empty())
    text += " (in use by domains " + holders + ")";
  if (!found.unavailable.empty()) text += "; " + unavailable_text(found);
  text += memory_left(placing, profile, found);
  text += available_of_requested(placing, device);
  throw InUse(gpu_title(device.alias), text, way_to_capacity(profile));
}

}  // namespace gpuward
