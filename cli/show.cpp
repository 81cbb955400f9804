// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <cstdio>
#include <set>

#include "allocation/capacity.hpp"
#include "base/error.hpp"
#include "base/joined.hpp"
#include "base/quote.hpp"
#include "cli/commands.hpp"
#include "cli/gpu_model.hpp"
#include "cli/memory_text.hpp"
#include "cli/output.hpp"
#include "config/config_parser.hpp"
#include "config/gpu_settings.hpp"
#include "domain/xml_document.hpp"
#include "inventory/gpu_types.hpp"
#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "kinds/kind.hpp"
#include "kinds/type_names.hpp"
#include "kinds/types.hpp"
#include "pci/pci_device.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"

namespace gpuward {

using nlohmann::json;

/// One thing, printed as "Word: text" lines or as an object of the same words.
class Facts {
 public:
  void add(const std::string& word, const std::string& text) { facts_.push_back({word, text}); }

  /// `schema`: of JSON, 0 for text.
  void print(int schema) const {
    json object;
    std::string lines;
    for (const auto& [word, text] : facts_) {
      object[word] = text;
      lines += word + ":" + std::string(word.size() < 12 ? 12 - word.size() : 1, ' ') +
               (text.empty() ? "-" : shown(text, text.size())) + '\n';
    }
    if (schema)
      print_json(schema, "show", object);
    else
      print_lines(lines);
  }

