// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/pci_controllers.hpp"

#include <algorithm>
#include <cstdio>

#include "base/text.hpp"

namespace gpuward {

bool is_pci_controller(const Element& device) {
  return device.name == "controller" && device.name_space.empty() &&
         device.attribute("type") == "pci";
}

std::string_view model_of(const Element& controller) {
  return controller.attribute("model").value_or("");
}

std::optional<unsigned> index_of(const Element& controller) {
  const auto index = controller.attribute("index");
  if (!index && (model_of(controller) == "pci-root" || model_of(controller) == "pcie-root"))
    return 0;
  return to_number<unsigned>(index.value_or(""));
}

const std::vector<Element>& devices_of(const Document& document) {
  static const std::vector<Element> none;
  const Element* const devices = document.root.child("devices");
  return devices ? devices->children : none;
}

const Element* find_controller(const Document& document, unsigned index) {
  for (const Element& device : devices_of(document))
    if (is_pci_controller(device) && index_of(device) == index) return &device;
  return nullptr;
}

std::optional<PciAddress> guest_address(const Element& device) {
  const Element* const address = device.child("address");
  if (!address || address->attribute("type").value_or("pci") != "pci") return {};
  const auto place = pci_address_of(*address);
  return place == PciAddress{} ? std::nullopt : place;
}

/// Whether the guest sees it on another bus than PCI, or not at all (type='unassigned').
static bool is_elsewhere(const Element& device) {
  const Element* const address = device.child("address");
  return address && address->attribute("type").value_or("pci") != "pci";
}

bool has_invalid_address(const Element& device) {
  const Element* const address = device.child("address");
  return address && !is_elsewhere(device) && !pci_address_of(*address);
}

const Element& element_of(const Document& document, const Hostdev& hostdev) {
  return devices_of(document)[hostdev.place];
}

bool is_on_pci(const Document& document, const Hostdev& gpu) {
  const bool is_pci =
      gpu.type == Hostdev::Type::pci || gpu.model.empty() || gpu.model == "vfio-pci";
  return is_pci && !is_elsewhere(element_of(document, gpu));
}

unsigned first_free_bus(const Document& document) {
  unsigned bus = 1;
  for (const Element& device : devices_of(document)) {
    if (const auto index = is_pci_controller(device) ? index_of(device) : std::nullopt)
      bus = std::max(bus, *index + 1);
    if (const auto address = guest_address(device)) bus = std::max(bus, address->bus + 1U);
  }
  return bus;
}

std::string hexadecimal(unsigned number) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%02x", number);
  return text;
}

std::string place_attributes(unsigned bus, unsigned slot) {
  return "domain='0x0000' bus='" + hexadecimal(bus) + "' slot='" + hexadecimal(slot) +
         "' function='0x0'";
}

}  // namespace gpuward
