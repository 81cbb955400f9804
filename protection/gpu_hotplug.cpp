// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/gpu_hotplug.hpp"

#include <algorithm>
#include <set>

#include "protection/gpu_hotplug_record.hpp"
#include "protection/pci_controllers.hpp"
#include "protection/pci_ports.hpp"
#include "protection/pci_root.hpp"

namespace gpuward {

namespace {

/// The ports, and whether the root bus, that are to be closed or are closed already.
struct Ports {
  std::set<const Element*> controllers;
  bool with_root = false;
};

Ports ports_of(const Document& document, const std::vector<const Hostdev*>& gpus, bool strict) {
  Ports ports;
  bool has_gpu = false;
  for (const Hostdev* const gpu : gpus) {
    if (!is_on_pci(document, *gpu)) continue;
    has_gpu = true;
    const auto address = guest_address(element_of(document, *gpu));
    if (!address && pci_root_of(document) == PciRoot::pcie) continue;
    const PciPath path = path_from(document, address ? address->bus : 0);
    ports.controllers.insert(path.ports.begin(), path.ports.end());
    ports.with_root = ports.with_root || path.through_root;
  }
  if (strict && has_gpu)
    for (const Element& device : devices_of(document))
      if (is_pci_controller(device) && is_port(model_of(device))) ports.controllers.insert(&device);
  return ports;
}

/// Where new text belongs that is to precede a device.
size_t place_before(const DomainEdit& edit, size_t number) {
  return number == 0 ? edit.devices().inside : edit.device_list()[number - 1].whole.end;
}

void close_root(ProtectWork& work, const Hostdev& first_gpu) {
  if (const Element* const root = find_controller(work.edit.document, 0))
    return close_port(work, *root);
  work.edit.insert(place_before(work.edit, first_gpu.place),
                   "\n    <controller type='pci' index='0' model='pci-root'>"
                   "\n      <target hotplug='off'/>"
                   "\n    </controller>");
  work.add_record("port index='0' hotplug='' controller='made'/>");
}

/// A GPU without a guest address gets a port of its own: libvirt would give it one with hot-plug.
void give_place(ProtectWork& work, const Hostdev& gpu, unsigned bus) {
  const Element& element = element_of(work.edit.document, gpu);
  const Element* const address = element.child("address");
  work.edit.insert(place_before(work.edit, gpu.place), "\n    <controller type='pci' index='" +
                                                           std::to_string(bus) +
                                                           "' model='pcie-root-port'>"
                                                           "\n      <target hotplug='off'/>"
                                                           "\n    </controller>");
  if (!address)
    work.edit.append(element, "\n      <address type='pci' " + place_attributes(bus, 0) + "/>", "");
  else
    for (const auto& [name, value] : {std::pair<const char*, std::string>{"domain", "0x0000"},
                                      {"bus", hexadecimal(bus)},
                                      {"slot", "0x00"},
                                      {"function", "0x0"}})
      work.edit.set_attribute(*address, name, value);
  work.add_record(place_record({bus, true, address != nullptr}));
}

}  // namespace

void close_port(ProtectWork& work, const Element& controller) {
  if (is_closed(controller)) return;
  std::string record = "port index='" + std::to_string(index_of(controller).value_or(0)) + '\'';
  if (const Element* const target = controller.child("target")) {
    record += " hotplug='" + escaped(target->attribute("hotplug").value_or("")) + '\'';
    work.edit.set_attribute(*target, "hotplug", "off");
  } else {
    record += " hotplug='' target='made'";
    if (work.edit.document.is_one_tag(controller)) record += " tag='opened'";
    // libvirt writes <model> before <target>; it accepts any order
    work.edit.insert_inside(controller, "\n      <target hotplug='off'/>", "\n    ");
  }
  work.add_record(record + "/>");
}

void close_gpu_hotplug(ProtectWork& work) {
  const Document& document = work.edit.document;
  const bool strict = work.policy.gpu_hotplug_strict;
  if (strict) work.attributes += " gpu-hotplug='strict'";
  unsigned bus = first_free_bus(document);
  const Hostdev* first = nullptr;
  for (const Hostdev* const gpu : work.gpus) {
    if (!is_on_pci(document, *gpu)) continue;
    if (!first) first = gpu;
    if (pci_root_of(document) == PciRoot::pcie && !guest_address(element_of(document, *gpu)))
      give_place(work, *gpu, bus++);
  }
  const Ports ports = ports_of(document, work.gpus, strict);
  const auto is_place = [&](const Element& port) {
    return std::any_of(work.places.begin(), work.places.end(), [&](const GuestPlace& place) {
      return made_port(document, place) == &port;
    });
  };
  for (const Element& device : devices_of(document))
    if (ports.controllers.contains(&device) && !is_place(device)) close_port(work, device);
  if (ports.with_root && first && is_root_open(document)) close_root(work, *first);
}

void keep_places(ProtectWork& work) {
  const bool closed = work.policy.gpu_hotplug == Policy::block;
  for (const GuestPlace& place : work.places) {
    work.add_record(place_record(place));
    const Element* const port = made_port(work.edit.document, place);
    const Element* const target = port ? port->child("target") : nullptr;
    if (!target || is_closed(*port) == closed) continue;
    if (closed)
      work.edit.set_attribute(*target, "hotplug", "off");
    else
      work.edit.remove_attribute(*target, "hotplug");
  }
}

bool closes_other_ports(const Protected& closed) {
  const Document& document = closed.document;
  const Element& record = closed.record;
  const GuardPolicy& policy = closed.policy;
  const auto places = guest_places(record);
  if (policy.gpu_hotplug != Policy::block)
    return !records(record, "port").empty() ||
           std::any_of(places.begin(), places.end(), [&](const GuestPlace& place) {
             return made_port(document, place) && is_closed(*made_port(document, place));
           });
  if (record.attribute("gpu-hotplug") == "strict" && !policy.gpu_hotplug_strict) return true;
  std::vector<const Hostdev*> hostdevs;
  for (const Hostdev& hostdev : closed.domain.hostdevs) hostdevs.push_back(&hostdev);
  const Ports ports = ports_of(document, hostdevs, policy.gpu_hotplug_strict);
  for (const Element* const port : records(record, "port")) {
    const auto index = recorded_index(*port);
    const Element* const controller = index ? find_controller(document, *index) : nullptr;
    if (!controller) continue;
    if (*index == 0 ? !ports.with_root : !ports.controllers.contains(controller)) return true;
  }
  return false;
}

}  // namespace gpuward
