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

/// A driver of QEMU's VFIO: vfio-pci, vfio-pci-nohotplug, vfio-ap, ...; vfio-user-pci is the client
/// of another process and opens no device of the host.
bool is_vfio_driver(std::string_view driver) {
  return driver.starts_with("vfio-") && !driver.starts_with("vfio-user");
}

/// The parts of an option between its commas; two commas are one that belongs to the part.
std::vector<std::string> parts_of_option(std::string_view option) {
  std::vector<std::string> parts{""};
  for (size_t i = 0; i < option.size(); ++i) {
    if (option[i] != ',') {
      parts.back() += option[i];
    } else if (option.substr(i + 1).starts_with(',')) {
      parts.back() += option[i++];
    } else {
      parts.emplace_back();
    }
  }
  return parts;
}

/// "vfio-pci,host=01:00.0" or "host=01:00.0,driver=vfio-pci".
bool option_names_vfio(std::string_view option) {
  static constexpr std::string_view key = "driver=";
  bool is_first = true;
  for (const std::string& part : parts_of_option(option)) {
    if (is_vfio_driver(part.starts_with(key) ? part.substr(key.size()) : is_first ? part : ""))
      return true;
    is_first = false;
  }
  return false;
}

/// {"driver":"vfio-pci"}, with one kind of quotes or the other, as QEMU takes both. Letters may be
/// escaped, so that a key or a driver with an escape counts.
bool json_names_vfio(std::string_view json) {
  const auto has_escape = [](std::string_view text) { return text.find('\\') != text.npos; };
  std::string_view key;
  for (size_t at = json.find_first_of("\"'"); at != json.npos; at = json.find_first_of("\"'", at)) {
    size_t end = at + 1;
    while (end < json.size() && json[end] != json[at]) end += json[end] == '\\' ? 2 : 1;
    if (end >= json.size()) return true;  // cut
    const std::string_view text = json.substr(at + 1, end - at - 1);
    at = end + 1;
    const auto next = json.find_first_not_of(" \t\r\n", at);
    if (next != json.npos && json[next] == ':')
      key = text;
    else if ((key == "driver" || has_escape(key)) && (is_vfio_driver(text) || has_escape(text)))
      return true;
  }
  return false;
}

/// Whether the value of `-device` names a driver of VFIO; what else has "vfio" in it, like an id or
/// a serial number, does not count.
bool names_vfio(std::string_view device) {
  return device.starts_with('{') ? json_names_vfio(device) : option_names_vfio(device);
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
    if ((is_option(before, "device") && names_vfio(value)) ||
        (joined && names_vfio(value.substr(equal + 1))) ||
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

/// Whether `text`, which is behind the name of a property, sets that to off, as an option or in
/// JSON.
static bool sets_off(std::string_view text) {
  if (text.starts_with(",value")) text.remove_prefix(6);  // -global driver=D,property=P,value=V
  for (const std::string_view off : {"=off", "=false", "=no", "=n"})
    if (text.starts_with(off) && (text.size() == off.size() || text[off.size()] == ','))
      return true;
  if (!text.starts_with('"') && !text.starts_with('\'')) return false;
  text.remove_prefix(1);
  const auto skip_blanks = [&] {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\n\r"), text.size()));
  };
  skip_blanks();
  if (!text.starts_with(':')) return false;
  text.remove_prefix(1);
  skip_blanks();
  return text.starts_with("false");
}

/// The alias of `-set device.ALIAS.PROPERTY=VALUE`; "" of any other argument.
static std::string_view alias_of_set(std::string_view value) {
  constexpr std::string_view group = "device.";
  if (!value.starts_with(group)) return {};
  value.remove_prefix(group.size());
  const size_t dot = value.find('.');
  return dot == value.npos ? std::string_view() : value.substr(0, dot);
}

const Element* argument_not_off(const Document& document, std::string_view property,
                                const std::function<bool(std::string_view alias)>& matches) {
  for (const Element* const argument : arguments_of(document)) {
    const auto value = value_of(*argument);
    if (const auto alias = alias_of_set(value); !alias.empty() && !matches(alias)) continue;
    for (size_t at = value.find(property); at != value.npos; at = value.find(property, at + 1))
      if (!sets_off(value.substr(at + property.size()))) return argument;
  }
  return nullptr;
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
