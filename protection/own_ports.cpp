// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/own_ports.hpp"

#include <algorithm>
#include <set>

#include "protection/pci_controllers.hpp"
#include "protection/pci_ports.hpp"
#include "protection/pci_root.hpp"

namespace gpuward {

namespace {

/// Whether both are functions of one device of the host.
bool is_same_card(const Document& document, const Element& device, const Hostdev& gpu) {
  const Element* const source = device.name == "hostdev" ? device.child("source") : nullptr;
  const Element* const address = source ? source->child("address") : nullptr;
  const auto other = address ? pci_address_of(*address) : std::nullopt;
  if (&device == &element_of(document, gpu)) return true;
  return gpu.address && other && device.attribute("type") == "pci" &&
         other->domain == gpu.address->domain && other->bus == gpu.address->bus &&
         other->slot == gpu.address->slot;
}

}  // namespace

std::string others_on(const Document& document, unsigned bus,
                      const std::vector<const Hostdev*>& gpus) {
  for (const Element& device : devices_of(document)) {
    const auto address = guest_address(device);
    if (!address || address->bus != bus) continue;
    if (std::none_of(gpus.begin(), gpus.end(),
                     [&](const Hostdev* gpu) { return is_same_card(document, device, *gpu); }))
      return device.name + " (line " + std::to_string(device.line) + ")";
  }
  return "";
}

std::vector<OwnPort> open_ports_of_their_own(const Document& document,
                                             const std::vector<const Hostdev*>& gpus) {
  std::vector<OwnPort> found;
  std::set<unsigned> buses;
  if (pci_root_of(document) != PciRoot::pcie) return found;
  for (const Hostdev* const gpu : gpus) {
    if (!is_on_pci(document, *gpu)) continue;
    const auto address = guest_address(element_of(document, *gpu));
    if (!address || !buses.insert(address->bus).second) continue;
    const PciPath path = path_from(document, address->bus);
    if (!path.obstacle.empty() || path.ports.size() != 1 || is_closed(*path.ports.front()) ||
        find_override(document, path))
      continue;
    if (others_on(document, address->bus, {gpu}).empty())
      found.push_back({path.ports.front(), address->bus, gpu});
  }
  return found;
}

}  // namespace gpuward
