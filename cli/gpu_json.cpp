// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/gpu_json.hpp"

#include <cstdio>

#include "base/text.hpp"
#include "cli/gpu_model.hpp"
#include "kinds/kind.hpp"

namespace gpuward {

using nlohmann::json;

template <typename T>
static json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

static json or_null(const std::string& text) {
  return text.empty() ? json(nullptr) : json(text);
}

static json addresses_json(const std::vector<PciAddress>& addresses) {
  json array = json::array();
  for (const PciAddress& address : addresses) array.push_back(to_string(address));
  return array;
}

static json group_json(const GpuDetails& details) {
  if (!details.group) return nullptr;
  return {{"number", details.group->number},
          {"members", addresses_json(details.group->members)},
          {"viable", details.viable.allowed},
          {"reason", or_null(without_remedy(details.viable.reason))}};
}

static json identity_json(const Identity& identity) {
  return {{"serials", identity.serials},
          {"uuid", or_null(identity.uuid)},
          {"subsystem", or_null(identity.subsystem)},
          {"slot", or_null(identity.slot)}};
}

static json errors_json(const ErrorTotals& errors) {
  return {{"correctable", or_null(errors.correctable)},
          {"nonfatal", or_null(errors.nonfatal)},
          {"fatal", or_null(errors.fatal)}};
}

static json health_json(const Health& health) {
  json entry{{"power_state", or_null(health.power_state)},
             {"link_speed", or_null(health.link_speed)},
             {"link_width", or_null(to_number<unsigned>(health.link_width))},
             {"max_link_speed", or_null(health.max_link_speed)},
             {"max_link_width", or_null(to_number<unsigned>(health.max_link_width))},
             {"errors", errors_json(health.errors)},
             {"port", nullptr},
             {"port_errors", errors_json(health.port_errors)},
             {"can_reset", health.can_reset},
             {"reset_methods", json::array()}};
  if (health.port) entry["port"] = to_string(*health.port);
  for (const std::string_view method : split(health.reset_methods, ' '))
    if (!method.empty()) entry["reset_methods"].push_back(method);
  return entry;
}

static json class_json(const Gpu& gpu) {
  if (!gpu.parent.address) return nullptr;
  char text[16];
  std::snprintf(text, sizeof text, "%06x", gpu.pci_class);
  return text;
}

static json sriov_json(const Gpu& gpu, const GpuUse& use) {
  if (gpu.most_vfs == 0) return nullptr;
  return {{"total", gpu.most_vfs}, {"enabled", gpu.vfs.size()}, {"used", use.vfs.size()}};
}

json memory_json(const GpuMemory& memory) {
  return {{"total", or_null(memory.total_mib)}, {"given", or_null(memory.given_mib)}};
}

json mig_instances_json(const MigInstances& mig) {
  if (!mig.unknown.empty()) return nullptr;
  json array = json::array();
  for (const MigInstance& instance : mig.instances) {
    array.push_back(
        {{"id", or_null(instance.id)},
         {"profile", or_null(instance.profile)},
         {"placement", {{"start", instance.place.start}, {"size", instance.place.size}}},
         {"memory", or_null(instance.memory_mib)},
         {"state", instance.state},
         {"domain", nullptr}});
    if (instance.domain_uuid)
      array.back()["domain"] = {{"name", instance.domain},
                                {"uuid", to_string(*instance.domain_uuid)}};
  }
  return array;
}

json gpu_json(const Root& root, const Gpu& gpu, const GpuUse& use, const OpenDevices& open) {
  json entry{{"name", gpu.parent.name},
             {"pci_id", nullptr},
             {"class", class_json(gpu)},
             {"driver", gpu.driver},
             {"use", nullptr},
             {"numa_node", or_null(gpu.parent.numa_node)},
             {"kinds", json::array()},
             {"instances", use.instances},
             {"sriov", sriov_json(gpu, use)},
             {"domains", use.domains},
             {"used_by", nullptr}};
  for (const Use kind : kinds_of(gpu)) entry["kinds"].push_back(use_word(kind));
  if (!gpu.parent.address) return entry;
  entry["pci_id"] = pci_id(gpu);
  if (const auto holder = open.holder_of(*gpu.parent.address))
    entry["used_by"] = {{"pid", holder->pid}, {"command", holder->command}};
  const GpuDetails details = read_details(root, gpu);
  entry["companions"] = addresses_json(details.companions);
  entry["iommu_group"] = group_json(details);
  entry["identity"] = identity_json(details.identity);
  entry["health"] = health_json(details.health);
  return entry;
}

}  // namespace gpuward
