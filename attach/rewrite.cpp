// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/rewrite.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "attach/console.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "domain/device_names.hpp"
#include "domain/guest_pci.hpp"
#include "domain/xml_edit.hpp"
#include "protection/protect.hpp"

// What attach leaves in a domain:
//
//   <metadata>
//     <gpuward:domain xmlns:gpuward='urn:gpuward:domain:1' metadata='made' pci-controllers='5'>
//       <gpuward:gpu alias='ua-gpuward-0' profile='small'/>
//       <gpuward:gpu alias='ua-gpuward-1' profile='Tesla M60' use='whole' device='10de:13f2'/>
//     </gpuward:domain>
//   </metadata>
//
// and one hostdev for each gpu; <gpuward:console> and <gpuward:protected> are told of in
// console.cpp and protect.cpp. A gpu with use='...' is of a request that names no profile: profile
// is its text, the attributes after it what serves it; with of='profile' it is of a profile that
// requests memory; of both memory='4096' (MiB), compute='25' (percent) and graphics='yes' say what
// it has as far as that is known. A gpu with console='off' keeps the console out. The attributes of
// gpuward:domain tell detach what else to put back:
//   metadata='made'      <metadata> is attach's own
//   metadata='opened'    it was <metadata/>, which libvirt keeps
//   devices='opened'     it was <devices/>, which only hand-written XML has
//   pci-controllers='5'  libvirt gives a new device on q35 a new pcie-root-port, on pc a pci-bridge
//                        when all slots are taken. It numbers its controllers without gaps, so
//                        those from 5 on came later, and go with the last GPU unless another
//                        device sits on them.
//   single-ports='0000:00:01.0'
//                        libvirt may put the new root port into the slot of another one, which then
//                        gets multifunction='on'; these had no such attribute, and lose it again.
//   owner='team-a'       whose GPUs these are, for quotas; removed with the last GPU.

