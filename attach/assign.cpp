// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/assign.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "attach/gpu_request.hpp"
#include "attach/hostdevs.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/device_names.hpp"
#include "domain/guest_pci.hpp"
#include "domain/xml_edit.hpp"
#include "protection/protect.hpp"

namespace gpuward {

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

static void set_managed(DomainEdit& edit, std::string_view alias, bool managed) {
  for (const Hostdev& hostdev : edit.domain.hostdevs)
    if (gpu_alias(hostdev.alias) == alias && hostdev.managed != managed)
      edit.set_attribute(edit.devices().children[hostdev.place], "managed", managed_word(managed));
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

/// The guest's slot that only these hostdevs of a GPU are in: the guest finds the next device
/// there.
static std::optional<PciAddress> own_guest_slot(const Element& devices,
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

static std::string with_other_functions(const std::string& xml, const std::string& name,
                                        bool managed, const std::vector<PciAddress>& functions) {
  DomainEdit edit(xml);
  const auto removal = hostdevs_to_detach(edit.devices(), name);
  const auto slot = own_guest_slot(edit.devices(), removal);
  if (!removal.empty()) edit.remove_from(edit.devices(), removal, false);
  const std::string without = edit.result();
  DomainEdit next(without);
  if (slot)
    insert_at(next, name, managed, functions, {*slot, ""});
  else
    insert_functions(next, name, managed, functions);
  return next.result();
}

std::string assign_device(std::string_view xml, std::string_view alias, bool managed,
                          const std::vector<PciAddress>& functions) {
  DomainEdit edit(xml);
  const std::string name(alias);
  if (!find_request(edit.domain, alias))
    throw Error(domain_title(edit.domain.name), "no GPU with alias " + shown(name));
  const auto before = functions_of(edit.domain, alias);
  const auto sources = sources_for(edit, name, functions);
  const bool stays = before == functions;
  // A VF's function number says nothing of its shape: it is alone.
  if (!sources.empty() &&
      ((before.size() == 1 && functions.size() == 1) || are_of_same_shape(before, functions))) {
    for (size_t i = 0; i < functions.size() && !stays; ++i)
      move_source(edit, *sources[i], functions[i]);
    set_managed(edit, alias, managed);
    return edit.result();
  }
  const std::string opened =
      unprotect_devices(xml, aliases_to_remove(edit.domain, name, functions));
  std::string result = with_other_functions(opened, name, managed, functions);
  require_same_devices(xml, result);
  return result;
}

}  // namespace gpuward
