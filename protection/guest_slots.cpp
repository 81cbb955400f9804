// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/guest_slots.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "protection/pci_controllers.hpp"
#include "protection/pci_root.hpp"

namespace gpuward {

namespace {

std::string port_text(unsigned index) {
  return "<controller type='pci' index='" + std::to_string(index) +
         "' model='pcie-root-port'><target hotplug='off'/></controller>";
}

std::vector<unsigned> free_slots(const Document& document, unsigned bus, unsigned first) {
  std::set<unsigned> used;
  for (const Element& device : devices_of(document))
    if (const auto address = guest_address(device); address && address->bus == bus)
      used.insert(address->slot);
  std::vector<unsigned> slots;
  for (unsigned slot = first; slot <= 0x1f; ++slot)
    if (!used.contains(slot)) slots.push_back(slot);
  return slots;
}

/// Of pci.0 of machine type pc, whose slot 1 is the chipset's.
std::vector<unsigned> free_root_slots(const Document& document) {
  return free_slots(document, 0, 2);
}

bool is_bridge(const Element& device) {
  return is_pci_controller(device) && model_of(device) == "pci-bridge";
}

}  // namespace

int room_on_root(const Document& document) {
  const auto& devices = devices_of(document);
  const bool has_bridge = std::any_of(devices.begin(), devices.end(), is_bridge);
  return static_cast<int>(free_root_slots(document).size()) - (has_bridge ? 0 : 1);
}

std::string make_room(const Document& document, int devices) {
  std::optional<unsigned> bus;
  for (const Element& device : devices_of(document))
    if (const auto index = is_bridge(device) ? index_of(device) : std::nullopt;
        index && !free_slots(document, *index, 1).empty())
      bus = index;
  const unsigned to = bus.value_or(first_free_bus(document));
  const auto slots = free_slots(document, to, 1);
  return std::string("; ") +
         (bus ? ""
              : "write <controller type='pci' index='" + std::to_string(to) +
                    "' model='pci-bridge'/> and ") +
         "move " + std::to_string(devices) + " other device" + (devices == 1 ? "" : "s") +
         " of pci.0 behind the bridge: <address type='pci' " + place_attributes(to, slots.front()) +
         "/>";
}

std::string what_to_write(const Document& document) {
  const PciRoot root = pci_root_of(document);
  if (root == PciRoot::pcie) {
    const unsigned bus = first_free_bus(document);
    return "; write " + port_text(bus) + " and, in the hostdev, <address type='pci' " +
           place_attributes(bus, 0) + "/>";
  }
  if (root != PciRoot::i440fx) return "";
  const auto slots = free_root_slots(document);
  if (slots.empty())
    return make_room(document, 1 - room_on_root(document)) +
           ", and remove the <address> of the hostdev";
  return "; write in the hostdev <address type='pci' " + place_attributes(0, slots.back()) + "/>";
}

}  // namespace gpuward