 private:
  std::vector<std::pair<std::string, std::string>> facts_;
};

static std::optional<Holder> holder_of(const Root& root, const GpuInstance& view) {
  const OpenDevices open(root, Uninspected::ignore);
  return is_mediated(view.use) ? open.holder_of(view.instance.uuid)
                               : open.holder_of(view.device->address);
}

static Facts instance_facts(const Settings& settings, const GpuInstance& view) {
  Facts facts;
  facts.add("instance", view.name);
  facts.add("use", std::string(use_word(view.use)));
  facts.add("type", view.instance.type);
  if (const std::string name = TypeNames(settings.root).of(view); !name.empty())
    facts.add("type_name", name);
  facts.add("gpu", view.instance.parent);
  facts.add("state", view.state);
  facts.add("domain", view.domain);
  if (view.device) {
    facts.add("alias", view.device->alias);
    facts.add("profile", view.device->profile);
  }
  const auto holder = holder_of(settings.root, view);
  facts.add("used_by", holder ? to_string(*holder) : "");
  return facts;
}

// ---- a GPU

static std::string addresses_text(const std::vector<PciAddress>& addresses) {
  return joined(addresses, ", ", [](const PciAddress& address) { return to_string(address); });
}

static std::string class_text(const Gpu& gpu) {
  char digits[8];
  std::snprintf(digits, sizeof digits, "%04x", gpu.pci_class >> 8);
  std::string text = digits;
  if (text == "0300") return text + " (VGA controller)";
  if (text == "0302") return text + " (3D controller)";
  if (text == "0380") return text + " (display controller)";
  if (text == "1200") return text + " (processing accelerator)";
  return text;
}

static std::string kinds_text(const Gpu& gpu) {
  return joined(kinds_of(gpu), ", ", use_word);
}

static std::string group_text(const GpuDetails& details) {
  if (!details.group) return {};
  return std::to_string(details.group->number) + " (" + addresses_text(details.group->members) +
         "), " + (details.viable ? "viable" : "not viable: " + details.viable.reason.problem);
}

static std::string link_text(const std::string& speed, const std::string& width) {
  if (speed.empty() && width.empty()) return {};
  return speed + " x" + width;
}

static std::string errors_text(const ErrorTotals& errors) {
  if (errors == ErrorTotals()) return {};
  const auto number = [](const std::optional<uint64_t>& count) {
    return count ? std::to_string(*count) : std::string("?");
  };
  return number(errors.correctable) + " correctable, " + number(errors.nonfatal) + " nonfatal, " +
         number(errors.fatal) + " fatal";
}

static void add_health(Facts& facts, const Health& health) {
  facts.add("power", health.power_state);
  facts.add("link", link_text(health.link_speed, health.link_width));
  facts.add("link_max", link_text(health.max_link_speed, health.max_link_width));
  facts.add("errors", errors_text(health.errors));
  if (health.port)
    facts.add("port", to_string(*health.port) + ", errors: " +
                          (health.port_errors == ErrorTotals() ? "not reported by the driver"
                                                               : errors_text(health.port_errors)));
  facts.add("reset", health.can_reset ? health.reset_methods : "none");
}

static void add_pci_facts(const Root& root, Facts& facts, const Gpu& gpu) {
  const GpuDetails details = read_details(root, gpu);
  facts.add("class", class_text(gpu));
  facts.add("iommu_group", group_text(details));
  facts.add("companions", addresses_text(details.companions));
  facts.add("identity", to_string(details.identity));
  add_health(facts, details.health);
  if (const auto owner = used_by(root, *gpu.parent.address))
    facts.add("single_use",
              single_use_text(*owner) + "; to clear run: gpuward clear " + gpu.parent.name);
}

/// As 0.1.0 did: of a GPU with VFs each VF says whether it has room, and what one takes the others
/// may lose.
static void add_types_of_schema_1(Facts& facts, const Gpu& gpu, const std::vector<GpuType>& types) {
  const std::string unit =
      gpu.vfs.empty() ? " available"
                      : " of " + std::to_string(gpu.mdev_parents.size()) + " VFs available";
  for (const GpuType& type : types) {
    std::optional<unsigned> free;
    for (const GpuType::On& on : type.on)
      if (on.available)
        free = free.value_or(0) + (gpu.vfs.empty() ? *on.available : *on.available > 0);
    facts.add("type " + type.id, is_typed_vf(type.use) ? type.name
                                 : free                ? std::to_string(*free) + unit
                                                       : "capacity not reported by the driver");
  }
}

static std::string type_text(const CardRoom& room, const GpuType& type) {
  std::string text = type.name;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (type.memory_mib) add(memory_text(type.memory_mib));
  const bool is_reported = std::any_of(type.on.begin(), type.on.end(), [](const GpuType::On& on) {
    return on.available.has_value();
  });
  add(is_reported ? std::to_string(room_for(room, type.id)) + " available"
                  : "capacity not reported by the driver");
  return text;
}

static void add_types(Facts& facts, int schema, const Gpu& gpu, const std::vector<GpuType>& types,
                      std::vector<std::string> present) {
  if (schema == 1) return add_types_of_schema_1(facts, gpu, types);
  const CardRoom room = card_room(gpu, types, std::move(present));
  for (const GpuType& type : types) facts.add("type " + type.id, type_text(room, type));
}

/// One line for each part of it that a process of the host, or of a domain, has open.
static void add_holders(const Root& root, Facts& facts, const Gpu& gpu) {
  if (!gpu.parent.address) return;
  const OpenDevices open(root, Uninspected::ignore);
  std::vector<PciAddress> parts = companions(root, *gpu.parent.address);
  parts.insert(parts.begin(), *gpu.parent.address);
  parts.insert(parts.end(), gpu.vfs.begin(), gpu.vfs.end());
  for (const PciAddress& part : parts)
    if (const auto holder = open.holder_of(part))
      facts.add("used_by " + to_string(part), to_string(*holder));
}

/// "nvidia-745 (NVIDIA A40-12Q)"
static std::string type_with_name(TypeNames& names, int schema, const GpuInstance& view) {
  if (view.instance.type.empty()) return std::string(use_word(view.use));
  const std::string name = schema == 1 ? "" : names.of(view);
  return view.instance.type + (name.empty() ? "" : " (" + name + ')');
}

static void add_instances(const Settings& settings, Facts& facts, const Gpu& gpu,
                          const GpuUse& used, const std::vector<GpuInstance>& instances) {
  TypeNames names(settings.root);
  for (const size_t at : used.at) {
    const GpuInstance& view = instances[at];
    const std::string& parent = view.instance.parent;
    std::string text = type_with_name(names, settings.json, view);
    if (parent != gpu.parent.name) text += " on " + parent;
    facts.add("instance " + view.name,
              text + ", " + view.state + (view.domain.empty() ? "" : " by " + view.domain));
  }
}

static Facts gpu_facts(const Settings& settings, const Config& config, const Host& host,
                       const Gpu& gpu) {
  const Root& root = settings.root;
  const auto use = settings_of(config, gpu.parent).use;
  const GpuUse used = use_of_gpus(root, {gpu}, host.instances)[gpu.parent.name];
  std::string unknown;
  const auto types = types_of(root, config, gpu, nullptr, &unknown);
  HardwareNames names;
  Facts facts;
  facts.add("gpu", gpu.parent.name);
  facts.add("model", model_name(names, gpu, host.gpus).full);
  if (gpu.parent.address) facts.add("pci_id", pci_id(gpu));
  facts.add("driver", gpu.driver);
  facts.add("kinds", kinds_text(gpu));
  facts.add("use", use ? std::string(use_word(*use)) : "");
  facts.add("numa_node", gpu.parent.numa_node ? std::to_string(*gpu.parent.numa_node) : "");
  facts.add("memory", memory_text(memory_of(root, gpu, types, used, host.instances)));
  if (gpu.parent.address) add_pci_facts(root, facts, gpu);
  if (gpu.most_vfs > 0)
    facts.add("vfs", std::to_string(used.vfs.size()) + " used, " + std::to_string(gpu.vfs.size()) +
                         " enabled, " + std::to_string(gpu.most_vfs) + " total");
  add_types(facts, settings.json, gpu, types, present_types(used, host.instances));
  if (!unknown.empty()) facts.add("types", "unknown, as " + unknown);
  add_instances(settings, facts, gpu, used, host.instances);
  add_holders(root, facts, gpu);
  return facts;
}

static std::string device_text(const ClaimedDevice& device) {
  if (is_mediated(device.use))
    return device.type + " on " + device.parent + ", instance " + device_name(device);
  std::string text(use_word(device.use));
  if (traits_of(device.use).has_types) text += ' ' + device.type;
  text += ' ' + device_name(device);
  return device.parent == device_name(device) ? text : text + " of " + device.parent;
}

static std::optional<Facts> domain_facts(const ClaimedDevices& claimed, const std::string& name) {
  for (const Claim& claim : claimed.with_quarantined()) {
    if (claim.name != name && to_string(claim.domain) != name) continue;
    Facts facts;
    facts.add("domain", claim.name);
    facts.add("uuid", to_string(claim.domain));
    facts.add("owner", claim.owner);
    std::set<std::string> named;
    for (const ClaimedDevice& device : claim.devices) {
      // One in quarantine and the one that the domain was started with since have the same alias.
      const bool is_first = named.insert(device.alias).second;
      facts.add(is_first ? device.alias : device.alias + ' ' + device_name(device),
                device_text(device) + ", profile " + device.profile +
                    (device.state == ClaimedDevice::State::quarantined ? ", quarantined" : ""));
    }
    return facts;
  }
  return {};
}

/// Nothing when there is no such GPU, instance or domain.
static std::optional<Facts> find_facts(const Settings& settings, const Config& config,
                                       const Host& host, const std::string& name) {
  for (const Gpu& gpu : host.gpus)
    if (gpu.parent.name == name) return gpu_facts(settings, config, host, gpu);
  for (const GpuInstance& view : host.instances)
    if (view.name == name) return instance_facts(settings, view);
  return domain_facts(host.claimed, name);
}

int show_command(const Settings& settings, const std::string& name) {
  const Config config = load_config(config_files(settings.root)).config;
  const Host host = read_host(settings.root, config);
  const auto facts = find_facts(settings, config, host, name);
  if (facts) facts->print(settings.json);
  const int status = report_unreadable(host.claimed);
  if (!facts)
    throw Error(in_quotes(name), "not a GPU, an instance or a domain that uses one",
                "run: gpuward list gpus, gpuward list or gpuward list domains");
  return status;
}

}  // namespace gpuward
