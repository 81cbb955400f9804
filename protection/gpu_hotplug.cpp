// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/gpu_hotplug.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>

#include "base/text.hpp"
#include "domain/qemu_commandline.hpp"
#include "domain/qemu_override.hpp"

// What protect leaves in <gpuward:protected>:
//
//   <gpuward:port index='5' hotplug='' target='made' tag='opened' controller='made'/>
//     the controller with this index was closed: its hotplug was not written ('on': it was), its
//     <target> is ours, it was one tag, or it is itself ours
//   <gpuward:place bus='5' port='made' address='empty'/>
//     the GPU on this bus had no guest address, the port is ours, it had <address type='pci'/>

namespace gpuward {

namespace {

bool is_pci_controller(const Element& device) {
  return device.name == "controller" && device.name_space.empty() &&
         device.attribute("type") == "pci";
}

std::string_view model_of(const Element& controller) {
  return controller.attribute("model").value_or("");
}

/// libvirt gives index 0 to the machine's own bus, which may be written without one.
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

/// The guest's PCI address; nothing where libvirt is yet to choose one. All zeros mean that too.
std::optional<PciAddress> guest_address(const Element& device) {
  const Element* const address = device.child("address");
  if (!address || address->attribute("type").value_or("pci") != "pci") return {};
  const auto place = pci_address_of(*address);
  return place == PciAddress{} ? std::nullopt : place;
}

/// Whether the guest sees it on another bus than PCI, or not at all (type='unassigned').
bool is_elsewhere(const Element& device) {
  const Element* const address = device.child("address");
  return address && address->attribute("type").value_or("pci") != "pci";
}

/// Whether it names a place on PCI that does not exist: libvirt refuses the XML.
bool has_invalid_address(const Element& device) {
  const Element* const address = device.child("address");
  return address && !is_elsewhere(device) && !pci_address_of(*address);
}

const Element& element_of(const Document& document, const Hostdev& hostdev) {
  return devices_of(document)[hostdev.place];
}

/// An mdev of vfio-ccw or vfio-ap is no PCI device in the guest.
bool is_on_pci(const Document& document, const Hostdev& gpu) {
  const bool is_pci =
      gpu.type == Hostdev::Type::pci || gpu.model.empty() || gpu.model == "vfio-pci";
  return is_pci && !is_elsewhere(element_of(document, gpu));
}

bool is_port(std::string_view model) {
  return model == "pcie-root-port" || model == "pcie-switch-downstream-port";
}

/// Buses that QEMU gives no hot-plug.
bool is_fixed(std::string_view model) {
  return model == "pcie-root" || model == "dmi-to-pci-bridge" || model == "pcie-expander-bus" ||
         model == "pcie-switch-upstream-port";
}

bool is_closed(const Element& controller) {
  const Element* const target = controller.child("target");
  return target && target->attribute("hotplug") == "off";
}

/// The controllers from a bus up to the root, each with hot-plug that would remove what is on the
/// bus; or why one of them cannot be closed.
struct Path {
  std::vector<const Element*> ports;
  bool through_root = false;  ///< of i440fx, which the XML need not name
  std::string obstacle;
};

Path path_from(const Document& document, unsigned bus) {
  Path path;
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

/// For how many GPUs without a guest address there is room on pci.0 of machine type pc. As long as
/// there is no pci-bridge libvirt keeps a slot for one, and puts what has no room behind it
/// (qemu_domain_address.c, qemuDomainAssignPCIAddresses).
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

/// What its author is to write, so that its hot-plug can be switched off.
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

/// What else the port would no longer let go; "" for nothing.
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

std::string name_of(const Document& document, const Hostdev& gpu) {
  return "hostdev " + shown(gpu.alias.empty()
                                ? "at line " + std::to_string(element_of(document, gpu).line)
                                : gpu.alias);
}

/// A root bus that is open; its controller may be missing from XML that libvirt has not completed.
bool is_root_open(const Document& document) {
  const Element* const root = find_controller(document, 0);
  return !root || !is_closed(*root);
}

Gap gap(std::string element, int line, std::string text, bool can_be_fixed = true) {
  return {Guard::gpu_hotplug, line, std::move(element), std::move(text), can_be_fixed};
}

/// Where <qemu:override> gives the port hot-plug whatever its <target> says.
const Element* overridden_hotplug(const Document& document, const Element& port) {
  const Element* const own = port.child("alias");
  std::string alias(own ? own->attribute("name").value_or("") : "");
  if (!alias.starts_with("ua-"))  // qemuAssignDeviceControllerAlias
    alias = "pci." + std::to_string(index_of(port).value_or(0));
  return property_not_off(document, alias, "hotplug");
}

/// The property or argument for QEMU by which hot-plug on the way to the GPU stays on although the
/// XML disables it; null when there is none. libvirt disables that of i440fx's root with
/// `-global PIIX4_PM.acpi-root-pci-hotplug=off`, and QEMU takes the last `-global`.
const Element* find_override(const Document& document, const Path& path) {
  for (const Element* const port : path.ports)
    if (const Element* const property = overridden_hotplug(document, *port)) return property;
  const auto any = [](std::string_view) { return true; };
  return path.through_root ? argument_not_off(document, "acpi-root-pci-hotplug", any) : nullptr;
}

Gap override_gap(const std::string& name, const Element& setting) {
  return gap(
      name, setting.line,
      "GPU can be removed while the domain runs: <qemu:" + setting.name + "> sets " +
          (setting.name == "arg" ? "acpi-root-pci-hotplug of pci.0" : "hotplug of its PCI port") +
          ", '" + shown(setting.attribute("value").value_or("")) + "'",
      false);
}

/// Of a GPU for which libvirt is yet to choose a place; `number`: it is the first, second, ... one.
void add_gap_without_place(const Document& document, const Hostdev& gpu, int number,
                           std::vector<Gap>& gaps) {
  const std::string name = name_of(document, gpu);
  const PciRoot root = pci_root_of(document);
  if (root == PciRoot::pcie) {
    const std::string obstacle = path_from(document, 0).obstacle;  // where its port would be
    gaps.push_back(obstacle.empty() ? gap(name, gpu.line, "GPU has no PCI port with hot-plug off")
                                    : gap(name, gpu.line,
                                          "GPU can be removed while the domain runs: " + obstacle +
                                              what_to_write(document),
                                          false));
  }
  if (root != PciRoot::i440fx) return;
  if (const Element* const setting = find_override(document, path_from(document, 0)))
    return gaps.push_back(override_gap(name, *setting));
  const int missing = number - room_on_root(document);
  if (missing > 0)
    gaps.push_back(
        gap(name, gpu.line,
            "GPU could be removed while the domain runs: pci.0 has too few free slots, and "
            "libvirt puts the GPU behind a pci-bridge, whose hot-plug no XML switches "
            "off" +
                make_room(document, missing),
            false));
  else if (is_root_open(document))
    gaps.push_back(
        gap(name, gpu.line, "GPU can be removed while the domain runs: pci.0 has hot-plug"));
}

void add_gap_of(const Document& document, const std::vector<const Hostdev*>& gpus,
                const Hostdev& gpu, const PciAddress& address, std::vector<Gap>& gaps) {
  const std::string name = name_of(document, gpu);
  const Path path = path_from(document, address.bus);
  if (!path.obstacle.empty()) {
    gaps.push_back(
        gap(name, gpu.line,
            "GPU can be removed while the domain runs: " + path.obstacle + what_to_write(document),
            false));
    return;
  }
  if (const Element* const setting = find_override(document, path))
    return gaps.push_back(override_gap(name, *setting));
  const auto open = std::find_if(path.ports.begin(), path.ports.end(),
                                 [](const Element* port) { return !is_closed(*port); });
  if (open != path.ports.end()) {
    const std::string others =
        *open == path.ports.front() ? others_on(document, address.bus, gpus) : "";
    if (!others.empty())
      return gaps.push_back(gap(name, gpu.line,
                                "GPU shares a PCI port with " + others +
                                    ", whose hot-plug would be disabled too" +
                                    what_to_write(document),
                                false));
    gaps.push_back(gap(name, (*open)->line,
                       "GPU can be removed while the domain runs: PCI port " +
                           std::string((*open)->attribute("index").value_or("?")) +
                           " has hot-plug"));
  } else if (path.through_root && is_root_open(document)) {
    gaps.push_back(
        gap(name, gpu.line, "GPU can be removed while the domain runs: pci.0 has hot-plug"));
  }
}

/// With `strict`: where a GPU could be added.
void add_strict_gaps(const Document& document, std::vector<Gap>& gaps) {
  for (const Element& device : devices_of(document)) {
    if (!is_pci_controller(device)) continue;
    const std::string_view model = model_of(device);
    const std::string name =
        "PCI controller " + shown(std::string(device.attribute("index").value_or("?")));
    if (is_port(model) && !is_closed(device))
      gaps.push_back(gap(name, device.line, "devices can be added while the domain runs"));
    if (const Element* const property =
            is_port(model) ? overridden_hotplug(document, device) : nullptr)
      gaps.push_back(gap(name, property->line,
                         "devices can be added while the domain runs: <qemu:property> sets hotplug "
                         "of the port",
                         false));
    if (!model.empty() && !is_port(model) && !is_fixed(model) && model != "pci-root")
      gaps.push_back(gap(name, device.line,
                         "devices can be added while the domain runs, which XML cannot disable; "
                         "remove the " +
                             shown(model),
                         false));
  }
}

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
    const Path path = path_from(document, address ? address->bus : 0);
    ports.controllers.insert(path.ports.begin(), path.ports.end());
    ports.with_root = ports.with_root || path.through_root;
  }
  if (strict && has_gpu)
    for (const Element& device : devices_of(document))
      if (is_pci_controller(device) && is_port(model_of(device))) ports.controllers.insert(&device);
  return ports;
}

/// Where new text belongs that is to stand before a device.
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

std::string place_record(const GuestPlace& place) {
  return "place bus='" + std::to_string(place.bus) + '\'' +
         (place.with_port ? " port='made'" : "") + (place.with_empty ? " address='empty'" : "") +
         "/>";
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

std::vector<const Element*> records(const Element& record, std::string_view name) {
  std::vector<const Element*> found;
  for (const Element& each : record.children)
    if (is_ours(each, name)) found.push_back(&each);
  return found;
}

std::optional<unsigned> recorded_index(const Element& port) {
  return to_number<unsigned>(port.attribute("index").value_or(""));
}

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

/// The port that protect made for a place; null when it is gone.
const Element* made_port(const Document& document, const GuestPlace& place) {
  return place.with_port ? find_controller(document, place.bus) : nullptr;
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

PciRoot pci_root_of(const Document& document) {
  if (const Element* const root = find_controller(document, 0);
      root && model_of(*root) == "pcie-root")
    return PciRoot::pcie;
  const Element* const os = document.root.child("os");
  const Element* const type = os ? os->child("type") : nullptr;
  const auto machine = type ? type->attribute("machine").value_or("") : "";
  const auto arch = type ? type->attribute("arch").value_or("") : "";
  if (machine.find("q35") != machine.npos || machine.starts_with("virt")) return PciRoot::pcie;
  const bool is_x86 = arch.empty() || arch == "x86_64" || arch == "i686";
  if (is_x86 && (machine.empty() || machine.starts_with("pc"))) return PciRoot::i440fx;
  return PciRoot::unknown;
}

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

std::vector<OwnPort> open_ports_of_their_own(const Document& document,
                                             const std::vector<const Hostdev*>& gpus) {
  std::vector<OwnPort> found;
  std::set<unsigned> buses;
  if (pci_root_of(document) != PciRoot::pcie) return found;
  for (const Hostdev* const gpu : gpus) {
    if (!is_on_pci(document, *gpu)) continue;
    const auto address = guest_address(element_of(document, *gpu));
    if (!address || !buses.insert(address->bus).second) continue;
    const Path path = path_from(document, address->bus);
    if (!path.obstacle.empty() || path.ports.size() != 1 || is_closed(*path.ports.front()) ||
        find_override(document, path))
      continue;
    if (others_on(document, address->bus, {gpu}).empty())
      found.push_back({path.ports.front(), address->bus, gpu});
  }
  return found;
}

bool is_port_recorded(const Element& record, unsigned index) {
  const auto ports = records(record, "port");
  const auto places = guest_places(record);
  return std::any_of(ports.begin(), ports.end(),
                     [&](const Element* port) { return recorded_index(*port) == index; }) ||
         std::any_of(places.begin(), places.end(),
                     [&](const GuestPlace& place) { return place.bus == index; });
}

void find_gpu_hotplug_gaps(const GapSearch& search, std::vector<Gap>& gaps) {
  const Document& document = search.document;
  bool has_gpu = false;
  int without_place = 0;
  for (const Hostdev* const gpu : search.gpus) {
    if (!is_on_pci(document, *gpu)) continue;
    has_gpu = true;
    const Element& element = element_of(document, *gpu);
    if (has_invalid_address(element))
      gaps.push_back(gap(name_of(document, *gpu), gpu->line,
                         "guest <address> is not a PCI address: domain, bus, slot or function is "
                         "not a number or too large",
                         false));
    else if (const auto address = guest_address(element))
      add_gap_of(document, search.gpus, *gpu, *address, gaps);
    else
      add_gap_without_place(document, *gpu, ++without_place, gaps);
  }
  if (search.policy.gpu_hotplug_strict && has_gpu) add_strict_gaps(document, gaps);
}

std::vector<GuestPlace> guest_places(const Element& record) {
  std::vector<GuestPlace> places;
  for (const Element* const place : records(record, "place"))
    if (const auto bus = to_number<unsigned>(place->attribute("bus").value_or(""));
        bus && *bus > 0 && *bus < 256)
      places.push_back(
          {*bus, place->attribute("port") == "made", place->attribute("address") == "empty"});
  return places;
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
