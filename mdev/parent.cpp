// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/parent.hpp"

#include <algorithm>
#include <charconv>

#include "base/file.hpp"
#include "base/text.hpp"

namespace gpuward {

static std::string parent_path(const Root& root, const std::string& name) {
  return root.sys("class/mdev_bus/" + name);
}

static std::string type_path(const Root& root, const std::string& parent, const std::string& type) {
  return parent_path(root, parent) + "/mdev_supported_types/" + type;
}

bool is_device_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '+' || c == '-' || c == ':';
  };
  return !name.empty() && name.size() < 256 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), fits);
}

std::vector<std::string> parent_names(const Root& root) {
  auto names = list_directory(root.sys("class/mdev_bus"));
  std::erase_if(names, [](const std::string& name) { return !is_device_name(name); });
  return names;
}

/// "0x10de" as the PCI core prints ids.
static uint16_t read_id(const std::string& path) {
  const std::string text = read_attribute(path).value_or("");
  uint16_t id = 0;
  if (text.starts_with("0x")) std::from_chars(text.data() + 2, text.data() + text.size(), id, 16);
  return id;
}

Parent read_identity(const std::string& path, const std::string& name) {
  Parent parent{{.name = name, .address = parse_pci_address(name)}};
  if (!parent.address) return parent;
  parent.vendor = read_id(path + "/vendor");
  parent.device = read_id(path + "/device");
  const auto node = to_number<int>(read_attribute(path + "/numa_node").value_or(""));
  if (node && *node >= 0) parent.numa_node = node;  // -1: the firmware does not say
  const auto card = read_link(path + "/physfn");
  parent.physical_function = card ? parse_pci_address(base_name(*card)) : std::nullopt;
  if (!parent.physical_function) return parent;
  parent.card_vendor = read_id(path + "/physfn/vendor");
  parent.card_device = read_id(path + "/physfn/device");
  return parent;
}

std::optional<Parent> find_parent(const Root& root, const std::string& name) {
  const std::string path = parent_path(root, name);
  if (!is_device_name(name) || !exists(path)) return {};
  return read_identity(path, name);
}

std::optional<unsigned> available_instances(const Root& root, const std::string& parent,
                                            const std::string& type) {
  const auto text = read_attribute(type_path(root, parent, type) + "/available_instances");
  return text ? to_number<unsigned>(*text) : std::nullopt;
}

std::string type_description(const Root& root, const std::string& parent, const std::string& type) {
  return read_optional_attribute(type_path(root, parent, type) + "/description").value_or("");
}

std::vector<std::string> type_ids(const Root& root, const std::string& parent) {
  auto ids = list_directory(parent_path(root, parent) + "/mdev_supported_types");
  std::erase_if(ids, [](const std::string& id) { return !is_device_name(id); });
  return ids;
}

std::string type_name(const Root& root, const std::string& parent, const std::string& type) {
  return read_optional_attribute(type_path(root, parent, type) + "/name").value_or("");
}

std::string device_api(const Root& root, const std::string& parent, const std::string& type) {
  return read_attribute(type_path(root, parent, type) + "/device_api").value_or("");
}

std::string hostdev_model(const Root& root, const std::vector<std::string>& types) {
  constexpr std::string_view models[] = {"vfio-pci", "vfio-ap", "vfio-ccw"};
  for (const std::string& type : types)
    for (const std::string& parent : parent_names(root)) {
      std::string api = is_device_name(type) ? device_api(root, parent, type) : "";
      if (std::find(std::begin(models), std::end(models), api) != std::end(models)) return api;
    }
  return std::string(models[0]);
}

}  // namespace gpuward