namespace gpuward {

namespace {

const GpuRequest* find_request(const Domain& domain, std::string_view alias) {
  for (const GpuRequest& gpu : domain.requests)
    if (gpu.alias == alias) return &gpu;
  return nullptr;
}

/// Any <hostdev>, also of kinds that Domain does not list.
bool is_hostdev(const Element& element) {
  return element.name == "hostdev" && element.name_space.empty();
}

std::string_view alias_of(const Element& device) {
  const Element* const alias = device.child("alias");
  return alias ? alias->attribute("name").value_or("") : "";
}

/// The <address> in the <source> of a hostdev that has one.
const Element& source_address(const DomainEdit& edit, const Hostdev& hostdev) {
  return *edit.devices().children[hostdev.place].child("source")->child("address");
}

std::string free_alias(const Domain& domain) {
  for (int number = 0; number <= 9999; ++number) {
    std::string alias(alias_prefix);
    alias += std::to_string(number);
    if (!find_request(domain, alias) && !find_hostdev(domain, alias)) return alias;
  }
  throw Error(domain_title(domain.name), "no alias available for another GPU");
}

/// libvirt writes devices of these kinds before hostdevs (virDomainDefFormat), all others behind.
/// Where it is in hand-written XML does not matter to libvirt.
bool comes_before_hostdevs(const Element& device) {
  static constexpr std::array names = {
      "emulator",  "disk",     "controller", "lease",   "filesystem", "interface",
      "smartcard", "serial",   "parallel",   "console", "channel",    "input",
      "tpm",       "graphics", "sound",      "audio",   "video",      "hostdev"};
  return std::find(names.begin(), names.end(), device.name) != names.end();
}

/// display and ramfb are not written: libvirt puts in what its QEMU needs.
std::string mdev_text(const Domain& domain, const std::string& alias, const std::string& model) {
  return "\n    <hostdev mode='subsystem' type='mdev' managed='no' model='" + model +
         "'>"
         "\n      <source>"
         "\n        <address uuid='" +
         to_string(instance_uuid(domain.uuid, alias)) +
         "'/>"
         "\n      </source>"
         "\n      <alias name='" +
         alias +
         "'/>"
         "\n    </hostdev>";
}

void insert_devices(DomainEdit& edit, const std::string& text) {
  const Element& devices = edit.devices();
  const Element* before = nullptr;
  for (const Element& device : devices.children)
    if (is_hostdev(device) || (comes_before_hostdevs(device) && !(before && is_hostdev(*before))))
      before = &device;
  if (before)
    edit.insert(before->whole.end, text);
  else
    edit.insert_inside(devices, text, "\n  ");
}

void insert_mdev(DomainEdit& edit, const std::string& alias, const std::string& model) {
  insert_devices(edit, mdev_text(edit.domain, alias, model));
}

std::string address_attributes(const PciAddress& address) {
  char text[80];
  std::snprintf(text, sizeof text, "domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'",
                address.domain, address.bus, address.slot, address.function);
  return text;
}

/// Where in the guest the functions of one card are put together, and a controller for them where
/// one is needed: libvirt by itself gives each hostdev a slot of its own.
struct GuestSlot {
  PciAddress address;
  std::string controller;
};

GuestSlot free_guest_slot(const DomainEdit& edit) {
  if (has_pcie_root(edit.document)) {
    const unsigned index = next_pci_controller(edit.devices().children);
    if (index > 0xff) throw Error(domain_title(edit.domain.name), "no PCI bus available");
    return {{0, static_cast<uint8_t>(index), 0, 0},
            "\n    <controller type='pci' index='" + std::to_string(index) +
                "' model='pcie-root-port'/>"};
  }
  const auto slot = free_pci_slot(edit.devices().children);
  if (!slot) throw Error(domain_title(edit.domain.name), "no PCI slot available");
  return {*slot, ""};
}

std::string pci_text(const std::string& alias, Use use, const PciAddress& function,
                     const std::string& guest_address) {
  return std::string("\n    <hostdev mode='subsystem' type='pci' managed='") +
         (traits_of(use).keeps_driver ? "no" : "yes") +
         "'>"
         "\n      <source>"
         "\n        <address " +
         address_attributes(function) +
         "/>"
         "\n      </source>"
         "\n      <alias name='" +
         alias + "'/>" + guest_address + "\n    </hostdev>";
}

std::string alias_of_function(const std::string& alias, const PciAddress& function, bool is_first) {
  return is_first ? alias : alias + '-' + std::to_string(function.function);
}

void insert_at(DomainEdit& edit, const std::string& alias, Use use,
               const std::vector<PciAddress>& functions, GuestSlot guest) {
  std::string text = guest.controller;
  for (size_t i = 0; i < functions.size(); ++i) {
    guest.address.function = static_cast<uint8_t>(i);
    text += pci_text(alias_of_function(alias, functions[i], i == 0), use, functions[i],
                     "\n      <address type='pci' " + address_attributes(guest.address) +
                         (i == 0 && functions.size() > 1 ? " multifunction='on'/>" : "/>"));
  }
  insert_devices(edit, text);
}

void insert_functions(DomainEdit& edit, const std::string& alias, Use use,
                      const std::vector<PciAddress>& functions) {
  if (functions.size() == 1)
    return insert_devices(edit, pci_text(alias, use, functions.front(), ""));
  insert_at(edit, alias, use, functions, free_guest_slot(edit));
}

/// The guest's slot that only these hostdevs of a GPU are in: the guest finds the next device
/// there.
std::optional<PciAddress> own_guest_slot(const Element& devices,
                                         const std::vector<const Element*>& hostdevs) {
  if (hostdevs.empty()) return {};
  const auto slot = guest_address_of(*hostdevs.front());
  if (!slot) return {};
  for (const Element& device : devices.children) {
    const auto place = guest_address_of(device);
    const bool is_there = place && place->domain == slot->domain && place->bus == slot->bus &&
                          place->slot == slot->slot;
    const bool is_own = std::find(hostdevs.begin(), hostdevs.end(), &device) != hostdevs.end();
    if (is_there != is_own) return {};
  }
  return slot;
}

/// What detach of the last GPU needs to know, as attributes of <gpuward:domain>.
std::vector<std::pair<std::string, std::string>> before_first_gpu(const DomainEdit& edit) {
  std::vector<std::pair<std::string, std::string>> attributes;
  if (edit.document.is_one_tag(edit.devices())) attributes.push_back({"devices", "opened"});
  attributes.push_back(
      {"pci-controllers", std::to_string(next_pci_controller(edit.devices().children))});
  std::string ports;
  for (const PciAddress& port : single_ports(edit.devices().children))
    ports += (ports.empty() ? "" : " ") + to_string(port);
  if (!ports.empty()) attributes.push_back({"single-ports", ports});
  return attributes;
}

std::string number_text(const std::optional<unsigned>& number) {
  return number ? std::to_string(*number) : "";
}

/// What serves a request, as attributes of <gpuward:gpu>; "" without one.
std::vector<std::pair<const char*, std::string>> settled_attributes(const SettledRequest& settled) {
  const Granted& granted = settled.granted;
  return {{"use", std::string(use_word(settled.use))},
          {"type", settled.type},
          {"device", settled.device},
          {"of", settled.of_profile ? "profile" : ""},
          {"memory", number_text(granted.memory_mib)},
          {"compute", number_text(granted.compute_percent)},
          {"graphics", !granted.has_graphics   ? ""
                       : *granted.has_graphics ? "yes"
                                               : "no"}};
}

std::string settled_text(const std::optional<SettledRequest>& settled) {
  std::string text;
  if (!settled) return text;
  for (const auto& [name, value] : settled_attributes(*settled))
    if (!value.empty()) text += std::string(" ") + name + "='" + value + '\'';
  return text;
}

void insert_asked(DomainEdit& edit, const std::string& alias, const GpuToAttach& gpu) {
  const std::string text = "\n      <" + our_prefix(edit) + "gpu alias='" + alias + "' profile='" +
                           escaped(gpu.profile) + '\'' + settled_text(gpu.settled) +
                           (gpu.console ? "" : " console='off'") + "/>";
  std::string attributes;
  if (edit.domain.requests.empty())
    for (const auto& [name, value] : before_first_gpu(edit)) {
      if (edit.ours())
        edit.set_attribute(*edit.ours(), name, value);
      else
        attributes += ' ' + name + "='" + value + '\'';
    }
  add_to_ours(edit, text, attributes);
}

/// Whether a device other than those in `removal` has its guest address on this PCI bus.
bool is_bus_used(const Element& devices, unsigned bus, const std::vector<const Element*>& removal) {
  return std::any_of(devices.children.begin(), devices.children.end(), [&](const Element& device) {
    const Element* const address = device.child("address");
    if (!address || address->attribute("type") != "pci") return false;
    if (std::find(removal.begin(), removal.end(), &device) != removal.end()) return false;
    const auto place = pci_address_of(*address);
    return !place || place->bus == bus;
  });
}

/// Whether a device in `removal` has its guest address on this PCI bus.
bool is_on_bus(const std::vector<const Element*>& removal, unsigned bus) {
  return std::any_of(removal.begin(), removal.end(), [&](const Element* device) {
    const auto place = guest_address_of(*device);
    return place && place->bus == bus;
  });
}

/// How many PCI controllers libvirt has for these devices, the machine's own included.
unsigned count_pci_controllers(const std::vector<Element>& devices) {
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

/// Adds the PCI controllers that came after attach and are of no use without the devices in
/// `removal`. From the last one down: libvirt would fill a gap between two. Those that are not
/// under these devices only as far as there are more than before: it may be that libvirt has given
/// the numbers otherwise than attach expected.
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

/// Whether detach of `wanted`, or of all where it is empty, means this one.
bool matches_alias(std::string_view alias, std::string_view wanted) {
  return alias.starts_with(alias_prefix) && (wanted.empty() || gpu_alias(alias) == wanted);
}

std::vector<const Element*> gpus_to_detach(const Element& ours, std::string_view wanted) {
  std::vector<const Element*> gpus;
  for (const Element& element : ours.children)
    if (element.name == "gpu" && element.name_space == domain_namespace &&
        matches_alias(element.attribute("alias").value_or(""), wanted))
      gpus.push_back(&element);
  return gpus;
}

std::vector<const Element*> hostdevs_to_detach(const Element& devices, std::string_view wanted) {
  std::vector<const Element*> hostdevs;
  for (const Element& element : devices.children)
    if (is_hostdev(element) && matches_alias(alias_of(element), wanted))
      hostdevs.push_back(&element);
  return hostdevs;
}

/// Whether a GPU that stays was attached by a profile with console = off.
bool keeps_console_out(const Element& ours, const std::vector<const Element*>& removal) {
  return std::any_of(ours.children.begin(), ours.children.end(), [&](const Element& gpu) {
    return gpu.name == "gpu" && gpu.name_space == domain_namespace &&
           gpu.attribute("console") == "off" &&
           std::find(removal.begin(), removal.end(), &gpu) == removal.end();
  });
}

/// What a detach takes out.
struct Removal {
  std::vector<const Element*> gpus;     ///< of our metadata
  std::vector<const Element*> devices;  ///< hostdevs, and controllers that came with them
  bool are_all = false;
};

Removal find_removal(const DomainEdit& edit, std::string_view alias) {
  Removal removal;
  const Element* const ours = edit.ours();
  const Element* const devices = edit.document.root.child("devices");
  if (ours) removal.gpus = gpus_to_detach(*ours, alias);
  if (devices) removal.devices = hostdevs_to_detach(*devices, alias);
  removal.are_all = removal.gpus.size() == edit.domain.requests.size();
  if (!ours || !devices || !removal.are_all) return removal;
  const auto count = to_number<unsigned>(ours->attribute("pci-controllers").value_or(""));
  if (count) add_controllers_to(removal.devices, *devices, *count);
  return removal;
}

std::vector<PciAddress> guest_addresses(const std::vector<const Element*>& devices) {
  std::vector<PciAddress> addresses;
  for (const Element* const device : devices)
    if (const auto place = guest_address_of(*device)) addresses.push_back(*place);
  return addresses;
}

/// Undoes what was done for GPUs that go, besides the GPUs themselves.
std::string without_edits_for(std::string_view xml, std::string_view alias) {
  const DomainEdit edit(xml);
  const Element* const ours = edit.ours();
  const Removal removal = find_removal(edit, alias);
  std::vector<std::string> aliases;
  for (const Element* const gpu : removal.gpus)
    aliases.emplace_back(gpu->attribute("alias").value_or(""));
  // protect writes of each hostdev by its own alias: ua-gpuward-0-1 is the card's second function
  for (const Element* const device : removal.devices)
    if (is_hostdev(*device)) aliases.emplace_back(alias_of(*device));
  if (!ours) return unprotect_devices(xml, aliases);

  // In the reverse order of attach: the console's place is counted in elements, and protect may
  // have added a controller since.
  std::string text = removal.are_all && !is_protected_explicitly(edit.document)
                         ? unprotect(xml)
                         : unprotect_devices(xml, aliases);
  if (keeps_console_out(*ours, removal.gpus)) return text;
  return put_console_back(text, guest_addresses(removal.devices));
}

/// "aliases of its GPUs: ua-gpuward-0, ua-gpuward-1"
static std::string aliases_of(const DomainEdit& edit) {
  std::string text;
  for (const GpuRequest& gpu : edit.domain.requests)
    text += (text.empty() ? "aliases of its GPUs: " : ", ") + gpu.alias;
  return text;
}

/// Undoes what libvirt did to root ports that were alone in their slot before attach.
void restore_single_ports(DomainEdit& edit, const Element& ours,
                          const std::vector<const Element*>& removal) {
  std::set<PciAddress> ports;
  for (const std::string_view text : split(ours.attribute("single-ports").value_or(""), ' '))
    if (const auto port = parse_pci_address(text)) ports.insert(*port);
  for (const PciAddress& port : ports)
    if (const Element* const address = needless_multifunction(edit.device_list(), port, removal))
      edit.remove_attribute(*address, "multifunction");
}

std::string without_gpus(std::string_view xml, std::string_view alias) {
  DomainEdit edit(xml);
  const Element* const ours = edit.ours();
  const Removal removal = find_removal(edit, alias);
  if (!alias.empty() && removal.gpus.empty() && removal.devices.empty())
    throw Error(domain_title(edit.domain.name), "no GPU with alias " + shown(alias),
                aliases_of(edit));

  if (ours && removal.are_all) restore_single_ports(edit, *ours, removal.devices);
  if (ours && removal.are_all && removal.gpus.size() < ours->children.size())
    for (const char* name : {"devices", "pci-controllers", "single-ports", "owner"})
      edit.remove_attribute(*ours, name);
  remove_from_ours(edit, removal.gpus);
  const bool was_one_tag = ours && ours->attribute("devices") == "opened";
  if (!removal.devices.empty()) edit.remove_from(edit.devices(), removal.devices, was_one_tag);
  return edit.result();
}

void require_pci(const DomainEdit& edit) {
  const auto machine = machine_without_pci(edit.document);
  if (!machine.empty())
    throw Error(
        domain_title(edit.domain.name),
        "machine type '" + shown(machine) + "' has no PCI bus for a GPU",
        "set another machine type, such as q35: virsh edit " + shell_word(edit.domain.name));
}

}  // namespace

std::string attach_gpu(std::string_view xml, const GpuToAttach& gpu) {
  const bool is_profile = names_profile({{}, gpu.profile, gpu.settled});
  if (is_profile ? !is_profile_name(gpu.profile) : !is_request_text(gpu.profile))
    throw Error("'" + shown(gpu.profile) + "'",
                "not a profile name: only letters, digits and _.+- are allowed");
  DomainEdit edit(xml);
  require_pci(edit);
  if (!gpu.console) take_console_out(xml);  // an error names a line of the XML as its author has it
  const std::string alias = free_alias(edit.domain);
  insert_asked(edit, alias, gpu);
  if (is_mediated(gpu.use))
    insert_mdev(edit, alias, gpu.model);
  else
    insert_functions(edit, alias, gpu.use, gpu.functions);
  const std::string with_gpu = edit.result();
  std::string result = gpu.console ? with_gpu : take_console_out(with_gpu);
  require_same_devices(xml, result);
  return result;
}

std::string set_owner(std::string_view xml, const std::string& owner) {
  if (!is_owner_name(owner))
    throw Error("'" + shown(owner) + "'",
                "not an owner: only letters, digits and _.+-@ are allowed");
  DomainEdit edit(xml);
  if (!edit.ours() || edit.domain.requests.empty())
    throw Error(
        domain_title(edit.domain.name), "requests no GPU",
        "run: gpuward attach " + shell_word(edit.domain.name) + " REQUEST --owner " + owner);
  edit.set_attribute(*edit.ours(), "owner", owner);
  return edit.result();
}

/// A clone has its own UUID, but its twin's hostdevs.
static void mend_hostdev(DomainEdit& edit, const Hostdev& hostdev) {
  const Uuid wanted = instance_uuid(edit.domain.uuid, hostdev.alias);
  if (hostdev.type != Hostdev::Type::mdev || hostdev.instance == wanted) return;
  const Element& address = source_address(edit, hostdev);
  if (const auto span = edit.document.value_span(address, "uuid"))
    edit.replace(*span, to_string(wanted));
}

std::string update_instance_uuids(std::string_view xml, const IsMdev& is_mdev) {
  DomainEdit edit(xml);
  const Domain& domain = edit.domain;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.alias.starts_with(alias_prefix) && !find_request(domain, gpu_alias(hostdev.alias)))
      throw Error(domain_title(domain.name) + ": hostdev " + hostdev.alias,
                  "not in gpuward's metadata (line " + std::to_string(hostdev.line) + ")",
                  "run: gpuward detach " + shell_word(domain.name) + " " + hostdev.alias +
                      ", then attach a GPU again");
  for (const GpuRequest& gpu : domain.requests) {
    if (!is_mdev(gpu)) continue;
    if (const Hostdev* const hostdev = find_hostdev(domain, gpu.alias))
      mend_hostdev(edit, *hostdev);
    else
      insert_mdev(edit, gpu.alias, pci_model);
  }
  return edit.result();
}

/// The functions that GPU `alias` is pointed at, its own first.
static std::vector<PciAddress> functions_of(const Domain& domain, std::string_view alias) {
  std::vector<PciAddress> functions;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address && gpu_alias(hostdev.alias) == alias)
      functions.insert(hostdev.alias == alias ? functions.begin() : functions.end(),
                       *hostdev.address);
  return functions;
}

