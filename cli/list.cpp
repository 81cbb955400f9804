// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdio>
#include <map>
#include <set>

#include "allocation/choose_device.hpp"
#include "allocation/pool.hpp"
#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/gpu_json.hpp"
#include "cli/gpu_model.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "config/config_parser.hpp"
#include "inventory/usage.hpp"
#include "mdev/gpu_settings.hpp"
#include "mdev/parent.hpp"
#include "pci/iommu_group.hpp"
#include "pci/vendor_vgpu.hpp"
#include "state/claim_store.hpp"
#include "state/start_permit.hpp"

namespace gpuward {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

// The objects printed here are described in docs/json.md; a key once there keeps its meaning.

static std::string numa_text(const Parent& gpu) {
  return gpu.numa_node ? std::to_string(*gpu.numa_node) : "";
}

static std::string kinds_text(const GpuView& gpu) {
  std::string text;
  for (const Use kind : kinds_of(gpu)) {
    if (!text.empty()) text += ',';
    text += use_word(kind);
  }
  return text;
}

/// Used, there, possible.
static std::string vfs_text(const GpuView& gpu, const GpuUse& use) {
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

/// What is known of the GPUs of a host and of who has them.
struct Gpus {
  std::vector<GpuView> views;
  std::map<std::string, GpuUse> uses;
  HardwareNames names;
};

int report_unreadable(const ClaimedDevices& claimed) {
  for (const UnreadableClaim& claim : claimed.unreadable) print_failure(unreadable_reason(claim));
  return claimed.unreadable.empty() ? 0 : 1;
}

static void print_gpus_json(const Settings& settings, const Config& config, Gpus& gpus) {
  const OpenDevices open(settings.root, Uninspected::ignore);
  json entries = json::array();
  for (const GpuView& gpu : gpus.views) {
    json entry = gpu_json(settings.root, gpu, gpus.uses[gpu.parent.name], open);
    entry["model"] = model_name(gpus.names, gpu, gpus.views).full;
    if (const auto use = settings_of(config, gpu.parent).use) entry["use"] = use_word(*use);
    entries.push_back(std::move(entry));
  }
  print_json(settings.json, "list", json{{"gpus", std::move(entries)}});
}

static int list_gpus(const Settings& settings) {
  // A mistake in the configuration is no reason not to tell what there is.
  const Config config = load_config(config_files(settings.root)).config;
  Gpus gpus{view_gpus(settings.root, config), {}, {}};
  const ClaimedDevices claimed = claimed_devices(settings.root);
  gpus.uses = view_use(settings.root, gpus.views, view_instances(settings.root, claimed));
  if (settings.json) {
    print_gpus_json(settings, config, gpus);
    return report_unreadable(claimed);
  }
  Rows rows;
  for (const GpuView& gpu : gpus.views) {
    const GpuUse& use = gpus.uses[gpu.parent.name];
    rows.push_back({gpu.parent.name, model_name(gpus.names, gpu, gpus.views).brief, gpu.driver,
                    kinds_text(gpu), numa_text(gpu.parent),
                    gpu.iommu_group ? std::to_string(*gpu.iommu_group) : "", vfs_text(gpu, use),
                    domains_text(use.domains)});
  }
  if (rows.empty())
    print_lines("No GPU on this host.\n");
  else
    print_lines(
        format_table({"GPU", "MODEL", "DRIVER", "KINDS", "NUMA", "GROUP", "VFS", "USED BY"}, rows));
  return report_unreadable(claimed);
}

/// What can be created on the VFs of NVIDIA's vendor VFIO framework now. How many together the
/// driver does not report.
static std::map<unsigned, std::string> vgpu_types_of(const Root& root, const GpuView& gpu) {
  std::map<unsigned, std::string> types;
  for (const PciAddress& vf : gpu.vfs)
    for (const VgpuType& type : creatable_vgpus(root, vf)) types.emplace(type.id, type.name);
  return types;
}

/// Types are offered by VFs. Of a card that has enabled none it is unknown whether its driver
/// offers any, unless it is configured for another use.
static bool may_have_types(const Config& config, const GpuView& gpu) {
  const auto use = settings_of(config, gpu.parent).use;
  return gpu.most_vfs > 0 && gpu.vfs.empty() && !gpu.serves_mdevs() &&
         (!use || use == Use::vendor_vf || use == Use::mdev);
}

static std::string without_vfs_text(const Config& config, const std::vector<GpuView>& gpus) {
  std::string text;
  for (const GpuView& gpu : gpus)
    if (may_have_types(config, gpu))
      text +=
          "GPU " + gpu.parent.name +
          " has no VF enabled, so whether vGPU types exist is unknown; set use = vendor-vf and "
          "vfs in its [gpu] section, then run: gpuward apply (for mdevs enable the VFs with the "
          "vendor's tool)\n";
  return text;
}

static void add_vgpu_types(const Settings& settings, const std::vector<GpuView>& gpus, Rows& rows,
                           json& types) {
  for (const GpuView& gpu : gpus) {
    if (!gpu.offers_vgpus) continue;
    for (const auto& [id, name] : vgpu_types_of(settings.root, gpu)) {
      rows.push_back({gpu.parent.name, std::to_string(id), "", name, ""});
      types.push_back({{"gpu", gpu.parent.name},
                       {"type", std::to_string(id)},
                       {"available", nullptr},
                       {"name", name},
                       {"device_api", "vfio-pci"},
                       {"description", ""}});
    }
  }
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
  const Config config = load_config(config_files(settings.root)).config;
  const auto gpus = view_gpus(settings.root, config);
  add_vgpu_types(settings, gpus, rows, types);
  if (settings.json) {
    print_json(settings.json, "list", json{{"types", std::move(types)}});
    return 0;
  }
  const std::string unknown = without_vfs_text(config, gpus);
  if (!rows.empty())
    print_lines(format_table({"GPU", "TYPE", "AVAILABLE", "NAME", "DESCRIPTION"}, rows));
  else if (unknown.empty())
    print_lines("No GPU on this host supports mediated devices or vGPUs.\n");
  print_lines(unknown);
  return 0;
}

/// Of a PCI device without a type its use says what it is.
static std::string type_text(const InstanceView& view) {
  return view.instance.type.empty() && view.use != Use::mdev ? std::string(use_word(view.use))
                                                             : view.instance.type;
}

static json instance_json(const InstanceView& view) {
  json entry{{"uuid", nullptr},
             {"address", nullptr},
             {"use", use_word(view.use)},
             {"type", view.instance.type},
             {"gpu", view.instance.parent},
             {"state", view.state},
             {"domain", nullptr},
             {"alias", nullptr},
             {"profile", nullptr}};
  entry[view.use == Use::mdev ? "uuid" : "address"] = view.name;
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
  for (const InstanceView& view : view_instances(settings.root, claimed)) {
    if (settings.json)
      instances.push_back(instance_json(view));
    else
      rows.push_back({view.name, type_text(view), view.instance.parent, view.state, view.domain});
  }
  if (settings.json)
    print_json(settings.json, "list", json{{"instances", std::move(instances)}});
  else if (rows.empty())
    print_lines("No instances. 'gpuward list gpus' shows what this host has.\n");
  else
    print_lines(format_table({"INSTANCE", "TYPE", "GPU", "STATE", "DOMAIN"}, rows));
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
                      device_name(device), state_word(device)});
      gpus.push_back({{"alias", device.alias},
                      {"profile", device.profile},
                      {"type", device.type},
                      {"gpu", device.parent},
                      {"use", use_word(device.use)},
                      {"instance", device_name(device)},
                      {"state", state_word(device)}});
    }
    domains.push_back({{"name", claim.name}, {"uuid", to_string(claim.domain)}, {"gpus", gpus}});
  }
  if (settings.json)
    print_json(
        settings.json, "list",
        json{{"domains", std::move(domains)}, {"started_anyway", started_anyway_json(permits)}});
  else if (rows.empty())
    print_lines("No domain uses a GPU.\n");
  else
    print_lines(
        format_table({"DOMAIN", "ALIAS", "PROFILE", "TYPE", "GPU", "INSTANCE", "STATE"}, rows));
  if (!settings.json)
    for (const StartPermit& permit : permits)
      print_lines(permit.name + ": started anyway (" + to_string(permit) + ")\n");
  for (const std::string& line : unreadable) print_failure({{}, line, "run: gpuward reconcile"});
  const int status = report_unreadable(claimed);
  return unreadable.empty() ? status : 1;
}

