// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/pci_ports.hpp"

#include "base/quote.hpp"
#include "domain/qemu_commandline.hpp"
#include "domain/qemu_override.hpp"
#include "protection/pci_controllers.hpp"
#include "protection/pci_root.hpp"

namespace gpuward {

bool is_port(std::string_view model) {
  return model == "pcie-root-port" || model == "pcie-switch-downstream-port";
}

bool is_fixed(std::string_view model) {
  return model == "pcie-root" || model == "dmi-to-pci-bridge" || model == "pcie-expander-bus" ||
         model == "pcie-switch-upstream-port";
}

bool is_closed(const Element& controller) {
  const Element* const target = controller.child("target");
  return target && target->attribute("hotplug") == "off";
}

bool is_root_open(const Document& document) {
  const Element* const root = find_controller(document, 0);
  return !root || !is_closed(*root);
}

PciPath path_from(const Document& document, unsigned bus) {
  PciPath path;
  for (int depth = 0; depth < 256; ++depth) {
    const Element* const controller = find_controller(document, bus);
    const std::string_view model = controller ? model_of(*controller) : "";
    if (bus == 0 && (!controller || model == "pci-root")) {
      const PciRoot root = pci_root_of(document);
      if (root == PciRoot::unknown)
        path.obstacle = "hot-plug of this machine type's PCI root cannot be disabled";
      path.through_root = root == PciRoot::i440fx;
      return path;
    }
    if (!controller) {
      path.obstacle = "PCI controller with index " + std::to_string(bus) + " does not exist";
      return path;
    }
    if (is_port(model)) {
      path.ports.push_back(controller);
    } else if (!is_fixed(model)) {
      path.obstacle = "PCI controller " + std::to_string(bus) + " (" + shown(model) +
                      ") has its own hot-plug, which XML cannot disable";
      return path;
    }
    if (bus == 0) return path;
    const auto above = guest_address(*controller);
    bus = above ? above->bus : 0;
  }
  path.obstacle = "PCI controllers form a loop";
  return path;
}

const Element* overridden_hotplug(const Document& document, const Element& port) {
  const Element* const own = port.child("alias");
  std::string alias(own ? own->attribute("name").value_or("") : "");
  if (!alias.starts_with("ua-"))  // qemuAssignDeviceControllerAlias
    alias = "pci." + std::to_string(index_of(port).value_or(0));
  return property_not_off(document, alias, "hotplug");
}

const Element* find_override(const Document& document, const PciPath& path) {
  for (const Element* const port : path.ports)
    if (const Element* const property = overridden_hotplug(document, *port)) return property;
  const auto any = [](std::string_view) { return true; };
  return path.through_root ? argument_not_off(document, "acpi-root-pci-hotplug", any) : nullptr;
}

}  // namespace gpuward