static bool are_of_same_shape(const std::vector<PciAddress>& one,
                              const std::vector<PciAddress>& other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](const auto& a, const auto& b) { return a.function == b.function; });
}

/// The source addresses of the GPU's hostdevs for these functions, in their order; none where one
/// of the hostdevs is missing: its author may have removed any of them.
static std::vector<const Element*> sources_for(const DomainEdit& edit, const std::string& name,
                                               const std::vector<PciAddress>& functions) {
  std::vector<const Element*> sources;
  for (size_t i = 0; i < functions.size(); ++i) {
    const Hostdev* const hostdev =
        find_hostdev(edit.domain, alias_of_function(name, functions[i], i == 0));
    if (!hostdev || !hostdev->address) return {};
    sources.push_back(&source_address(edit, *hostdev));
  }
  return sources;
}

static void move_source(DomainEdit& edit, const Element& address, const PciAddress& to) {
  const std::pair<const char*, unsigned> parts[] = {
      {"domain", to.domain}, {"bus", to.bus}, {"slot", to.slot}, {"function", to.function}};
  for (const auto& [name, number] : parts) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%0*x", *name == 'd' ? 4 : *name == 'f' ? 1 : 2, number);
    edit.set_attribute(address, name, text);
  }
}

/// The aliases of the GPU's hostdevs that none of these functions has.
static std::vector<std::string> aliases_to_remove(const Domain& domain, const std::string& name,
                                                  const std::vector<PciAddress>& functions) {
  std::vector<std::string> aliases;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (gpu_alias(hostdev.alias) == name) aliases.push_back(hostdev.alias);
  for (size_t i = 0; i < functions.size(); ++i)
    std::erase(aliases, alias_of_function(name, functions[i], i == 0));
  return aliases;
}

