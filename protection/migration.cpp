// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/device_names.hpp"
#include "domain/qemu_commandline.hpp"
#include "domain/qemu_override.hpp"
#include "protection/protect_work.hpp"

// A GPU without an alias of its own gets one that begins with ua-gpuguard-: the one that libvirt
// would give it depends on what other devices the domain has.

namespace gpuward {

static constexpr std::string_view guard_alias_prefix = "ua-gpuguard-";

static void add_migration_gap(const Document& document, const Hostdev& gpu, QemuCapabilities qemu,
                              std::vector<Gap>& gaps) {
  const std::string alias = alias_when_running(document, gpu);
  const Element* const property = migration_property(document, alias);
  if (property && is_off(*property)) return;
  const std::string element = "hostdev " + shown(gpu.alias.empty() ? alias : gpu.alias);
  if (property)
    gaps.push_back({Guard::migration, property->line, element,
                    "<qemu:override> sets enable-migration to '" +
                        shown(property->attribute("value").value_or("")) + "'",
                    false});
  else
    gaps.push_back(
        {Guard::migration, gpu.line, element,
         std::string("enable-migration=off is missing") +
             (qemu.is_known ? "" : " (the version of the domain's QEMU is unknown)") +
             ": allows migration, save and memory snapshots where the driver supports them"});
}

/// QEMU from 5.2 on and before first_qemu_with_enable_migration migrates a VFIO device that has
/// this property on.
static constexpr std::string_view old_property = "x-enable-migration";

static void add_old_migration_gaps(const GapSearch& search, std::vector<Gap>& gaps) {
  std::set<std::string, std::less<>> aliases;
  for (const Hostdev* const gpu : search.gpus) {
    const std::string alias = alias_when_running(search.document, *gpu);
    aliases.insert(alias);
    if (const Element* const property = property_not_off(search.document, alias, old_property))
      gaps.push_back({Guard::migration, property->line,
                      "hostdev " + shown(gpu->alias.empty() ? alias : gpu->alias),
                      "<qemu:override> sets x-enable-migration to '" +
                          shown(property->attribute("value").value_or("")) + "'",
                      false});
  }
  const auto is_gpu = [&](std::string_view alias) { return aliases.contains(alias); };
  if (const Element* const argument = argument_not_off(search.document, old_property, is_gpu))
    gaps.push_back({Guard::migration, argument->line, "qemu:arg",
                    "QEMU command line sets x-enable-migration: '" +
                        shown(argument->attribute("value").value_or("")) + "'",
                    false});
}

static const Element* override_of(const Element& override, const std::string& alias) {
  for (const Element& device : override.children)
    if (device.name == "device" && device.name_space == qemu_namespace &&
        device.attribute("alias") == alias)
      return &device;
  return nullptr;
}

static std::string free_guard_alias(const DomainEdit& edit, unsigned& number) {
  for (;; ++number) {
    std::string alias = std::string(guard_alias_prefix) + std::to_string(number);
    const auto has_it = [&](const Element& device) {
      const Element* const own = device.child("alias");
      return own && own->attribute("name") == alias;
    };
    // one that is referred to already is for another device
    if (std::none_of(edit.device_list().begin(), edit.device_list().end(), has_it) &&
        reference_to(edit.document, alias).empty())
      return alias;
  }
}

/// The alias by which a hostdev can be meant; one that has none gets one.
static std::string alias_for(ProtectWork& work, const Hostdev& gpu, unsigned& number) {
  const Element& element = work.edit.device_list()[gpu.place];
  // Someone may count on libvirt's own aliases, of which one more of ours would change others.
  if (element.child("alias") || !alias_reference(work.edit.document, "hostdev").empty())
    return alias_when_running(work.edit.document, gpu);
  std::string alias = free_guard_alias(work.edit, number);
  ++number;
  const std::string text = "\n      <alias name='" + alias + "'/>";
  const Element* const teaming = element.child("teaming");  // domain.rng: before <alias>
  if (const Element* const before = teaming ? teaming : element.child("source"))
    work.edit.insert(before->whole.end, text);
  else
    work.edit.append(element, text, "");
  return alias;
}

static std::string property_text(const std::string& prefix) {
  return "\n        <" + prefix + "property name='enable-migration' type='string' value='off'/>";
}

static std::string frontend_text(const std::string& prefix) {
  return "\n      <" + prefix + "frontend>" + property_text(prefix) + "\n      </" + prefix +
         "frontend>";
}

static std::string device_text(const std::string& prefix, const std::string& alias) {
  return "\n    <" + prefix + "device alias='" + escaped(alias) + "'>" + frontend_text(prefix) +
         "\n    </" + prefix + "device>";
}

/// An element whose prefix "qemu:" nothing declares, which libvirt ignores; null when there is
/// none.
static const Element* with_undeclared_prefix(const Document& document, const Element& parent) {
  for (const Element& element : parent.children) {
    if (element.name_space.empty() && document.tag_name(element).starts_with("qemu:"))
      return &element;
    if (const Element* const found = with_undeclared_prefix(document, element)) return found;
  }
  return nullptr;
}

/// The prefix of QEMU's namespace, declared in the root's tag where it is not yet.
static std::string declared_prefix(ProtectWork& work) {
  const Document& document = work.edit.document;
  const auto declared = document.value_span(document.root, "xmlns:qemu");
  if (!declared) {
    if (const Element* const element = with_undeclared_prefix(document, document.root))
      throw Error("domain XML line " + std::to_string(element->line),
                  "<" + shown(document.tag_name(*element)) + "> has a prefix without a declaration",
                  "remove the element, or declare xmlns:qemu");
    work.edit.add_attribute(document.root, "xmlns:qemu", qemu_namespace);
    work.attributes += " qemu-namespace='made'";
  } else if (document[*declared] != qemu_namespace) {
    throw Error(domain_title(work.edit.domain.name),
                "xmlns:qemu is '" + shown(document[*declared]) + "', not libvirt's QEMU namespace");
  }
  return "qemu:";
}

/// What is empty would go with what is put inside; libvirt writes no such elements.
static void refuse_empty(const Element& element) {
  if (element.children.empty())
    throw Error("domain XML line " + std::to_string(element.line),
                "<qemu:" + element.name + "> is empty", "remove the element first: virsh edit");
}

/// Adds the property to what <qemu:override> says of other properties of the device.
static void add_property(ProtectWork& work, const Element& device) {
  refuse_empty(device);
  const std::string prefix = prefix_of(work.edit.document, device);
  const Element* const frontend = device.child("frontend", qemu_namespace);
  if (!frontend) return work.edit.append(device, frontend_text(prefix), "");
  refuse_empty(*frontend);
  work.edit.append(*frontend, property_text(prefix), "");
}

void find_migration_gaps(const GapSearch& search, std::vector<Gap>& gaps) {
  if (!search.qemu.can_disable_vfio_migration) return add_old_migration_gaps(search, gaps);
  for (const Hostdev* const gpu : search.gpus)
    add_migration_gap(search.document, *gpu, search.qemu, gaps);
}

void protect_migration(ProtectWork& work) {
  const Document& document = work.edit.document;
  const Element* const override = document.root.child("override", qemu_namespace);
  if (override) refuse_empty(*override);
  std::vector<std::string> aliases;
  unsigned number = 0;
  for (const Hostdev* const gpu : work.gpus) {
    if (migration_property(document, alias_when_running(document, *gpu))) continue;
    const std::string alias = alias_for(work, *gpu, number);
    work.add_record("migration alias='" + escaped(alias) + "'/>");
    std::erase(work.earlier_aliases, alias);
    const Element* const device = override ? override_of(*override, alias) : nullptr;
    if (device)
      add_property(work, *device);
    else
      aliases.push_back(alias);
  }
  if (aliases.empty()) return;
  const std::string prefix = override ? prefix_of(document, *override) : declared_prefix(work);
  std::string devices;
  for (const std::string& alias : aliases) devices += device_text(prefix, alias);
  if (override) return work.edit.append(*override, devices, "");
  work.edit.append(document.root,
                   "\n  <" + prefix + "override>" + devices + "\n  </" + prefix + "override>", "");
}

/// Takes the device's property out, and what then holds nothing; whether that is all of it.
static bool is_to_go(DomainEdit& edit, const Element& device) {
  const Element* const property = migration_property_of(device);
  const Element* const frontend = device.child("frontend", qemu_namespace);
  if (!property || !frontend || !is_off(*property)) return false;
  if (frontend->children.size() > 1)
    edit.remove(*property);
  else if (device.children.size() > 1)
    edit.remove(*frontend);
  else
    return true;
  return false;
}

static void remove_override(DomainEdit& edit, const Element& override, bool made_namespace) {
  edit.remove(override);
  const auto& all = edit.document.root.children;
  const bool is_used = std::any_of(all.begin(), all.end(), [&](const Element& element) {
    return &element != &override && prefix_of(edit.document, element) == "qemu:" &&
           !edit.document.value_span(element, "xmlns:qemu");
  });
  if (made_namespace && !is_used) edit.remove_attribute(edit.document.root, "xmlns:qemu");
}

static void remove_guard_alias(DomainEdit& edit, const std::string& alias) {
  for (const Hostdev& hostdev : edit.domain.hostdevs)
    if (alias.starts_with(guard_alias_prefix) && hostdev.alias == alias)
      edit.remove(*edit.device_list()[hostdev.place].child("alias"));
}

/// Removes what was written for the devices of these aliases, but the aliases themselves where
/// `undo` says so.
static void restore_aliases(DomainEdit& edit, const Element* record,
                            const std::vector<std::string>& aliases, Undo undo) {
  const bool made_namespace = record && record->attribute("qemu-namespace") == "made";
  const Element* const override = edit.document.root.child("override", qemu_namespace);
  std::vector<const Element*> going;
  for (const std::string& alias : std::set(aliases.begin(), aliases.end())) {
    const Element* const device = override ? override_of(*override, alias) : nullptr;
    if (device && !is_to_go(edit, *device)) continue;  // someone says more by this alias
    if (undo == Undo::everything) remove_guard_alias(edit, alias);
    if (device) going.push_back(device);
  }
  if (override && going.size() == override->children.size())
    return remove_override(edit, *override, made_namespace);
  for (const Element* const device : going) edit.remove(*device);
}

/// Takes the records of these aliases out; which there were.
static std::vector<std::string> take_records(DomainEdit& edit, const Element& record,
                                             const std::vector<std::string>& aliases) {
  std::vector<std::string> ours;
  for (const Element& each : record.children) {
    const std::string alias(each.attribute("alias").value_or(""));
    if (!is_ours(each, "migration") ||
        std::find(aliases.begin(), aliases.end(), alias) == aliases.end())
      continue;
    ours.push_back(alias);
    edit.remove(each);
  }
  return ours;
}

/// Without the metadata what is written by gpuward's aliases remains to be removed.
void restore_migration_of(DomainEdit& edit, const Element* record,
                          const std::vector<std::string>& aliases) {
  restore_aliases(edit, record, record ? take_records(edit, *record, aliases) : aliases,
                  Undo::everything);
}

bool has_migration_without_need(const Protected& closed) {
  return closed.has_record("migration") && !closed.qemu.can_disable_vfio_migration;
}

std::vector<std::string> migration_aliases(const Element& record) {
  std::vector<std::string> aliases;
  for (const Element& each : record.children)
    if (is_ours(each, "migration")) aliases.emplace_back(each.attribute("alias").value_or(""));
  return aliases;
}

void restore_migration(DomainEdit& edit, const Element& record, Undo undo) {
  restore_aliases(edit, &record, migration_aliases(record), undo);
}

void remove_earlier_aliases(ProtectWork& work) {
  const Element* const override = work.edit.document.root.child("override", qemu_namespace);
  for (const std::string& alias : work.earlier_aliases)
    if (!override || !override_of(*override, alias)) remove_guard_alias(work.edit, alias);
}

}  // namespace gpuward
