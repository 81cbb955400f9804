// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/quota.hpp"

#include <algorithm>

#include "allocation/device_memory.hpp"
#include "allocation/request.hpp"
#include "base/joined.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "cli/commands.hpp"
#include "cli/domain_edits.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "domain/domain.hpp"
#include "libvirt/client.hpp"
#include "lifecycle/by_hand.hpp"

namespace gpuward {

using nlohmann::json;

std::vector<QuotaUse> quota_of_domain(const Config& config, const std::vector<Claim>& claims,
                                      const std::string& domain, const std::string& owner) {
  const auto quotas = quotas_of(config, domain, owner);
  auto uses = quota_use(config, claims);
  std::erase_if(uses, [&](const QuotaUse& use) {
    return std::find(quotas.begin(), quotas.end(), use.quota) == quotas.end();
  });
  return uses;
}

json quota_json(const std::vector<QuotaUse>& uses, bool is_known) {
  json list = json::array();
  for (const QuotaUse& use : uses) {
    json entry{{"pattern", to_string(use.quota->domains)},
               {"file", use.quota->position.file},
               {"line", use.quota->position.line},
               {"limit", nullptr},
               {"used", nullptr},
               {"max", nullptr},
               {"domains", use.domains}};
    if (is_known && use.unknown.empty()) entry["used"] = use.used;
    if (!use.limit.empty()) {
      entry["limit"] = use.limit;
      entry["max"] = use.max;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

static std::string unit_of(const QuotaUse& use) {
  return use.limit == "memory" ? " MiB" : "";
}

std::string used_text(const QuotaUse& use, bool is_known) {
  if (use.limit.empty()) return "no limit";
  const std::string max = std::to_string(use.max) + unit_of(use);
  if (!is_known) return use.limit + ": " + max + " at most, use unknown as a claim cannot be read";
  if (!use.unknown.empty())
    return use.limit + ": " + max + " at most, " + use.unknown + " (memory unknown)";
  return use.limit + ": " + std::to_string(use.used) + " of " + max + " used";
}

static std::string quota_table(const std::vector<QuotaUse>& uses, bool is_known) {
  std::vector<std::vector<std::string>> rows;
  rows.reserve(uses.size());
  for (const QuotaUse& use : uses)
    rows.push_back({to_string(use.quota->domains), use.limit,
                    is_known && use.unknown.empty() ? std::to_string(use.used) + unit_of(use) : "",
                    use.limit.empty() ? "" : std::to_string(use.max) + unit_of(use),
                    joined(use.domains)});
  return format_table({"PATTERN", "LIMIT", "USED", "MAX", "DOMAINS"}, rows);
}

std::vector<Claim> counted_claims(const Root& root, const Config& config,
                                  const ClaimedDevices& claimed) {
  return limits_memory(config) ? with_memory(root, claimed.claims) : claimed.claims;
}

/// As libvirt has it, running or shut off.
static Domain require_domain(const Settings& settings, const std::string& name) {
  const DomainStore store(settings.root, settings.connect);
  const auto found = store.find(name);
  if (!found) throw Error(domain_title(name), "not found", "run: virsh list --all");
  return parse_domain(found->active ? store.live_xml(found->uuid)
                                    : store.inactive_xml(found->uuid));
}

int quota_command(const Settings& settings, const std::string& name) {
  const Config config = require_config(settings.root);
  const ClaimedDevices claimed = claimed_devices(settings.root);
  const bool is_known = claimed.unreadable.empty();
  const auto claims = counted_claims(settings.root, config, claimed);
  std::vector<QuotaUse> uses;
  if (name.empty()) {
    uses = quota_use(config, claims);
  } else {
    const Domain domain = require_domain(settings, name);
    uses = quota_of_domain(config, claims, domain.name, domain.owner);
  }
  if (settings.json)
    print_json(settings.json, "quota", json{{"quotas", quota_json(uses, is_known)}});
  else if (uses.empty() && name.empty())
    print_lines("No [quota] section in /etc/gpuward/gpuward.conf.\n");
  else if (uses.empty())
    print_lines("No [quota] section matches " + domain_title(name) + ".\n");
  else
    print_lines(quota_table(uses, is_known));
  return report_unreadable(claimed);
}

// ---- before a domain's definition is changed

/// What prepare would claim for it, as far as a quota counts that.
static Claim claim_to_be(const Settings& settings, const Config& config, const Domain& domain) {
  Claim claim{domain.uuid, domain.name, {}};
  for (const GpuRequest& gpu : domain.requests) {
    ClaimedDevice device{.alias = gpu.alias,
                         .profile = profile_word(gpu),
                         .instance = instance_uuid(domain.uuid, gpu.alias),
                         .parent = {},
                         .type = {}};
    if (gpu.settled && !gpu.settled->type.empty())
      device.memory_mib = gpu.settled->granted.memory_mib;
    const Hostdev* const hostdev = find_hostdev(domain, gpu.alias);
    const auto profile = resolve(config, gpu).profile;
    if (hostdev && hostdev->address && profile) {
      device.use = profile->use;
      device.address = *hostdev->address;
    }
    claim.devices.push_back(std::move(device));
  }
  add_devices_by_hand(settings.root, config, domain, claim);
  return claim;
}

/// What is known of it before the start, which counts all of it.
static std::optional<MemoryCount> least_memory(const Root& root, const Config& config,
                                               const Claim& claim) {
  if (!limits_memory(config)) return {};
  const unsigned mib = count_memory(with_memory(root, {claim}).front()).mib;
  return mib > 0 ? std::optional(MemoryCount{mib}) : std::nullopt;
}

void require_permitted(const Settings& settings, const Config& config, const std::string& xml) {
  const Domain domain = parse_domain(xml);
  for (const GpuRequest& gpu : domain.requests)
    if (const auto profile = resolve(config, gpu).profile)
      if (const auto reason = access_refusal(*profile, domain.name, domain.owner))
        throw Error(about(domain_title(domain.name), *reason));
  const ClaimedDevices claimed = claimed_devices(settings.root);
  const Claim claim = claim_to_be(settings, config, domain);
  const auto refusal = quota_refusal(config,
                                     {domain.uuid, domain.name, domain.owner, count_gpus(claim),
                                      least_memory(settings.root, config, claim)},
                                     counted_claims(settings.root, config, claimed));
  if (!refusal) return;
  if (!refusal->passes) throw Error(refusal->reason);
  log::warning(domain_title(domain.name) +
               ": no start is possible now: " + to_string(refusal->reason));
}

}  // namespace gpuward