static std::string with_other_functions(const std::string& xml, const std::string& name, Use use,
                                        const std::vector<PciAddress>& functions) {
  DomainEdit edit(xml);
  const auto removal = hostdevs_to_detach(edit.devices(), name);
  const auto slot = own_guest_slot(edit.devices(), removal);
  if (!removal.empty()) edit.remove_from(edit.devices(), removal, false);
  const std::string without = edit.result();
  DomainEdit next(without);
  if (slot)
    insert_at(next, name, use, functions, {*slot, ""});
  else
    insert_functions(next, name, use, functions);
  return next.result();
}

std::string assign_device(std::string_view xml, std::string_view alias, Use use,
                          const std::vector<PciAddress>& functions) {
  DomainEdit edit(xml);
  const std::string name(alias);
  if (!find_request(edit.domain, alias))
    throw Error(domain_title(edit.domain.name), "no GPU with alias " + shown(name));
  const auto before = functions_of(edit.domain, alias);
  const auto sources = sources_for(edit, name, functions);
  if (!sources.empty() && before == functions) return std::string(xml);
  // A VF's function number says nothing of its shape: it is alone.
  if (!sources.empty() &&
      ((before.size() == 1 && functions.size() == 1) || are_of_same_shape(before, functions))) {
    for (size_t i = 0; i < functions.size(); ++i) move_source(edit, *sources[i], functions[i]);
    return edit.result();
  }
  const std::string opened =
      unprotect_devices(xml, aliases_to_remove(edit.domain, name, functions));
  std::string result = with_other_functions(opened, name, use, functions);
  require_same_devices(xml, result);
  return result;
}