/// How many more domains could get one.
static unsigned free_of(const Root& root, const Config& config, const Profile& profile,
                        const DevicesInUse& taken) {
  unsigned free = 0;
  if (gives_pci_devices(profile)) {
    std::set<unsigned> groups;  // each goes to one domain
    for (const PoolDevice& device : pool_of(root, config, profile)) {
      if (find_user(device, taken) || has_others_vgpu(device) || !is_viable(device, {}) ||
          device.is_full)
        continue;
      const auto group = iommu_group_of(root, device.address);
      free += !group || groups.insert(group->number).second ? 1 : 0;
    }
    return free;
  }
  std::map<std::string, std::vector<std::string>> cards;  // with their parents that serve it
  for (const std::string& name : parent_names(root))
    if (const auto gpu = find_parent(root, name);
        gpu && serves(config, profile, *gpu) && !user_of_parent(taken, *gpu))
      cards[gpu->physical_function ? to_string(*gpu->physical_function) : name].push_back(name);
  for (const auto& [card, parents] : cards) free += creatable_on_card(root, parents, profile.types);
  return free;
}

static int list_profiles(const Settings& settings) {
  const Config config = require_config(settings.root);
  // With a claim that cannot be read no domain is assigned a GPU.
  const ClaimedDevices claimed = claimed_devices(settings.root);
  const bool is_known = claimed.unreadable.empty();
  const auto taken = taken_devices(settings.root, Uuid{});
  Rows rows;
  json profiles = json::array();
  for (const Profile& profile : config.profiles) {
    const unsigned free = is_known ? free_of(settings.root, config, profile, taken) : 0;
    const std::string use(use_word(profile.use));
    std::string types;
    for (const std::string& type : profile.types) types += (types.empty() ? "" : ", ") + type;
    rows.push_back({profile.name, use, types, std::to_string(free)});
    profiles.push_back({{"name", profile.name},
                        {"use", use},
                        {"types", profile.types},
                        {"available", is_known ? json(free) : json(nullptr)}});
  }
  if (settings.json)
    print_json(settings.json, "list", json{{"profiles", std::move(profiles)}});
  else if (rows.empty())
    print_lines("No profile in /etc/gpuward/gpuward.conf yet.\n");
  else
    print_lines(format_table({"PROFILE", "USE", "TYPES", "AVAILABLE"}, rows));
  return report_unreadable(claimed);
}

int list_command(const Settings& settings, const std::string& what) {
  static const std::map<std::string, int (*)(const Settings&)> lists{
      {"gpus", list_gpus},       {"types", list_types_of_all}, {"instances", list_instances_of_all},
      {"domains", list_domains}, {"profiles", list_profiles},
  };
  return lists.at(what)(settings);
}

}  // namespace gpuward
