// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdio>
#include <map>

#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/hardware_names.hpp"
#include "cli/host_view.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "mdev/gpu_settings.hpp"

namespace gpuward {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

// The objects printed here are described in docs/json.md; a key once there keeps its meaning.

static std::string hex_id(const Parent& gpu) {
  char text[16];
  std::snprintf(text, sizeof text, "%04x:%04x", gpu.vendor, gpu.device);
  return text;
}

static std::string model_of(const GpuView& gpu) {
  if (!gpu.parent.address) return "";
  const std::string name = hardware_name(gpu.parent.vendor, gpu.parent.device);
  return name.empty() ? hex_id(gpu.parent) : name;
}

static std::string numa_text(const Parent& gpu) {
  return gpu.numa_node ? std::to_string(*gpu.numa_node) : "";
}

static int list_gpus(const Settings& settings) {
  std::map<std::string, unsigned> instances;
  for (const InstanceView& view : view_instances(settings.root)) ++instances[view.instance.parent];
  Rows rows;
  json gpus = json::array();
  for (const GpuView& gpu : view_gpus(settings.root)) {
    const std::string& name = gpu.parent.name;
    const auto types = list_types(settings.root, name).size();
    rows.push_back({name, model_of(gpu), gpu.driver, numa_text(gpu.parent),
                    gpu.serves_mdevs ? "mdev" : "", std::to_string(types),
                    std::to_string(instances[name])});
    json entry{{"name", name},           {"model", model_of(gpu)}, {"driver", gpu.driver},
               {"kinds", json::array()}, {"types", types},         {"instances", instances[name]},
               {"numa_node", nullptr},   {"pci_id", nullptr}};
    if (gpu.serves_mdevs) entry["kinds"].push_back("mdev");
    if (gpu.parent.numa_node) entry["numa_node"] = *gpu.parent.numa_node;
    if (gpu.parent.address) entry["pci_id"] = hex_id(gpu.parent);
    gpus.push_back(std::move(entry));
  }
  if (settings.json)
    print_json(json{{"schema", 1}, {"gpus", gpus}});
  else if (rows.empty())
    print_text("No GPU on this host.\n");
  else
    print_text(
        format_table({"GPU", "MODEL", "DRIVER", "NUMA", "KINDS", "TYPES", "INSTANCES"}, rows));
  return 0;
}

static int list_types_of_all(const Settings& settings) {
  Rows rows;
  json types = json::array();
  for (const std::string& gpu : parent_names(settings.root))
    for (const MdevType& type : list_types(settings.root, gpu)) {
      const std::string free = type.available ? std::to_string(*type.available) : "";
      rows.push_back({gpu, type.id, free, type.name, type.description});
      json entry{{"gpu", gpu},
                 {"type", type.id},
                 {"available", nullptr},
                 {"name", type.name},
                 {"device_api", type.device_api},
                 {"description", type.description}};
      if (type.available) entry["available"] = *type.available;
      types.push_back(std::move(entry));
    }
  if (settings.json)
    print_json(json{{"schema", 1}, {"types", types}});
  else if (rows.empty())
    print_text("No GPU on this host offers types of mediated devices.\n");
  else
    print_text(format_table({"GPU", "TYPE", "FREE", "NAME", "DESCRIPTION"}, rows));
  return 0;
}

static json instance_json(const InstanceView& view) {
  json entry{{"uuid", to_string(view.instance.uuid)},
             {"type", view.instance.type},
             {"gpu", view.instance.parent},
             {"state", view.state},
             {"domain", nullptr},
             {"alias", nullptr},
             {"profile", nullptr}};
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
  for (const InstanceView& view : view_instances(settings.root)) {
    if (settings.json)
      instances.push_back(instance_json(view));
    else
      rows.push_back({to_string(view.instance.uuid), view.instance.type, view.instance.parent,
                      view.state, view.domain});
  }
  if (settings.json)
    print_json(json{{"schema", 1}, {"instances", instances}});
  else if (rows.empty())
    print_text("No instances. 'gpuward list gpus' shows what this host has.\n");
  else
    print_text(format_table({"INSTANCE", "TYPE", "GPU", "STATE", "DOMAIN"}, rows));
  return 0;
}

static int list_domains(const Settings& settings) {
  Rows rows;
  json domains = json::array();
  std::vector<Claims::Broken> broken;
  for (const Claim& claim : Claims(settings.root).all(&broken)) {
    json gpus = json::array();
    for (const ClaimedDevice& device : claim.devices) {
      rows.push_back({claim.name, device.alias, device.profile, device.type, device.parent,
                      to_string(device.instance)});
      gpus.push_back({{"alias", device.alias},
                      {"profile", device.profile},
                      {"type", device.type},
                      {"gpu", device.parent},
                      {"instance", to_string(device.instance)}});
    }
    domains.push_back({{"name", claim.name}, {"uuid", to_string(claim.domain)}, {"gpus", gpus}});
  }
  if (settings.json)
    print_json(json{{"schema", 1}, {"domains", domains}});
  else if (rows.empty())
    print_text("No domain holds a GPU.\n");
  else
    print_text(format_table({"DOMAIN", "ALIAS", "PROFILE", "TYPE", "GPU", "INSTANCE"}, rows));
  for (const auto& file : broken) std::fprintf(stderr, "gpuward: %s\n", file.reason.c_str());
  return broken.empty() ? 0 : 1;
}

static int list_profiles(const Settings& settings) {
  const Config config = require_config(settings.root);
  Rows rows;
  json profiles = json::array();
  for (const Profile& profile : config.profiles) {
    std::string types;
    unsigned free = 0;
    for (const std::string& type : profile.types) types += (types.empty() ? "" : ", ") + type;
    for (const std::string& name : parent_names(settings.root))
      if (const auto gpu = find_parent(settings.root, name); gpu && serves(config, profile, *gpu))
        for (const std::string& type : profile.types)
          free += available_instances(settings.root, name, type).value_or(0);
    rows.push_back({profile.name, types, std::to_string(free)});
    profiles.push_back({{"name", profile.name}, {"types", profile.types}, {"available", free}});
  }
  if (settings.json)
    print_json(json{{"schema", 1}, {"profiles", profiles}});
  else if (rows.empty())
    print_text("No profile in /etc/gpuward/gpuward.conf yet.\n");
  else
    print_text(format_table({"PROFILE", "TYPES", "FREE"}, rows));
  return 0;
}

int list_command(const Settings& settings, const std::string& what) {
  static const std::map<std::string, int (*)(const Settings&)> lists{
      {"gpus", list_gpus},       {"types", list_types_of_all}, {"instances", list_instances_of_all},
      {"domains", list_domains}, {"profiles", list_profiles},
  };
  return lists.at(what)(settings);
}

}  // namespace gpuward
