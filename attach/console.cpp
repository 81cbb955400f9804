// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/console.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "domain/guest_pci.hpp"
#include "domain/qemu_commandline.hpp"
#include "domain/saved_elements.hpp"
#include "domain/xml_edit.hpp"

// What it leaves in <gpuward:domain>:
//
//   <gpuward:console>
//     <gpuward:kept behind='input' before='0'>...</gpuward:kept>
//     <gpuward:audio id='1' type='spice'/>
//   </gpuward:console>
//
// A domain without <graphics> gets no <video> from libvirt (virDomainDefAddImplicitVideo) and no
// VGA from QEMU (-nodefaults), so nothing has to be put in their place. Sound that went to the
// SPICE or D-Bus client goes nowhere: libvirt keeps one <audio> at least, and would make one of its
// own.

namespace gpuward {

static bool is_display_bound(std::string_view type) {
  return type == "spicevmc" || type == "spiceport" || type == "dbus";
}

static bool is_part_of_console(const Element& device) {
  if (!device.name_space.empty()) return false;
  if (device.name == "graphics" || device.name == "video") return true;
  static constexpr std::array names = {"channel", "redirdev", "smartcard",
                                       "serial",  "console",  "parallel"};
  return std::find(names.begin(), names.end(), device.name) != names.end() &&
         is_display_bound(device.attribute("type").value_or(""));
}

static bool is_bound_audio(std::string_view type) {
  return type == "spice" || type == "dbus";
}

static void refuse_passwords(const DomainEdit& edit) {
  for (const Element& device : edit.device_list())
    if (device.name == "graphics" && device.attribute("passwd"))
      throw Error(domain_title(edit.domain.name),
                  "domain XML line " + std::to_string(device.line) +
                      ": <graphics> has a password, which would be saved in metadata that every "
                      "user can read",
                  "remove the password first, or choose a profile with 'console = on'");
}

/// libvirt numbers devices of a kind: without one the others have other aliases.
static void refuse_alias_references(const DomainEdit& edit,
                                    const std::vector<const Element*>& console) {
  for (const Element* const device : console) {
    const std::string kind = device->name == "redirdev" ? "redir" : device->name;
    const std::string reference = alias_reference(edit.document, kind);
    if (!reference.empty())
      throw Error(domain_title(edit.domain.name),
                  "\"" + shown(reference) + "\" names a <" + device->name +
                      "> by its alias, and 'console = off' removes <" + device->name + "> (line " +
                      std::to_string(device->line) + ")",
                  "remove the reference with 'virsh edit', or choose a profile with 'console = "
                  "on'");
  }
}

/// libvirt refuses an mdev with display='on' where there is no <graphics>.
static void refuse_displays(const DomainEdit& edit, const std::vector<const Element*>& console) {
  if (std::none_of(console.begin(), console.end(),
                   [](const Element* device) { return device->name == "graphics"; }))
    return;
  for (const Element& device : edit.device_list())
    if (device.name == "hostdev" && device.name_space.empty() &&
        device.attribute("type") == "mdev" && device.attribute("display") == "on")
      throw Error(domain_title(edit.domain.name),
                  "domain XML line " + std::to_string(device.line) +
                      ": <hostdev> has display='on', which needs the <graphics> that 'console = "
                      "off' removes",
                  "remove display='on' first, or choose a profile with 'console = on'");
}

std::string take_console_out(std::string_view xml) {
  DomainEdit edit(xml);
  if (edit.ours() && edit.ours()->child("console", domain_namespace)) return std::string(xml);
  std::vector<const Element*> console;
  for (const Element& device : edit.device_list())
    if (is_part_of_console(device)) console.push_back(&device);
  if (console.empty()) return std::string(xml);
  refuse_passwords(edit);
  refuse_alias_references(edit, console);
  refuse_displays(edit, console);

  const std::string prefix = our_prefix(edit);
  std::string text = remove_and_save(edit, edit.devices(), console, "        ");
  for (const Element& device : edit.device_list()) {
    const auto type = device.attribute("type").value_or("");
    if (device.name != "audio" || !device.name_space.empty() || !is_bound_audio(type)) continue;
    text += "\n        <" + prefix + "audio id='" + escaped(device.attribute("id").value_or("")) +
            "' type='" + escaped(type) + "'/>";
    edit.set_attribute(device, "type", "none");
  }
  add_to_ours(edit, "\n      <" + prefix + "console>" + text + "\n      </" + prefix + "console>");
  return edit.result();
}

/// What someone has changed since stays.
static void put_audio_back(DomainEdit& edit, const Element& keeper) {
  const auto type = keeper.attribute("type").value_or("");
  if (!is_bound_audio(type)) return;
  for (const Element& device : edit.device_list())
    if (device.name == "audio" && device.name_space.empty() &&
        device.attribute("id").value_or("") == keeper.attribute("id").value_or("") &&
        device.attribute("type") == "none")
      return edit.set_attribute(device, "type", type);
}

/// Whether both are one place on a bus that is not PCI: virtio-serial, usb, ccid or drive.
static bool is_same_place(const Element& one, const Element& other) {
  static constexpr std::array place = {"controller", "bus", "target", "port", "slot", "unit"};
  static constexpr std::array last = {"port", "slot", "unit"};  // without one libvirt chooses
  const auto value = [](const Element& address, const char* name) {
    return address.attribute(name).value_or("0");
  };
  return one.attribute("type") == other.attribute("type") &&
         std::any_of(last.begin(), last.end(), [&](auto name) { return one.attribute(name); }) &&
         std::all_of(place.begin(), place.end(),
                     [&](auto name) { return value(one, name) == value(other, name); });
}

/// Whether a device has the address of `saved` now, but those in `freed`, which are about to go.
static bool is_taken(const DomainEdit& edit, const Element& saved,
                     const std::vector<PciAddress>& freed) {
  const Element* const address = saved.child("address");
  const auto place = guest_address_of(saved);
  if (!address || (place && std::find(freed.begin(), freed.end(), *place) != freed.end()))
    return false;
  return std::any_of(edit.device_list().begin(), edit.device_list().end(),
                     [&](const Element& device) {
                       if (place) return guest_address_of(device) == place;
                       const Element* const other = device.child("address");
                       return other && is_same_place(*address, *other);
                     });
}

/// The name of a channel in the guest; libvirt's default for one of SPICE.
static std::string_view channel_name(const Element& channel) {
  const Element* const target = channel.child("target");
  const auto name = target ? target->attribute("name") : std::nullopt;
  return name.value_or(channel.attribute("type") == "spicevmc" ? "com.redhat.spice.0" : "");
}

/// Whether libvirt or QEMU refuses both: libvirt takes one <graphics> of a type, one <smartcard>,
/// and a second <video> of some models alone; QEMU one channel of a name.
static bool are_rivals(const Element& one, const Element& other) {
  if (one.name != other.name || !other.name_space.empty()) return false;
  if (one.name == "graphics") return one.attribute("type") == other.attribute("type");
  if (one.name == "channel")
    return !channel_name(one).empty() && channel_name(one) == channel_name(other);
  return one.name == "video" || one.name == "smartcard";
}

static bool has_rival(const DomainEdit& edit, const Element& saved) {
  return std::any_of(edit.device_list().begin(), edit.device_list().end(),
                     [&](const Element& device) { return are_rivals(saved, device); });
}

static void warn_of_rival(const DomainEdit& edit, const Element& saved) {
  const auto type = saved.attribute("type");
  log::warning(edit.domain.name,
               "the saved <" + saved.name + (type ? " type='" + shown(*type) + "'" : "") +
                   "> is not restored: the domain has another <" + saved.name + '>');
}

/// The saved devices, without those that cannot be beside one that someone has added since, and
/// without addresses that are in use.
static std::string fitting_text(const DomainEdit& edit, const std::string& text,
                                const std::vector<PciAddress>& freed) {
  static constexpr std::string_view start = "<kept>", end = "</kept>";
  const std::string whole = std::string(start) + text + std::string(end);
  const Document document = parse_document(whole);
  std::vector<Edit> edits;
  const auto remove = [&](Span span) {
    edits.push_back({{whole.find_last_not_of(" \t\r\n", span.begin - 1) + 1, span.end}, ""});
  };
  for (const Element& device : document.root.children) {
    if (has_rival(edit, device)) {
      warn_of_rival(edit, device);
      remove(device.whole);
    } else if (is_taken(edit, device, freed)) {
      remove(device.child("address")->whole);
    }
  }
  const std::string result = apply_edits(whole, edits);
  return result.substr(start.size(), result.size() - start.size() - end.size());
}

std::string put_console_back(std::string_view xml, const std::vector<PciAddress>& freed) {
  DomainEdit edit(xml);
  const Element* const ours = edit.ours();
  const Element* const console = ours ? ours->child("console", domain_namespace) : nullptr;
  if (!console) return std::string(xml);
  for (const Element& keeper : console->children) {
    if (is_ours(keeper, "kept"))
      restore_saved(edit, edit.devices(), keeper,
                    fitting_text(edit, saved_text(keeper, is_part_of_console), freed));
    if (is_ours(keeper, "audio")) put_audio_back(edit, keeper);
  }
  remove_from_ours(edit, {console});
  return edit.result();
}

}  // namespace gpuward
