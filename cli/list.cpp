// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdio>
#include <map>
#include <set>

#include "base/error.hpp"
#include "base/joined.hpp"
#include "cli/commands.hpp"
#include "cli/gpu_json.hpp"
#include "cli/gpu_model.hpp"
#include "cli/memory_text.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "config/config_parser.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/gpu_types.hpp"
#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "kinds/kind.hpp"
#include "kinds/mig_instances.hpp"
#include "kinds/type_names.hpp"
#include "kinds/types.hpp"
#include "state/claim_store.hpp"
#include "state/start_permit.hpp"

namespace gpuward {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

// The objects printed here are described in docs/json.md; a key once there keeps its meaning.

static std::string numa_text(const Parent& gpu) {
  return gpu.numa_node ? std::to_string(*gpu.numa_node) : "";
}

static std::string kinds_text(const Gpu& gpu) {
  return joined(kinds_of(gpu), ",", use_word);
}

/// Used, there, possible.
static std::string vfs_text(const Gpu& gpu, const GpuUse& use) {
  if (gpu.most_vfs == 0) return {};
  return std::to_string(use.vfs.size()) + '/' + std::to_string(gpu.vfs.size()) + '/' +
         std::to_string(gpu.most_vfs);
}

/// The first two, and how many more.
static std::string domains_text(const std::set<std::string>& domains) {
  std::string text;
  size_t named = 0;
  for (const std::string& domain : domains) {
    if (named == 2) return text + " +" + std::to_string(domains.size() - named);
    text += (named++ ? ", " : "") + domain;
  }
  return text;
}

int report_unreadable(const ClaimedDevices& claimed) {
  for (const UnreadableClaim& claim : claimed.unreadable) print_failure(unreadable_reason(claim));
  return claimed.unreadable.empty() ? 0 : 1;
}

static void print_gpus_json(const Settings& settings, const Config& config, const Host& host,
                            std::map<std::string, GpuUse>& uses) {
  const OpenDevices open(settings.root, Uninspected::ignore);
  HardwareNames names;
  json entries = json::array();
  for (const Gpu& gpu : host.gpus) {
    const GpuUse& use = uses[gpu.parent.name];
    const auto types = catalogue_of(settings.root, gpu);
    json entry = gpu_json(settings.root, gpu, use, open);
    entry["model"] = model_name(names, gpu, host.gpus).full;
    if (const auto configured = settings_of(config, gpu.parent).use)
      entry["use"] = use_word(*configured);
    entry["types"] = gpu.serves_mdevs() ? types.size() : 0;
    entry["memory"] = memory_json(memory_of(settings.root, gpu, types, use, host.instances));
    if (const auto mig = read_mig_instances(settings.root, host, gpu))
      entry["gpu_instances"] = mig_instances_json(*mig);
    entries.push_back(std::move(entry));
  }
  print_json(settings.json, "list", json{{"gpus", std::move(entries)}});
}

static int list_gpus(const Settings& settings) {
  // An error in the configuration is no reason not to print what exists.
  const Config config = load_config(config_files(settings.root)).config;
  const Host host = read_host(settings.root, config);
  auto uses = use_of_gpus(settings.root, host.gpus, host.instances);
  if (settings.json) {
    print_gpus_json(settings, config, host, uses);
    return report_unreadable(host.claimed);
  }
  HardwareNames names;
  Rows rows;
  for (const Gpu& gpu : host.gpus) {
    const GpuUse& use = uses[gpu.parent.name];
    const GpuMemory memory =
        memory_of(settings.root, gpu, catalogue_of(settings.root, gpu), use, host.instances);
    rows.push_back({gpu.parent.name, model_name(names, gpu, host.gpus).brief, gpu.driver,
                    kinds_text(gpu), numa_text(gpu.parent),
                    gpu.iommu_group ? std::to_string(*gpu.iommu_group) : "", vfs_text(gpu, use),
                    memory_text(memory), domains_text(use.domains)});
  }
  if (rows.empty())
    print_lines("No GPU on this host.\n");
  else
    print_lines(format_table(
        {"GPU", "MODEL", "DRIVER", "KINDS", "NUMA", "GROUP", "VFS", "MEMORY", "USED BY"}, rows));
  return report_unreadable(host.claimed);
}

/// Of a PCI device without a type its use says what it is.
static std::string type_text(const GpuInstance& view) {
  return view.instance.type.empty() && is_pci(view.use) ? std::string(use_word(view.use))
                                                        : view.instance.type;
}

static json instance_json(const GpuInstance& view, const std::string& type_name) {
  json entry{{"uuid", nullptr},
             {"address", nullptr},
             {"use", use_word(view.use)},
             {"type", view.instance.type},
             {"type_name", type_name.empty() ? json(nullptr) : json(type_name)},
             {"gpu", view.instance.parent},
             {"state", view.state},
             {"domain", nullptr},
             {"alias", nullptr},
             {"profile", nullptr}};
  entry[is_mediated(view.use) ? "uuid" : "address"] = view.name;
  if (view.device) {
    entry["domain"] = {{"name", view.domain}, {"uuid", to_string(*view.domain_uuid)}};
    entry["alias"] = view.device->alias;
    entry["profile"] = view.device->profile;
  }
  return entry;
}

static int list_instances_of_all(const Settings& settings) {
  Rows rows;
  json instances = json::array();
  const ClaimedDevices claimed = claimed_devices(settings.root);
  TypeNames names(settings.root);
  for (const GpuInstance& view : read_instances(settings.root, claimed)) {
    const std::string name = names.of(view);
    if (settings.json)
      instances.push_back(instance_json(view, name));
    else
      rows.push_back(
          {view.name, type_text(view), view.instance.parent, view.state, view.domain, name});
  }
  if (settings.json)
    print_json(settings.json, "list", json{{"instances", std::move(instances)}});
  else if (rows.empty())
    print_lines("No instances. 'gpuward list gpus' shows what this host has.\n");
  else
    print_lines(format_table({"INSTANCE", "TYPE", "GPU", "STATE", "DOMAIN", "NAME"}, rows));
  return report_unreadable(claimed);
}

static json started_anyway_json(const std::vector<StartPermit>& permits) {
  json list = json::array();
  for (const StartPermit& permit : permits)
    list.push_back({{"name", permit.name},
                    {"uuid", to_string(permit.domain)},
                    {"time", permit.time},
                    {"reason", permit.reason},
                    {"refused", permit.refusals}});
  return list;
}

/// As `list instances` names it.
static const char* state_word(const ClaimedDevice& device) {
  return device.state == ClaimedDevice::State::quarantined ? "quarantined" : "in-use";
}

static int list_domains(const Settings& settings) {
  Rows rows;
  json domains = json::array();
  std::vector<std::string> unreadable;
  const auto permits = all_started_anyway(settings.root, unreadable);
  const ClaimedDevices claimed = claimed_devices(settings.root);
  for (const Claim& claim : claimed.with_quarantined()) {
    json gpus = json::array();
    for (const ClaimedDevice& device : claim.devices) {
      rows.push_back({claim.name, device.alias, device.profile, device.type, device.parent,
                      device_name(device), state_word(device), claim.owner});
      gpus.push_back({{"alias", device.alias},
                      {"profile", device.profile},
                      {"type", device.type},
                      {"gpu", device.parent},
                      {"use", use_word(device.use)},
                      {"instance", device_name(device)},
                      {"state", state_word(device)}});
    }
    domains.push_back({{"name", claim.name},
                       {"uuid", to_string(claim.domain)},
                       {"owner", claim.owner.empty() ? json(nullptr) : json(claim.owner)},
                       {"gpus", gpus}});
  }
  if (settings.json)
    print_json(
        settings.json, "list",
        json{{"domains", std::move(domains)}, {"started_anyway", started_anyway_json(permits)}});
  else if (rows.empty())
    print_lines("No domain uses a GPU.\n");
  else
    print_lines(format_table(
        {"DOMAIN", "ALIAS", "PROFILE", "TYPE", "GPU", "INSTANCE", "STATE", "OWNER"}, rows));
  if (!settings.json)
    for (const StartPermit& permit : permits)
      print_lines(permit.name + ": started anyway (" + to_string(permit) + ")\n");
  for (const std::string& line : unreadable) print_failure({{}, line, "run: gpuward reconcile"});
  const int status = report_unreadable(claimed);
  return unreadable.empty() ? status : 1;
}

int list_command(const Settings& settings, const std::string& what) {
  static const std::map<std::string, int (*)(const Settings&)> lists{
      {"gpus", list_gpus},
      {"types", list_types_command},
      {"instances", list_instances_of_all},
      {"domains", list_domains},
      {"profiles", list_profiles_command},
  };
  return lists.at(what)(settings);
}

}  // namespace gpuward
