// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <map>

#include "allocation/capacity.hpp"
#include "cli/commands.hpp"
#include "cli/memory_text.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "config/config_parser.hpp"
#include "config/gpu_settings.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/mig_room.hpp"
#include "kinds/types.hpp"

namespace gpuward {

using nlohmann::json;

template <typename T>
static json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

/// A GPU with its types and what fits on it.
struct TypesOfGpu {
  std::string gpu;
  std::vector<GpuType> types;
  CardRoom room;
  std::string unknown{};  ///< why its types are not known
};

static TypesOfGpu read_types(const Root& root, const Config& config, const Gpu& gpu,
                             const GpuUse& use, const std::vector<GpuInstance>& instances) {
  TypesOfGpu read{gpu.parent.name, {}, {}};
  Gpu asked = gpu;
  asked.asks_programs = gpu.asks_programs || !settings_of(config, gpu.parent).use;
  read.types = types_of(root, config, asked, nullptr, &read.unknown);
  // Without a section or a profile for MIG its mode only says which types are shown.
  if (!read.unknown.empty() && !gpu.asks_programs) {
    read.unknown.clear();
    read.types = types_of(root, config, gpu);
  }
  read.room = card_room(gpu, read.types, present_types(use, instances));
  return read;
}

/// A driver that does not report how many is not one that has none.
static std::optional<unsigned> available(const TypesOfGpu& gpu, const GpuType& type) {
  const bool is_reported = std::any_of(type.on.begin(), type.on.end(), [](const GpuType::On& on) {
    return on.available.has_value();
  });
  return is_reported ? std::optional(room_for(gpu.room, type.id)) : std::nullopt;
}

static json type_json(const std::string& gpu, const GpuType& type,
                      const std::optional<unsigned>& available) {
  return {{"gpu", gpu},
          {"type", type.id},
          {"available", or_null(available)},
          {"name", type.name},
          {"device_api", type.device_api},
          {"description", type.description}};
}

static json types_json(const std::vector<TypesOfGpu>& gpus) {
  json types = json::array();
  for (const TypesOfGpu& gpu : gpus)
    for (const GpuType& type : gpu.types) {
      types.push_back(type_json(gpu.gpu, type, available(gpu, type)));
      types.back()["use"] = use_word(type.use);
      types.back()["memory"] = or_null(type.memory_mib);
      types.back()["max"] = or_null(type.most);
    }
  return types;
}

static json unknown_json(const std::vector<TypesOfGpu>& gpus) {
  json unknown = json::array();
  for (const TypesOfGpu& gpu : gpus)
    if (!gpu.unknown.empty()) unknown.push_back({{"gpu", gpu.gpu}, {"reason", gpu.unknown}});
  return unknown;
}

/// As 0.1.0 did: one for each mdev parent, VFs included, with available_instances as the kernel
/// reports it; of the vendor VFIO framework without a number.
static json types_json_of_schema_1(const std::vector<TypesOfGpu>& gpus) {
  std::map<std::pair<std::string, std::string>, json> by_parent;
  json types = json::array(), vgpus = json::array();
  for (const TypesOfGpu& gpu : gpus)
    for (const GpuType& type : gpu.types) {
      if (is_typed_vf(type.use)) vgpus.push_back(type_json(gpu.gpu, type, {}));
      if (is_mediated(type.use))
        for (const GpuType::On& on : type.on)
          by_parent[{on.parent, type.id}] = type_json(on.parent, type, on.available);
    }
  for (auto& [key, entry] : by_parent) types.push_back(std::move(entry));
  types.insert(types.end(), vgpus.begin(), vgpus.end());
  return types;
}

static std::vector<std::vector<std::string>> type_rows(const std::vector<TypesOfGpu>& gpus) {
  std::vector<std::vector<std::string>> rows;
  for (const TypesOfGpu& gpu : gpus)
    for (const GpuType& type : gpu.types) {
      const auto free = available(gpu, type);
      rows.push_back({gpu.gpu, type.id, free ? std::to_string(*free) : "",
                      memory_text(type.memory_mib), type.name, type.description});
    }
  return rows;
}

/// Types are offered by VFs of NVIDIA's: of a card that has enabled none it is unknown whether its
/// driver offers any, unless it is configured for another use.
static bool may_have_types(const Config& config, const Gpu& gpu) {
  constexpr uint16_t nvidia = 0x10de;
  const auto use = settings_of(config, gpu.parent).use;
  return gpu.parent.vendor == nvidia && gpu.most_vfs > 0 && gpu.vfs.empty() &&
         !gpu.serves_mdevs() && (!use || traits_of(*use).has_types);
}

static std::string without_vfs_text(const Config& config, const std::vector<Gpu>& gpus) {
  std::string text;
  for (const Gpu& gpu : gpus)
    if (may_have_types(config, gpu))
      text +=
          "GPU " + gpu.parent.name +
          " has no VF enabled, so whether vGPU types exist is unknown; set use = vendor-vf and "
          "vfs in its [gpu] section, then run: gpuward apply (for mdevs enable the VFs with the "
          "vendor's tool)\n";
  return text;
}

/// A vendor VFIO driver lists only what can still be created: of a card that is full no types.
static std::string without_types_text(const Root& root, const Config& config,
                                      const std::vector<Gpu>& gpus,
                                      const std::vector<TypesOfGpu>& read) {
  std::string text;
  for (size_t at = 0; at < gpus.size(); ++at) {
    if (!read[at].types.empty()) continue;
    const auto use = settings_of(config, gpus[at].parent).use;
    if (use && traits_of(*use).needs_program && gpus[at].offers_vgpus)
      text += mig_problem(root, config, *gpus[at].parent.address, *gpus[at].asked) + '\n';
    else if (!read[at].unknown.empty())
      text += "GPU " + gpus[at].parent.name + ": its types are unknown, as " + read[at].unknown +
              "; check: nvidia-smi, or set use in its [gpu] section\n";
    else if (gpus[at].offers_vgpus)
      text += "GPU " + gpus[at].parent.name + ": no further vGPU can be created\n";
    if (const Reason reason = reason_not_mig(root, config, gpus[at]); !reason.problem.empty())
      text += to_string(reason) + '\n';
    else if (gpus[at].serves_mdevs())
      text += "GPU " + gpus[at].parent.name + ": its driver lists no types\n";
  }
  return text;
}

int list_types_command(const Settings& settings) {
  const Config config = load_config(config_files(settings.root)).config;
  const Host host = read_host(settings.root, config);
  auto uses = use_of_gpus(settings.root, host.gpus, host.instances);
  std::vector<TypesOfGpu> gpus;
  for (const Gpu& gpu : host.gpus)
    gpus.push_back(read_types(settings.root, config, gpu, uses[gpu.parent.name], host.instances));
  if (settings.json) {
    if (settings.json == 1)
      print_json(1, "list", json{{"types", types_json_of_schema_1(gpus)}});
    else
      print_json(settings.json, "list",
                 json{{"types", types_json(gpus)}, {"unknown", unknown_json(gpus)}});
    return 0;
  }
  const std::string others = without_types_text(settings.root, config, host.gpus, gpus) +
                             without_vfs_text(config, host.gpus);
  const auto rows = type_rows(gpus);
  if (!rows.empty())
    print_lines(format_table({"GPU", "TYPE", "AVAILABLE", "MEMORY", "NAME", "DESCRIPTION"}, rows));
  else if (others.empty())
    print_lines("No GPU on this host supports mediated devices or vGPUs.\n");
  print_lines(others);
  return 0;
}

}  // namespace gpuward
