// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/guest_pci.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "domain/domain.hpp"

namespace gpuward {

// The address of a bus has eight bits.
static constexpr unsigned most_buses = 256;

static bool is_pci_controller(const Element& device) {
  return device.name == "controller" && device.name_space.empty() &&
         device.attribute("type") == "pci";
}

/// libvirt gives index 0 to the machine's own bus.
static bool is_root(const Element& controller) {
  const auto model = controller.attribute("model").value_or("");
  return model == "pcie-root" || model == "pci-root";
}

std::optional<unsigned> pci_controller_index(const Element& device) {
  if (!is_pci_controller(device)) return {};
  const auto index = to_number<unsigned>(device.attribute("index").value_or(""));
  return index && *index < most_buses ? index : std::nullopt;
}

const Element* pci_controller_of(const std::vector<Element>& devices, unsigned bus) {
  for (const Element& device : devices)
    if (pci_controller_index(device) == bus) return &device;
  return nullptr;
}

unsigned next_pci_controller(const std::vector<Element>& devices) {
  std::set<unsigned> numbers{0};
  unsigned without_number = 0;
  for (const Element& device : devices) {
    if (const auto index = pci_controller_index(device))
      numbers.insert(*index);
    else if (is_pci_controller(device) && !is_root(device))
      ++without_number;
  }
  // virDomainControllerFindUnusedIndex: the lowest number that is free
  for (unsigned number = 1; without_number > 0; ++number)
    if (numbers.insert(number).second) --without_number;
  for (const Element& device : devices)
    if (const auto address = guest_address_of(device)) numbers.insert(address->bus);
  return *numbers.rbegin() + 1;
}

std::optional<PciAddress> guest_address_of(const Element& device) {
  const Element* const address = device.child("address");
  if (!address || address->attribute("type") != "pci" || address->attributes.size() < 2) return {};
  return pci_address_of(*address);
}

bool is_guest_slot_used(const std::vector<Element>& devices, unsigned bus, unsigned slot) {
  return std::any_of(devices.begin(), devices.end(), [&](const Element& device) {
    const auto place = guest_address_of(device);
    return place && place->bus == bus && place->slot == slot;
  });
}

static std::string_view machine_of(const Document& document) {
  const Element* const os = document.root.child("os");
  const Element* const type = os ? os->child("type") : nullptr;
  return type ? type->attribute("machine").value_or("") : "";
}

bool has_pcie_root(const Document& document) {
  const auto machine = machine_of(document);
  return machine.find("q35") != machine.npos || machine.starts_with("virt");
}

std::string_view machine_without_pci(const Document& document) {
  // libvirt gives these no root bus (qemuDomainDefAddDefaultDevices) and refuses PCI devices
  const auto machine = machine_of(document);
  return machine == "isapc" || machine == "microvm" ? machine : "";
}

static bool is_root_port_at(const Element& device, const PciAddress& place) {
  return is_pci_controller(device) && device.attribute("model") == "pcie-root-port" &&
         guest_address_of(device) == place;
}

/// Whether a device that is not in `going` has another function of the slot.
static bool is_slot_shared(const std::vector<Element>& devices, const PciAddress& place,
                           const std::vector<const Element*>& going) {
  return std::any_of(devices.begin(), devices.end(), [&](const Element& device) {
    auto other = guest_address_of(device);
    if (!other || std::find(going.begin(), going.end(), &device) != going.end()) return false;
    const bool is_other_function = other->function != place.function;
    other->function = place.function;
    return is_other_function && *other == place;
  });
}

std::vector<PciAddress> single_ports(const std::vector<Element>& devices) {
  std::vector<PciAddress> found;
  for (const Element& device : devices) {
    const auto place = guest_address_of(device);
    if (place && place->function == 0 && is_root_port_at(device, *place) &&
        !device.child("address")->attribute("multifunction") &&
        !is_slot_shared(devices, *place, {}))
      found.push_back(*place);
  }
  return found;
}

const Element* needless_multifunction(const std::vector<Element>& devices, const PciAddress& port,
                                      const std::vector<const Element*>& going) {
  if (is_slot_shared(devices, port, going)) return nullptr;
  for (const Element& device : devices)
    if (is_root_port_at(device, port) &&
        device.child("address")->attribute("multifunction") == "on" &&
        std::find(going.begin(), going.end(), &device) == going.end())
      return device.child("address");
  return nullptr;
}

/// Whether a device other than those in `removal` has its guest address on this PCI bus.
static bool is_bus_used(const Element& devices, unsigned bus,
                        const std::vector<const Element*>& removal) {
  return std::any_of(devices.children.begin(), devices.children.end(), [&](const Element& device) {
    const Element* const address = device.child("address");
    if (!address || address->attribute("type") != "pci") return false;
    if (std::find(removal.begin(), removal.end(), &device) != removal.end()) return false;
    const auto place = pci_address_of(*address);
    return !place || place->bus == bus;
  });
}

/// Whether a device in `removal` has its guest address on this PCI bus.
static bool is_on_bus(const std::vector<const Element*>& removal, unsigned bus) {
  return std::any_of(removal.begin(), removal.end(), [&](const Element* device) {
    const auto place = guest_address_of(*device);
    return place && place->bus == bus;
  });
}

/// How many PCI controllers libvirt has for these devices, the machine's own included.
static unsigned count_pci_controllers(const std::vector<Element>& devices) {
  bool has_root = false;
  unsigned count = 0;
  for (const Element& device : devices) {
    if (device.name != "controller" || device.attribute("type") != "pci") continue;
    ++count;
    const auto model = device.attribute("model").value_or("");
    has_root = has_root || model == "pcie-root" || model == "pci-root" ||
               pci_controller_index(device) == 0u;
  }
  return count + (has_root ? 0 : 1);
}

void add_controllers_to(std::vector<const Element*>& removal, const Element& devices,
                        unsigned before_attach) {
  std::vector<std::pair<unsigned, const Element*>> later;
  unsigned under_gpus = 0;
  for (const Element& device : devices.children) {
    const auto index = pci_controller_index(device);
    if (!index || *index < std::max(before_attach, 1u)) continue;
    later.push_back({*index, &device});
    under_gpus += is_on_bus(removal, *index);
  }
  const unsigned count = count_pci_controllers(devices.children);
  unsigned others = count > before_attach + under_gpus ? count - before_attach - under_gpus : 0;
  std::sort(later.rbegin(), later.rend());
  for (const auto& [index, controller] : later) {
    if (is_bus_used(devices, index, removal)) return;
    if (!is_on_bus(removal, index)) {
      if (others == 0) continue;
      --others;
    }
    removal.push_back(controller);
  }
}

std::optional<PciAddress> free_pci_slot(const std::vector<Element>& devices) {
  std::vector<unsigned> buses{0};
  for (const Element& device : devices)
    if (const auto index = pci_controller_index(device);
        index && device.attribute("model") == "pci-bridge")
      buses.push_back(*index);
  for (const unsigned bus : buses)
    for (uint8_t slot = 0x1e; slot > 2; --slot)
      if (!is_guest_slot_used(devices, bus, slot))
        return PciAddress{0, static_cast<uint8_t>(bus), slot, 0};
  return {};
}

}  // namespace gpuward
