// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/attribute_list.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace gpuward {

static bool is_of_part(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

static bool is_part(std::string_view part) {
  return !part.empty() && part.size() <= 64 && part != "." && part != ".." &&
         std::all_of(part.begin(), part.end(), is_of_part);
}

/// What each device has of the driver core and the mdev core: links that lead out of its directory
/// and files that bind, remove or announce it (Documentation/ABI/testing/sysfs-bus-vfio-mdev,
/// drivers/base/core.c).
static bool is_of_kernel(std::string_view first) {
  constexpr std::string_view reserved[] = {
      "driver",      "driver_override", "subsystem", "mdev_type", "remove",
      "iommu_group", "iommu",           "power",     "uevent",    "vfio-dev",
      "iommufd",     "firmware_node",   "device",    "physfn",    "current_vgpu_type"};
  return std::find(std::begin(reserved), std::end(reserved), first) != std::end(reserved);
}

static bool is_attribute_name(std::string_view name) {
  const auto parts = split(name, '/');
  return parts.size() <= 2 && std::all_of(parts.begin(), parts.end(), is_part) &&
         std::none_of(parts.begin(), parts.end(), is_of_kernel);
}

static bool is_attribute_value(std::string_view value) {
  return !value.empty() && value.size() <= 1024 &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

/// The text up to the next comma that is not in quotes, which is removed from `rest`.
static std::string_view next_item(std::string_view& rest) {
  bool is_quoted = false;
  size_t end = 0;
  for (; end < rest.size() && (is_quoted || rest[end] != ','); ++end)
    if (rest[end] == '"') is_quoted = !is_quoted;
  const std::string_view item = trim(rest.substr(0, end));
  rest.remove_prefix(end);
  return item;
}

/// Nothing for a quote that is not both at the start and at the end.
static std::string_view without_quotes(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  return value.find('"') == value.npos ? value : std::string_view();
}

ParsedAttributes parse_attributes(std::string_view text) {
  ParsedAttributes parsed;
  for (;;) {
    const std::string_view item = next_item(text);
    const auto sign = std::min(item.find('='), item.size());
    const std::string_view name = trim(item.substr(0, sign));
    const std::string_view value =
        without_quotes(sign == item.size() ? "" : trim(item.substr(sign + 1)));
    const bool is_name = is_attribute_name(name);
    if (!is_name || !is_attribute_value(value)) {
      parsed.wrong = item;
      parsed.advice =
          is_name ? "expected NAME=VALUE with a value of printable ASCII, in double quotes where "
                    "it has a comma"
                  : "expected NAME=VALUE, the name being a file of the instance's directory in "
                    "sysfs, such as assign_adapter or nvidia/vgpu_params, and none of the kernel's "
                    "own";
      return parsed;
    }
    parsed.attributes.push_back({std::string(name), std::string(value)});
    if (text.empty()) return parsed;
    text.remove_prefix(1);
  }
}

bool sets_unified_memory(const std::vector<DeviceAttribute>& attributes) {
  return std::any_of(attributes.begin(), attributes.end(), [](const DeviceAttribute& attribute) {
    const auto words = split(attribute.value, ',');
    return attribute.name == vgpu_params &&
           std::any_of(words.begin(), words.end(), [](std::string_view word) {
             // "plugin0.enable_uvm=1" of older drivers
             return trim(word).ends_with("enable_uvm=1");
           });
  });
}

}  // namespace gpuward
