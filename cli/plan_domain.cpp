// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "allocation/gpu_choice.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "cli/attach_requests.hpp"
#include "cli/commands.hpp"
#include "cli/domain_edits.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "domain/domain.hpp"
#include "libvirt/client.hpp"
#include "lifecycle/mdev_choices.hpp"

namespace gpuward {

using nlohmann::json;

static const char* word_of(ConsideredDevice::Result result) {
  switch (result) {
    case ConsideredDevice::Result::chosen:
      return "chosen";
    case ConsideredDevice::Result::available:
      return "available";
    case ConsideredDevice::Result::unavailable:
      break;
  }
  return "unavailable";
}

static std::string table_of(const std::vector<GpuChoice>& gpus) {
  std::vector<std::vector<std::string>> rows;
  for (const GpuChoice& gpu : gpus) {
    if (gpu.devices.empty()) rows.push_back({gpu.alias, gpu.title, "", "", "", "no device"});
    for (const ConsideredDevice& device : gpu.devices)
      rows.push_back(
          {gpu.alias, gpu.title, device.device, device.type, word_of(device.result), device.why});
  }
  return format_table({"GPU", "REQUEST", "DEVICE", "TYPE", "RESULT", "REASON"}, rows);
}

// ---- what reassign would have serve a request instead

/// A request of which the domain keeps what served it when it was attached.
struct SettledAnew {
  std::string alias;
  std::optional<SettledRequest> has;  ///< nothing of a profile that has come to request memory
  SettledRequest would_get;
};

static std::vector<SettledAnew> settled_anew(const Domain& kept, const Domain& now) {
  std::vector<SettledAnew> changed;
  for (const GpuRequest& gpu : now.requests)
    for (const GpuRequest& before : kept.requests)
      if (gpu.alias == before.alias && gpu.settled && gpu.settled != before.settled)
        changed.push_back({gpu.alias, before.settled, *gpu.settled});
  return changed;
}

/// "vendor-vf 1153", "whole"
static std::string settled_text(const SettledRequest& settled) {
  const std::string& what = settled.type.empty() ? settled.device : settled.type;
  return std::string(use_word(settled.use)) + (what.empty() ? "" : " " + what);
}

static std::string text_of(const std::vector<SettledAnew>& changed, const std::string& domain) {
  std::string text;
  for (const SettledAnew& gpu : changed)
    text += gpu_title(gpu.alias) + " has " + (gpu.has ? settled_text(*gpu.has) : "no type yet") +
            " and would get " + settled_text(gpu.would_get) + " as shown; run: gpuward reassign " +
            shell_word(domain) + '\n';
  return text;
}

static json json_of(const std::vector<SettledAnew>& changed, const std::string& alias) {
  for (const SettledAnew& gpu : changed)
    if (gpu.alias == alias)
      return {{"has", gpu.has ? json(settled_text(*gpu.has)) : json(nullptr)},
              {"would_get", settled_text(gpu.would_get)}};
  return nullptr;
}

static json json_of(const std::vector<GpuChoice>& gpus, const std::vector<SettledAnew>& changed) {
  json list = json::array();
  for (const GpuChoice& gpu : gpus) {
    json devices = json::array();
    for (const ConsideredDevice& device : gpu.devices)
      devices.push_back({{"device", device.device},
                         {"type", device.type.empty() ? json(nullptr) : json(device.type)},
                         {"result", word_of(device.result)},
                         {"reason", device.why.empty() ? json(nullptr) : json(device.why)}});
    list.push_back({{"alias", gpu.alias},
                    {"request", gpu.title},
                    {"reassign", json_of(changed, gpu.alias)},
                    {"devices", std::move(devices)}});
  }
  return list;
}

static std::vector<GpuChoice> choices_of(const Settings& settings, const Config& config,
                                         const DomainStore& store, const Domain& domain,
                                         const std::shared_ptr<AskedCards>& asked) {
  const PoolDomain of_pools = pool_domain(config, domain);
  std::vector<GpuChoice> gpus;
  if (!of_pools.gpus.empty()) {
    DevicePools pools = pools_of(settings.root, config, {of_pools}, asked);
    const DevicesByHand by_hand = devices_by_hand(settings.root, {of_pools});
    const DeviceUse use = device_use(settings, config, store, domain.uuid);
    add_nvlinks(settings.root, {of_pools}, pools, by_hand, use, *asked);
    gpus = device_choices(of_pools, pools, by_hand, use);
  }
  for (GpuChoice& gpu : mdev_choices(settings.root, config, domain)) gpus.push_back(std::move(gpu));
  return gpus;
}

static bool have_all(const std::vector<GpuChoice>& gpus) {
  return std::all_of(gpus.begin(), gpus.end(),
                     [](const GpuChoice& gpu) { return gpu.has_device(); });
}

/// As the domain has them where they cannot be settled again, as of a name that has become
/// ambiguous.
static std::string settled_xml(const Settings& settings, const Config& config,
                               const std::string& xml,
                               const std::shared_ptr<AskedCards>& asked) try {
  return with_requests_settled(settings, config, xml, asked);
} catch (const Error& error) {
  log::warning(error.what());
  return xml;
}

/// With what the domain keeps: what prepare goes by until it is reassigned.
static bool could_start(const Settings& settings, const Config& config, const DomainStore& store,
                        const Domain& kept, const std::shared_ptr<AskedCards>& asked) try {
  return have_all(choices_of(settings, config, store, kept, asked));
} catch (const Error&) {
  return false;
}

int plan_domain_command(const Settings& settings, const std::string& name) {
  const Config config = require_config(settings.root);
  const DomainStore store(settings.root, settings.connect);
  const DomainStore::Found found = require_off(store, name);
  const std::string xml = store.inactive_xml(found.uuid);
  const Domain kept = parse_domain(xml);
  const auto asked = std::make_shared<AskedCards>();
  const Domain domain = parse_domain(settled_xml(settings, config, xml, asked));
  const auto changed = settled_anew(kept, domain);
  const auto gpus = choices_of(settings, config, store, domain, asked);
  if (settings.json)
    print_json(settings.json, "plan",
               json{{"domain", {{"name", found.name}, {"uuid", to_string(found.uuid)}}},
                    {"gpus", json_of(gpus, changed)}});
  else
    print_lines((gpus.empty() ? found.name + ": requests no GPU\n" : table_of(gpus)) +
                text_of(changed, found.name));
  const bool starts =
      changed.empty() ? have_all(gpus) : could_start(settings, config, store, kept, asked);
  return starts ? 0 : 1;
}

}  // namespace gpuward
