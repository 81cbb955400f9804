// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "protection/gpu_hotplug_record.hpp"
#include "protection/pci_controllers.hpp"
#include "protection/pci_ports.hpp"
#include "protection/protect_work.hpp"

namespace gpuward {

namespace {

void restore_target(DomainEdit& edit, const Element& controller, const Element& record) {
  const Element& target = *controller.child("target");
  const bool is_as_made = target.attributes.size() == 1 && target.children.empty();
  if (record.attribute("target") == "made" && is_as_made) {
    edit.remove_from(controller, {&target}, record.attribute("tag") == "opened");
  } else if (record.attribute("hotplug") == "on") {
    edit.set_attribute(target, "hotplug", "on");
  } else {
    edit.remove_attribute(target, "hotplug");
  }
}

/// Opens a port that protect closed, unless it is in `gone`.
void open_port(DomainEdit& edit, const Element& record, const std::set<const Element*>& gone) {
  const auto index = recorded_index(record);
  const Element* const controller = index ? find_controller(edit.document, *index) : nullptr;
  if (!controller || gone.contains(controller) || !is_closed(*controller)) return;
  if (record.attribute("controller") == "made")
    edit.remove(*controller);
  else
    restore_target(edit, *controller, record);
}

/// The hostdev that protect put there; null when someone has moved it since.
const Element* device_at(const Document& document, const GuestPlace& place) {
  for (const Element& device : devices_of(document))
    if (device.name == "hostdev" && device.name_space.empty() &&
        guest_address(device) == PciAddress{0, static_cast<uint8_t>(place.bus), 0, 0})
      return &device;
  return nullptr;
}

void remove_address(DomainEdit& edit, const Element& device, const GuestPlace& place) {
  const Element& address = *device.child("address");
  if (!place.with_empty) return edit.remove(address);
  for (const char* const name : {"domain", "bus", "slot", "function"})
    edit.remove_attribute(address, name);
}

/// The other hostdevs in the slot of a place: a reassignment in place put a card's companions there
/// (attach/assign.cpp). A guest looks for them only where the slot has a function 0.
std::vector<const Element*> companions_at(const Document& document, const GuestPlace& place) {
  std::vector<const Element*> companions;
  for (const Element& device : devices_of(document)) {
    const auto address = guest_address(device);
    if (device.name == "hostdev" && device.name_space.empty() && address && address->domain == 0 &&
        address->bus == place.bus && address->slot == 0 && address->function != 0)
      companions.push_back(&device);
  }
  return companions;
}

bool is_bus_used(const Document& document, unsigned bus, const std::set<const Element*>& without) {
  const auto& devices = devices_of(document);
  return std::any_of(devices.begin(), devices.end(), [&](const Element& device) {
    const auto address = guest_address(device);
    return address && address->bus == bus && !without.contains(&device);
  });
}

/// The ports of `places` that can be removed: from the last index down, as libvirt fills a gap.
std::set<const Element*> ports_to_remove(const Document& document,
                                         const std::vector<GuestPlace>& places,
                                         const std::set<const Element*>& moving) {
  std::set<unsigned> made;
  for (const GuestPlace& place : places)
    if (place.with_port) made.insert(place.bus);
  std::vector<std::pair<unsigned, const Element*>> controllers;
  for (const Element& device : devices_of(document))
    if (const auto index = is_pci_controller(device) ? index_of(device) : std::nullopt)
      controllers.push_back({*index, &device});
  std::sort(controllers.rbegin(), controllers.rend());
  std::set<const Element*> going;
  for (const auto& [index, controller] : controllers) {
    if (!made.contains(index) || is_bus_used(document, index, moving)) break;
    going.insert(controller);
  }
  return going;
}

/// Takes the addresses and ports of these places away; which ports those are.
std::set<const Element*> take_places_away(DomainEdit& edit, const std::vector<GuestPlace>& places) {
  std::set<const Element*> moving;
  for (const GuestPlace& place : places)
    if (const Element* const device = device_at(edit.document, place)) {
      remove_address(edit, *device, place);
      moving.insert(device);
      const auto companions = companions_at(edit.document, place);
      for (const Element* const companion : companions) edit.remove(*companion->child("address"));
      if (!companions.empty() && place.with_empty)
        edit.remove_attribute(*device->child("address"), "multifunction");
      moving.insert(companions.begin(), companions.end());
    }
  auto going = ports_to_remove(edit.document, places, moving);
  for (const Element* const port : going) edit.remove(*port);
  return going;
}

/// The port of a place has no record of its own; left behind, it gets its hot-plug back.
void open_places(DomainEdit& edit, const std::vector<GuestPlace>& places,
                 const std::set<const Element*>& gone) {
  for (const GuestPlace& place : places) {
    const Element* const port = made_port(edit.document, place);
    if (port && !gone.contains(port) && is_closed(*port))
      edit.remove_attribute(*port->child("target"), "hotplug");
  }
}

/// The buses that the devices of these GPUs are on.
std::set<unsigned> buses_of(const DomainEdit& edit, const std::vector<std::string>& aliases) {
  std::set<unsigned> buses;
  for (const Hostdev& hostdev : edit.domain.hostdevs) {
    const std::string alias(gpu_alias(hostdev.alias));
    if (std::find(aliases.begin(), aliases.end(), alias) == aliases.end()) continue;
    if (const auto address = guest_address(element_of(edit.document, hostdev)))
      buses.insert(address->bus);
  }
  return buses;
}

}  // namespace

void open_gpu_hotplug(DomainEdit& edit, const Element& record, Undo undo) {
  std::set<const Element*> gone;
  if (undo == Undo::everything) {
    const auto places = guest_places(record);
    gone = take_places_away(edit, places);
    open_places(edit, places, gone);
  }
  for (const Element* const port : records(record, "port")) open_port(edit, *port, gone);
}

void open_gpu_hotplug_of(DomainEdit& edit, const Element* recorded,
                         const std::vector<std::string>& aliases) {
  if (!recorded) return;
  const Element& record = *recorded;
  const std::set<unsigned> buses = buses_of(edit, aliases);
  std::vector<GuestPlace> places = guest_places(record);
  std::erase_if(places, [&](const GuestPlace& place) {
    return !buses.contains(place.bus) && device_at(edit.document, place);
  });
  const auto gone = take_places_away(edit, places);
  for (const Element* const place : records(record, "place")) {
    const auto bus = to_number<unsigned>(place->attribute("bus").value_or(""));
    const Element* const port = bus ? find_controller(edit.document, *bus) : nullptr;
    if (port && gone.contains(port)) edit.remove(*place);
  }
  if (record.attribute("gpu-hotplug") == "strict") return;
  for (const Element* const port : records(record, "port")) {
    const auto index = recorded_index(*port);
    if (!index || *index == 0 || !buses.contains(*index)) continue;
    open_port(edit, *port, gone);
    edit.remove(*port);
  }
}

}  // namespace gpuward
