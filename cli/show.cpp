// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdio>

#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/hardware_names.hpp"
#include "cli/host_view.hpp"
#include "cli/output.hpp"
#include "mdev/holders.hpp"

namespace gpuward {

using nlohmann::json;

/// One thing, told as "Word: text" lines or as an object of the same words.
class Facts {
 public:
  void add(const std::string& word, const std::string& text) { facts_.push_back({word, text}); }

  void print(bool as_json) const {
    json object{{"schema", 1}};
    std::string lines;
    for (const auto& [word, text] : facts_) {
      object[word] = text;
      lines += word + ":" + std::string(word.size() < 12 ? 12 - word.size() : 1, ' ') +
               (text.empty() ? "-" : text) + '\n';
    }
    if (as_json)
      print_json(object);
    else
      print_text(lines);
  }

 private:
  std::vector<std::pair<std::string, std::string>> facts_;
};

static Facts instance_facts(const Settings& settings, const InstanceView& view) {
  Facts facts;
  facts.add("instance", to_string(view.instance.uuid));
  facts.add("type", view.instance.type);
  facts.add("gpu", view.instance.parent);
  facts.add("state", view.state);
  facts.add("domain", view.domain);
  if (view.device) {
    facts.add("alias", view.device->alias);
    facts.add("profile", view.device->profile);
  }
  const auto holder = DeviceHolders(settings.root).of_instance(settings.root, view.instance.uuid);
  facts.add("open_in", holder ? to_string(*holder) : "");
  return facts;
}

static Facts gpu_facts(const Settings& settings, const GpuView& gpu) {
  Facts facts;
  facts.add("gpu", gpu.parent.name);
  facts.add("model", gpu.parent.address ? hardware_name(gpu.parent.vendor, gpu.parent.device) : "");
  facts.add("driver", gpu.driver);
  facts.add("numa_node", gpu.parent.numa_node ? std::to_string(*gpu.parent.numa_node) : "");
  for (const MdevType& type : list_types(settings.root, gpu.parent.name))
    facts.add("type " + type.id,
              type.available ? std::to_string(*type.available) + " free" : "capacity not told");
  for (const InstanceView& view : view_instances(settings.root))
    if (view.instance.parent == gpu.parent.name)
      facts.add("instance " + to_string(view.instance.uuid),
                view.instance.type + ", " + view.state +
                    (view.domain.empty() ? "" : " by " + view.domain));
  return facts;
}

static std::optional<Facts> domain_facts(const Settings& settings, const std::string& name) {
  for (const Claim& claim : Claims(settings.root).all()) {
    if (claim.name != name && to_string(claim.domain) != name) continue;
    Facts facts;
    facts.add("domain", claim.name);
    facts.add("uuid", to_string(claim.domain));
    for (const ClaimedDevice& device : claim.devices)
      facts.add(device.alias, device.type + " on " + device.parent + ", instance " +
                                  to_string(device.instance) + ", profile " + device.profile);
    return facts;
  }
  return {};
}

int show_command(const Settings& settings, const std::string& name) {
  for (const InstanceView& view : view_instances(settings.root))
    if (to_string(view.instance.uuid) == name) {
      instance_facts(settings, view).print(settings.json);
      return 0;
    }
  for (const GpuView& gpu : view_gpus(settings.root))
    if (gpu.parent.name == name) {
      gpu_facts(settings, gpu).print(settings.json);
      return 0;
    }
  if (const auto facts = domain_facts(settings, name)) {
    facts->print(settings.json);
    return 0;
  }
  throw Error("'" + name +
              "' is no GPU, no instance and no domain that holds one; see 'gpuward list gpus', "
              "'gpuward list' and 'gpuward list domains'");
}

}  // namespace gpuward
