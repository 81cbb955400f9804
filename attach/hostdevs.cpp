// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/hostdevs.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "attach/gpu_request.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/guest_pci.hpp"

namespace gpuward {

namespace {

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

std::string address_attributes(const PciAddress& address) {
  char text[80];
  std::snprintf(text, sizeof text, "domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'",
                address.domain, address.bus, address.slot, address.function);
  return text;
}

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

std::string pci_text(const std::string& alias, bool managed, const PciAddress& function,
                     const std::string& guest_address) {
  return std::string("\n    <hostdev mode='subsystem' type='pci' managed='") +
         managed_word(managed) +
         "'>"
         "\n      <source>"
         "\n        <address " +
         address_attributes(function) +
         "/>"
         "\n      </source>"
         "\n      <alias name='" +
         alias + "'/>" + guest_address + "\n    </hostdev>";
}

}  // namespace

bool is_hostdev(const Element& element) {
  return element.name == "hostdev" && element.name_space.empty();
}

std::string_view alias_of(const Element& device) {
  const Element* const alias = device.child("alias");
  return alias ? alias->attribute("name").value_or("") : "";
}

const Element& source_address(const DomainEdit& edit, const Hostdev& hostdev) {
  return *edit.devices().children[hostdev.place].child("source")->child("address");
}

const char* managed_word(bool managed) {
  return managed ? "yes" : "no";
}

std::vector<const Element*> hostdevs_to_detach(const Element& devices, std::string_view wanted) {
  std::vector<const Element*> hostdevs;
  for (const Element& element : devices.children)
    if (is_hostdev(element) && matches_alias(alias_of(element), wanted))
      hostdevs.push_back(&element);
  return hostdevs;
}

std::string alias_of_function(const std::string& alias, const PciAddress& function, bool is_first) {
  return is_first ? alias : alias + '-' + std::to_string(function.function);
}

void insert_mdev(DomainEdit& edit, const std::string& alias, const std::string& model) {
  insert_devices(edit, mdev_text(edit.domain, alias, model));
}

void insert_at(DomainEdit& edit, const std::string& alias, bool managed,
               const std::vector<PciAddress>& functions, GuestSlot guest) {
  std::string text = guest.controller;
  for (size_t i = 0; i < functions.size(); ++i) {
    guest.address.function = static_cast<uint8_t>(i);
    text += pci_text(alias_of_function(alias, functions[i], i == 0), managed, functions[i],
                     "\n      <address type='pci' " + address_attributes(guest.address) +
                         (i == 0 && functions.size() > 1 ? " multifunction='on'/>" : "/>"));
  }
  insert_devices(edit, text);
}

void insert_functions(DomainEdit& edit, const std::string& alias, bool managed,
                      const std::vector<PciAddress>& functions) {
  if (functions.size() == 1)
    return insert_devices(edit, pci_text(alias, managed, functions.front(), ""));
  insert_at(edit, alias, managed, functions, free_guest_slot(edit));
}

}  // namespace gpuward
