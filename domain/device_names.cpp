// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/device_names.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/guest_pci.hpp"
#include "domain/qemu_commandline.hpp"
#include "domain/qemu_override.hpp"

namespace gpuward {

namespace {

/// What each name refers to: a text that only the same device has.
using DeviceNames = std::map<std::string, std::string>;

/// The beginning of the aliases that libvirt numbers by the device's place among those of its kind;
/// "" for kinds that no edit adds or removes.
std::string_view numbered_prefix(const Element& device) {
  static constexpr std::pair<std::string_view, std::string_view> prefixes[] = {
      {"serial", "serial"},   {"parallel", "parallel"}, {"channel", "channel"},
      {"console", "console"}, {"redirdev", "redir"},    {"smartcard", "smartcard"},
      {"video", "video"}};
  for (const auto& [name, prefix] : prefixes)
    if (device.name == name) return prefix;
  return {};
}

std::string_view own_alias(const Element& device) {
  const Element* const alias = device.child("alias");
  const auto name = alias ? alias->attribute("name").value_or("") : "";
  return name.starts_with("ua-") ? name : "";
}

/// A device without what edits change in it.
std::string description(const Document& document, const Element& device) {
  std::string text = device.name;
  for (const Attribute& attribute : device.attributes)
    text += ' ' + attribute.name + '=' + attribute.value;
  for (const Element& child : device.children)
    if (child.name != "alias" && child.name != "address") text += document[child.whole];
  return text;
}

/// An interface that passes a VF on has an alias like a hostdev's, and gets it first
/// (qemuAssignDeviceAliases).
bool is_like_hostdev(const Element& device, bool is_interface) {
  return is_interface ? device.name == "interface" && device.attribute("type") == "hostdev"
                      : device.name == "hostdev";
}

/// Those with an alias of their own do not count.
void add_hostdevs(const Document& document, const std::vector<Element>& devices,
                  DeviceNames& names) {
  unsigned number = 0;
  for (const bool is_interface : {true, false})
    for (const Element& device : devices)
      if (device.name_space.empty() && is_like_hostdev(device, is_interface) &&
          own_alias(device).empty())
        names["hostdev" + std::to_string(number++)] = description(document, device);
}

DeviceNames device_names(const Document& document) {
  DeviceNames names;
  const Element* const devices = document.root.child("devices");
  if (!devices) return names;
  std::map<std::string, unsigned> numbers;
  for (const Element& device : devices->children) {
    if (!device.name_space.empty()) continue;
    const std::string prefix(numbered_prefix(device));
    const unsigned number = prefix.empty() ? 0 : numbers[prefix]++;
    if (const auto alias = own_alias(device); !alias.empty())
      names[std::string(alias)] = "";
    else if (!prefix.empty())
      names[prefix + std::to_string(number)] = description(document, device);
    else if (const auto index = pci_controller_index(device); index && *index > 0)
      names["pci." + std::to_string(*index)] = "";
  }
  add_hostdevs(document, devices->children, names);
  return names;
}

bool is_part_of_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
}

/// Whether `text` has the name as a word, or as that of its backend: "charchannel0" is channel0's.
bool has_name(std::string_view text, const std::string& name) {
  for (size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    const size_t end = at + name.size();
    if (end < text.size() && is_part_of_name(text[end])) continue;
    std::string_view before = text.substr(0, at);
    if (before.ends_with("char")) before.remove_suffix(4);
    if (before.empty() || !is_part_of_name(before.back())) return true;
  }
  return false;
}

/// The names that refer to another device than before, or to none, and what becomes of that.
DeviceNames changed_names(const DeviceNames& before, const DeviceNames& after) {
  static const std::string other = "which is another device after this change";
  DeviceNames changed;
  for (const auto& [name, device] : before)
    if (const auto found = after.find(name); found == after.end())
      changed[name] = "which this change removes or renames";
    else if (found->second != device)
      changed[name] = other;
  for (const auto& [name, device] : after)
    // An alias of its own may have been written before its device.
    if (!before.contains(name) && !name.starts_with("ua-")) changed[name] = other;
  return changed;
}

}  // namespace

std::string reference_to(const Document& document, const std::string& name) {
  return find_reference(document, [&](std::string_view text) { return has_name(text, name); });
}

void require_same_devices(std::string_view before, std::string_view after) {
  if (after.find(qemu_namespace) == after.npos) return;
  const Document document = parse_document(after);
  const auto changed = changed_names(device_names(parse_document(before)), device_names(document));
  for (const auto& [name, what] : changed) {
    const std::string reference = reference_to(document, name);
    if (reference.empty()) continue;
    const std::string domain = read_domain(document).name;
    throw Error(domain_title(domain),
                '"' + shown(reference) + "\" refers to device " + shown(name) + ", " + what,
                "remove or change the reference first: virsh edit " + shell_word(domain));
  }
}

}  // namespace gpuward
