// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/type_limit.hpp"

#include <algorithm>
#include <set>

#include "base/quote.hpp"
#include "base/text.hpp"
#include "kinds/types.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

std::string card_of(const Root& root, const ClaimedDevice& device) {
  if (is_pci(device.use)) return device.parent;
  const auto address = parse_pci_address(device.parent);
  const auto parent = address ? find_pci_device(root, *address) : std::nullopt;
  return parent && parent->physical_function ? to_string(*parent->physical_function)
                                             : device.parent;
}

/// What cannot be read of a vGPU may be of any type.
static bool is_of_type(const Root& root, const ClaimedDevice& device, Use use,
                       const std::string& type) {
  const ClaimedType found = claimed_type(root, device);
  return found.use == use && (found.id == type || found.id.empty());
}

/// Of a PCI device the claim says so: of those on other cards nothing is read.
static bool may_be_on(const ClaimedDevice& device, const std::string& card) {
  return !is_pci(device.use) || device.parent == card;
}

/// One entry per instance: the domain that has it, in quotes.
static std::multiset<std::string> users_of_type(const Root& root, Use use, const std::string& card,
                                                const std::string& type,
                                                const std::vector<Claim>& claims) {
  std::multiset<std::string> users;
  for (const Claim& claim : claims)
    for (const ClaimedDevice& device : claim.devices)
      if (may_be_on(device, card) && is_of_type(root, device, use, type) &&
          card_of(root, device) == card)
        users.insert(in_quotes(claim.name));
  return users;
}

static std::optional<ReachedLimit> reached(const Root& root, const InstanceCount& limit, Use use,
                                           const std::string& card, const std::string& type,
                                           const std::vector<Claim>& claims) {
  const auto users = users_of_type(root, use, card, type, claims);
  if (users.size() < limit.count) return {};
  const std::string max = "max = " + limit.type + ":" + std::to_string(limit.count);
  if (limit.count == 0)
    return ReachedLimit{max + " permits none on " + card, true,
                        "raise max in the [gpu] section of " + card};
  const std::set<std::string> domains(users.begin(), users.end());
  const std::string who =
      domains.empty() ? "" : (domains.size() == 1 ? " by domain " : " by domains ");
  return ReachedLimit{max + " is reached on " + card + who + first_three_of(domains), false,
                      "shut one of the domains down"};
}

static const InstanceCount* limit_of(const std::vector<InstanceCount>& max, Use use,
                                     const std::string& id, const std::string& name) {
  for (const InstanceCount& limit : max)
    if (limit.type == id || (traits_of(use).has_named_types && limit.type == name)) return &limit;
  return nullptr;
}

std::optional<ReachedLimit> reached_limit(const Root& root, const std::vector<InstanceCount>& max,
                                          const std::string& card, const LimitedType& type,
                                          const std::vector<Claim>& claims) {
  const InstanceCount* const limit = limit_of(max, type.use, type.id, type.name);
  if (!limit) return {};
  return reached(root, *limit, type.use, card, type.id, claims);
}

std::optional<unsigned> remaining_of(const Root& root, const std::vector<InstanceCount>& max,
                                     const std::string& card, const GpuType& type,
                                     const std::vector<Claim>& claims) {
  const InstanceCount* const limit = limit_of(max, type.use, type.id, type.name);
  if (!limit) return {};
  const auto used =
      static_cast<unsigned>(users_of_type(root, type.use, card, type.id, claims).size());
  return limit->count - std::min(used, limit->count);
}

std::vector<Claim> without_device(std::vector<Claim> claims, const ClaimedDevice& device) {
  for (Claim& claim : claims)
    std::erase_if(claim.devices,
                  [&](const ClaimedDevice& other) { return is_same_device(other, device); });
  return claims;
}

}  // namespace gpuward
