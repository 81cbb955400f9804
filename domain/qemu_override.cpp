// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/qemu_override.hpp"

namespace gpuward {

/// Whether `element` is one of <qemu:override>.
static bool is_qemu(const Element& element, std::string_view name) {
  return element.name == name && element.name_space == qemu_namespace;
}

const Element* migration_property_of(const Element& device) {
  const Element* first = nullptr;
  for (const Element& frontend : device.children)
    for (const Element& property : frontend.children) {
      if (!is_qemu(frontend, "frontend") || !is_qemu(property, "property") ||
          property.attribute("name") != "enable-migration")
        continue;
      if (!is_off(property)) return &property;
      if (!first) first = &property;
    }
  return first;
}

const Element* migration_property(const Document& document, std::string_view alias) {
  const Element* first = nullptr;
  for (const Element& override : document.root.children)
    for (const Element& device : override.children) {
      if (!is_qemu(override, "override") || !is_qemu(device, "device") ||
          device.attribute("alias") != alias)
        continue;
      const Element* const property = migration_property_of(device);
      if (property && !is_off(*property)) return property;
      if (!first) first = property;
    }
  return first;
}

const Element* property_not_off(const Document& document, std::string_view alias,
                                std::string_view name) {
  for (const Element& override : document.root.children)
    for (const Element& device : override.children) {
      if (!is_qemu(override, "override") || !is_qemu(device, "device") ||
          device.attribute("alias") != alias)
        continue;
      for (const Element& frontend : device.children)
        for (const Element& property : frontend.children) {
          const auto value = property.attribute("value");
          if (is_qemu(frontend, "frontend") && is_qemu(property, "property") &&
              property.attribute("name") == name && value != "false" && value != "off")
            return &property;
        }
    }
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
