// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/qemu_commandline.hpp"

#include <algorithm>
#include <cctype>

#include "domain/qemu_override.hpp"

namespace gpuward {

namespace {

bool is_qemu(const Element& element, std::string_view name) {
  return element.name == name && element.name_space == qemu_namespace;
}

std::vector<const Element*> arguments_of(const Document& document) {
  std::vector<const Element*> arguments;
  for (const Element& part : document.root.children) {
    if (!is_qemu(part, "commandline")) continue;
    for (const Element& argument : part.children)
      if (is_qemu(argument, "arg")) arguments.push_back(&argument);
  }
  return arguments;
}

std::string_view value_of(const Element& argument) {
  return argument.attribute("value").value_or("");
}

/// Whether `text` is this option of QEMU, which takes one dash or two.
bool is_option(std::string_view text, std::string_view name) {
  if (!text.starts_with('-')) return false;
  text.remove_prefix(text.starts_with("--") ? 2 : 1);
  return text == name;
}

/// A device of QEMU's VFIO: vfio-pci, vfio-pci-nohotplug, vfio-ap, ...; likewise in JSON, where the
/// letters of a name may be escaped, so that a text with an escape counts.
bool names_vfio(std::string_view device) {
  return device.find("vfio") != device.npos ||
         (device.find('{') != device.npos && device.find("\\u") != device.npos);
}

bool is_source(std::string_view property) {
  return property == "host" || property == "sysfsdev" || property == "fd";
}

/// The property that `-set device.X.PROPERTY=VALUE` sets.
std::string_view set_property(std::string_view text) {
  if (!text.starts_with("device.")) return {};
  const auto equal = text.find('=');
  text = text.substr(0, equal);
  const auto dot = text.rfind('.');
  return text.substr(dot + 1);
}

void add_overrides(const Document& document, std::vector<CommandLineDevice>& devices) {
  for (const Element& override : document.root.children) {
    if (!is_qemu(override, "override")) continue;
    for (const Element& device : override.children)
      for (const Element& frontend : device.children)
        for (const Element& property : frontend.children)
          if (is_qemu(property, "property") && is_source(property.attribute("name").value_or("")))
            devices.push_back({std::string(property.attribute("name").value_or("")) + '=' +
                                   std::string(property.attribute("value").value_or("")),
                               property.line});
  }
}

bool is_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
}

/// Whether `text` has the alias as a word: "device.hostdev0.x", "hostdev=hostdev0", not
/// "myhostdev0".
bool has_alias(std::string_view text, std::string_view kind) {
  for (size_t at = text.find(kind); at != text.npos; at = text.find(kind, at + 1)) {
    size_t end = at + kind.size();
    if (at > 0 && is_letter(text[at - 1])) continue;
    const size_t digits = end;
    while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end]))) ++end;
    if (end > digits && (end == text.size() || !is_letter(text[end]))) return true;
  }
  return false;
}

}  // namespace

std::vector<CommandLineDevice> command_line_devices(const Document& document) {
  std::vector<CommandLineDevice> devices;
  std::string_view before;
  for (const Element* const argument : arguments_of(document)) {
    const auto value = value_of(*argument);
    const auto equal = value.find('=');
    const bool joined = equal != value.npos && is_option(value.substr(0, equal), "device");
    if (((is_option(before, "device") || joined) && names_vfio(value)) ||
        (is_option(before, "set") && is_source(set_property(value))))
      devices.push_back({std::string(value), argument->line});
    before = value;
  }
  add_overrides(document, devices);
  return devices;
}

int readconfig_line(const Document& document) {
  for (const Element* const argument : arguments_of(document))
    if (is_option(value_of(*argument), "readconfig")) return argument->line;
  return 0;
}

std::string find_reference(const Document& document, const RefersTo& refers_to) {
  std::string_view before;
  for (const Element* const argument : arguments_of(document)) {
    const auto value = value_of(*argument);
    if (refers_to(value))
      return (before.starts_with('-') ? std::string(before) + ' ' : "") + std::string(value);
    before = value;
  }
  for (const Element& override : document.root.children)
    if (is_qemu(override, "override") || is_qemu(override, "deviceoverride"))
      for (const Element& device : override.children)
        if (refers_to(device.attribute("alias").value_or("")))
          return "<qemu:device alias='" + std::string(device.attribute("alias").value_or("")) +
                 "'>";
  return {};
}

std::string alias_reference(const Document& document, std::string_view kind) {
  return find_reference(document, [&](std::string_view text) { return has_alias(text, kind); });
}

}  // namespace gpuward