/// The element of our metadata that requests GPU `alias`, or null.
static const Element* request_element(const DomainEdit& edit, std::string_view alias) {
  const Element* const ours = edit.ours();
  const auto gpus = ours ? gpus_to_detach(*ours, alias) : std::vector<const Element*>{};
  return gpus.empty() ? nullptr : gpus.front();
}

static void set_or_remove(DomainEdit& edit, const Element& element, const char* name,
                          const std::string& value) {
  if (!value.empty())
    edit.set_attribute(element, name, value);
  else if (element.attribute(name))
    edit.remove_attribute(element, name);
}

std::string settle_request(std::string_view xml, std::string_view alias,
                           const SettledRequest& settled, const std::string& model) {
  DomainEdit edit(xml);
  const std::string name(alias);
  const Element* const request = request_element(edit, alias);
  if (!request) throw Error(domain_title(edit.domain.name), "no GPU with alias " + shown(name));
  for (const auto& [attribute, value] : settled_attributes(settled))
    set_or_remove(edit, *request, attribute, value);
  const Hostdev* const hostdev = find_hostdev(edit.domain, alias);
  const bool has_mdev = hostdev && hostdev->type == Hostdev::Type::mdev;
  // managed is of the kind: assign_device writes hostdevs anew where there are none.
  const bool is_kept_so =
      !hostdev || has_mdev || hostdev->managed != traits_of(settled.use).keeps_driver;
  if (has_mdev == is_mediated(settled.use) && is_kept_so) return edit.result();
  if (const auto removal = hostdevs_to_detach(edit.devices(), name); !removal.empty())
    edit.remove_from(edit.devices(), removal, false);
  std::string without = edit.result();
  if (is_pci(settled.use)) return without;
  DomainEdit next(without);
  insert_mdev(next, name, model);
  return next.result();
}

std::string replace_sources(std::string_view xml) {
  DomainEdit edit(xml);
  for (const GpuRequest& gpu : edit.domain.requests)
    if (const Hostdev* const hostdev = find_hostdev(edit.domain, gpu.alias))
      mend_hostdev(edit, *hostdev);
  return edit.result();
}

std::string detach_gpus(std::string_view xml, std::string_view alias) {
  std::string result = without_gpus(without_edits_for(xml, alias), alias);
  require_same_devices(xml, result);
  return result;
}

}  // namespace gpuward
