// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "allocation/gpu_choice.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
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

static json json_of(const std::vector<GpuChoice>& gpus) {
  json list = json::array();
  for (const GpuChoice& gpu : gpus) {
    json devices = json::array();
    for (const ConsideredDevice& device : gpu.devices)
      devices.push_back({{"device", device.device},
                         {"type", device.type.empty() ? json(nullptr) : json(device.type)},
                         {"result", word_of(device.result)},
                         {"reason", device.why.empty() ? json(nullptr) : json(device.why)}});
    list.push_back({{"alias", gpu.alias}, {"request", gpu.title}, {"devices", std::move(devices)}});
  }
  return list;
}

static std::vector<GpuChoice> choices_of(const Settings& settings, const Config& config,
                                         const DomainStore& store, const Domain& domain) {
  const PoolDomain of_pools = pool_domain(config, domain);
  std::vector<GpuChoice> gpus;
  if (!of_pools.gpus.empty())
    gpus = device_choices(of_pools, pools_of(settings.root, config, {of_pools}),
                          devices_by_hand(settings.root, {of_pools}),
                          device_use(settings, config, store, domain.uuid));
  for (GpuChoice& gpu : mdev_choices(settings.root, config, domain)) gpus.push_back(std::move(gpu));
  return gpus;
}

int plan_domain_command(const Settings& settings, const std::string& name) {
  const Config config = require_config(settings.root);
  const DomainStore store(settings.root, settings.connect);
  const DomainStore::Found found = require_off(store, name);
  const Domain domain = parse_domain(store.inactive_xml(found.uuid));
  const auto gpus = choices_of(settings, config, store, domain);
  if (settings.json)
    print_json(settings.json, "plan",
               json{{"domain", {{"name", found.name}, {"uuid", to_string(found.uuid)}}},
                    {"gpus", json_of(gpus)}});
  else
    print_lines(gpus.empty() ? found.name + ": requests no GPU\n" : table_of(gpus));
  const bool have_all =
      std::all_of(gpus.begin(), gpus.end(), [](const GpuChoice& gpu) { return gpu.has_device(); });
  return have_all ? 0 : 1;
}

}  // namespace gpuward
