// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/quota.hpp"

#include <algorithm>

#include "base/joined.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "domain/domain.hpp"

namespace gpuward {

namespace {

constexpr const char* total_limit = "total";
constexpr const char* memory_limit = "memory";  // a profile must not be called so

/// The slot of a card; nothing for a VF or an mdev, each of which is a GPU of its own.
std::optional<PciAddress> slot_of(const ClaimedDevice& device) {
  if (!traits_of(device.use).is_whole_card) return {};
  PciAddress slot = device.address;
  slot.function = 0;
  return slot;
}

unsigned count_by_hand(const std::vector<ClaimedDevice>& devices,
                       std::set<PciAddress> known_slots) {
  unsigned count = 0;
  for (const ClaimedDevice& device : devices) {
    if (!is_by_hand(device)) continue;
    const auto slot = slot_of(device);
    count += !slot || known_slots.insert(*slot).second ? 1 : 0;
  }
  return count;
}

/// How many of `gpus` count for the limit.
unsigned counted(const std::string& limit, const GpuCounts& gpus) {
  unsigned count = 0;
  for (const auto& [profile, number] : gpus)
    if (limit == total_limit || limit == profile) count += number;
  return count;
}

std::map<std::string, unsigned> limits_of(const Quota& quota) {
  std::map<std::string, unsigned> limits = quota.per_profile;
  if (quota.total) limits[total_limit] = *quota.total;
  if (quota.memory_mib) limits[memory_limit] = *quota.memory_mib;
  return limits;
}

bool is_under(const Config& config, const Quota& quota, const Claim& claim) {
  const auto quotas = quotas_of(config, claim.name, claim.owner);
  return std::find(quotas.begin(), quotas.end(), &quota) != quotas.end();
}

void add(const std::string& domain, const GpuCounts& gpus, QuotaUse& use) {
  const unsigned number = counted(use.limit.empty() ? total_limit : use.limit, gpus);
  if (number == 0) return;
  use.used += number;
  use.domains.insert(domain);
}

void add_memory(const Claim& claim, QuotaUse& use) {
  const MemoryCount memory = count_memory(claim);
  if (!memory.unknown.empty()) use.unknown = domain_title(claim.name) + ": " + memory.unknown;
  if (memory.mib == 0 && memory.unknown.empty()) return;
  use.used += memory.mib;
  use.domains.insert(claim.name);
}

QuotaUse use_of(const Config& config, const Quota& quota, const std::string& limit, unsigned max,
                const std::vector<Claim>& claims) {
  QuotaUse use{&quota, limit, max, 0, {}};
  for (const Claim& claim : claims) {
    if (!is_under(config, quota, claim)) continue;
    if (limit == memory_limit)
      add_memory(claim, use);
    else
      add(claim.name, count_gpus(claim), use);
  }
  return use;
}

std::string users_text(const QuotaUse& use) {
  std::set<std::string> names;
  for (const std::string& domain : use.domains) names.insert(in_quotes(domain));
  const bool is_one = names.size() == 1;
  return (is_one ? "domain " : "domains ") + first_three_of(names) + (is_one ? " uses " : " use ") +
         std::to_string(use.used) + ", ";
}

std::string title_with_place(const Quota& quota) {
  return section_title(quota) + " (" + to_string(quota.position) + ")";
}

/// What is not known may be too much.
std::optional<QuotaRefusal> unknown_memory(const QuotaUse& others, const QuotaRequest& request) {
  const bool is_own = !request.memory->unknown.empty();
  const std::string unknown =
      is_own ? domain_title(request.name) + ": " + request.memory->unknown : others.unknown;
  if (unknown.empty()) return {};
  return QuotaRefusal{{title_with_place(*others.quota),
                       "memory cannot be counted: " + unknown + " has an unknown amount of memory",
                       is_own ? "request a GPU whose memory is shown by: gpuward list types, or "
                                "remove memory from the section"
                              : "shut that domain down, or remove memory from the section"},
                      !is_own};
}

QuotaRefusal refusal(const QuotaUse& others, const QuotaRequest& request, unsigned requested) {
  const bool passes = requested <= others.max;
  const std::string name = shell_word(request.name);
  const std::string unit = others.limit == memory_limit ? "MiB" : "";
  return {
      {title_with_place(*others.quota),
       others.limit + " = " + std::to_string(others.max) + unit +
           " would be exceeded: " + (passes ? users_text(others) : "") +
           domain_title(request.name) + " requests " + std::to_string(requested) + unit,
       passes
           ? "shut one of them down or raise the limit; for what is used run: gpuward quota " + name
           : "raise the limit, or request fewer GPUs"},
      passes};
}

}  // namespace

GpuCounts count_gpus(const Claim& claim) {
  std::vector<ClaimedDevice> used;
  for (const ClaimedDevice& device : claim.devices)
    if (device.state == ClaimedDevice::State::claimed) used.push_back(device);
  GpuCounts gpus;
  std::set<PciAddress> slots;
  for (const ClaimedDevice& device : used) {
    if (!is_gpu_of_profile(device)) continue;
    ++gpus[device.profile];
    if (const auto slot = slot_of(device)) slots.insert(*slot);
  }
  if (const unsigned by_hand = count_by_hand(used, slots)) gpus["-"] = by_hand;
  return gpus;
}

bool is_gpu_of_profile(const ClaimedDevice& device) {
  return !is_by_hand(device) && device.alias.starts_with(alias_prefix) &&
         gpu_alias(device.alias) == device.alias;
}

MemoryCount count_memory(const Claim& claim) {
  MemoryCount memory;
  // A companion written by hand, which may come first, has none of its own.
  std::map<PciAddress, const ClaimedDevice*> cards;
  const auto add = [&](const ClaimedDevice& device) {
    if (device.memory_mib)
      memory.mib += *device.memory_mib;
    else
      memory.unknown = device_name(device);
  };
  for (const ClaimedDevice& device : claim.devices) {
    if (device.state != ClaimedDevice::State::claimed) continue;
    if (!is_by_hand(device) && !is_gpu_of_profile(device)) continue;
    const auto slot = slot_of(device);
    if (!slot) {
      add(device);
      continue;
    }
    const ClaimedDevice*& of_card = cards.try_emplace(*slot, &device).first->second;
    if (!of_card->memory_mib && device.memory_mib) of_card = &device;
  }
  for (const auto& card : cards) add(*card.second);
  return memory;
}

bool limits_memory(const Config& config) {
  return std::any_of(config.quotas.begin(), config.quotas.end(),
                     [](const Quota& quota) { return quota.memory_mib.has_value(); });
}

std::string section_title(const Quota& quota) {
  return "[quota " + to_string(quota.domains) + "]";
}

std::vector<const Quota*> quotas_of(const Config& config, const std::string& domain,
                                    const std::string& owner) {
  std::vector<const Quota*> quotas;
  for (const auto by : {DomainPattern::By::name, DomainPattern::By::owner}) {
    const auto first =
        std::find_if(config.quotas.begin(), config.quotas.end(), [&](const Quota& quota) {
          return quota.domains.by == by && matches(quota.domains, domain, owner);
        });
    if (first != config.quotas.end()) quotas.push_back(&*first);
  }
  return quotas;
}

std::vector<QuotaUse> quota_use(const Config& config, const std::vector<Claim>& claims) {
  std::vector<QuotaUse> uses;
  for (const Quota& quota : config.quotas) {
    const auto limits = limits_of(quota);
    for (const auto& [limit, max] : limits)
      uses.push_back(use_of(config, quota, limit, max, claims));
    if (limits.empty()) uses.push_back(use_of(config, quota, "", 0, claims));
  }
  return uses;
}

std::optional<QuotaRefusal> quota_refusal(const Config& config, const QuotaRequest& request,
                                          const std::vector<Claim>& claims) {
  const auto quotas = quotas_of(config, request.name, request.owner);
  if (quotas.empty()) return {};
  std::optional<QuotaRefusal> first;
  std::vector<Claim> others = claims;
  std::erase_if(others, [&](const Claim& claim) { return claim.domain == request.domain; });
  for (const Quota* const quota : quotas)
    for (const auto& [limit, max] : limits_of(*quota)) {
      const bool is_memory = limit == memory_limit;
      if (is_memory && !request.memory) continue;
      const QuotaUse use = use_of(config, *quota, limit, max, others);
      const unsigned requested = is_memory ? request.memory->mib : counted(limit, request.gpus);
      // More than the limit alone is too much whatever others have.
      auto unknown = is_memory && requested <= max ? unknown_memory(use, request) : std::nullopt;
      if (!unknown && (requested == 0 || use.used + requested <= max)) continue;
      QuotaRefusal found = unknown ? std::move(*unknown) : refusal(use, request, requested);
      // What no domain that is shut down helps with counts more.
      if (!found.passes) return found;
      if (!first) first = std::move(found);
    }
  return first;
}

std::optional<Reason> access_refusal(const Profile& profile, const std::string& domain,
                                     const std::string& owner) {
  const auto& allowed = profile.allowed;
  if (allowed.empty() || std::any_of(allowed.begin(), allowed.end(), [&](const auto& pattern) {
        return matches(pattern, domain, owner);
      }))
    return {};
  const std::string patterns =
      joined(allowed, ", ", [](const DomainPattern& pattern) { return to_string(pattern); });
  const std::string who =
      domain_title(domain) + (owner.empty() ? "" : " with owner " + in_quotes(owner));
  return Reason{
      "profile " + in_quotes(profile.name),
      "allow = " + patterns + " (" + to_string(profile.position) + ") does not match " + who,
      "request another profile, or change allow in [profile " + profile.name + "]"};
}

}  // namespace gpuward
