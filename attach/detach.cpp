// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/detach.hpp"

#include <algorithm>
#include <set>

#include "attach/console.hpp"
#include "attach/gpu_request.hpp"
#include "attach/hostdevs.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "domain/device_names.hpp"
#include "domain/guest_pci.hpp"
#include "domain/xml_edit.hpp"
#include "protection/protect.hpp"

namespace gpuward {

namespace {

/// Whether a GPU that stays was attached by a profile with console = off.
bool keeps_console_out(const Element& ours, const std::vector<const Element*>& removal) {
  return std::any_of(ours.children.begin(), ours.children.end(), [&](const Element& gpu) {
    return gpu.name == "gpu" && gpu.name_space == domain_namespace &&
           gpu.attribute("console") == "off" &&
           std::find(removal.begin(), removal.end(), &gpu) == removal.end();
  });
}

/// What a detach removes.
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

}  // namespace

std::string detach_gpus(std::string_view xml, std::string_view alias) {
  std::string result = without_gpus(without_edits_for(xml, alias), alias);
  require_same_devices(xml, result);
  return result;
}

}  // namespace gpuward
