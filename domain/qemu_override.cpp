// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/qemu_override.hpp"

namespace gpuward {

static const Element* device_override(const Document& document, std::string_view alias) {
  const Element* const override = document.root.child("override", qemu_namespace);
  if (!override) return nullptr;
  for (const Element& device : override->children)
    if (device.name == "device" && device.name_space == qemu_namespace &&
        device.attribute("alias") == alias)
      return &device;
  return nullptr;
}

const Element* migration_property(const Document& document, std::string_view alias) {
  const Element* const device = device_override(document, alias);
  const Element* const frontend = device ? device->child("frontend", qemu_namespace) : nullptr;
  if (!frontend) return nullptr;
  for (const Element& property : frontend->children)
    if (property.name == "property" && property.name_space == qemu_namespace &&
        property.attribute("name") == "enable-migration")
      return &property;
  return nullptr;
}

bool is_off(const Element& property) {
  return property.attribute("type") == "string" && property.attribute("value") == "off";
}

static bool has_own_alias(const Element& device) {
  const Element* const alias = device.child("alias");
  return alias && alias->attribute("name").value_or("").starts_with("ua-");
}

std::string alias_when_running(const Document& document, const Hostdev& hostdev) {
  if (hostdev.alias.starts_with("ua-")) return hostdev.alias;
  unsigned number = 0;
  const auto& devices = document.root.child("devices")->children;
  for (const Element& device : devices)  // those first, whatever the order of the XML
    if (device.name == "interface" && device.attribute("type") == "hostdev" &&
        !has_own_alias(device))
      ++number;
  for (size_t i = 0; i < hostdev.place; ++i)
    if (devices[i].name == "hostdev" && devices[i].name_space.empty() && !has_own_alias(devices[i]))
      ++number;
  return "hostdev" + std::to_string(number);
}

}  // namespace gpuward
