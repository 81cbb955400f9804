// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "domain/saved_elements.hpp"
#include "domain/xml_edit.hpp"
#include "protection/guards.hpp"

namespace gpuward {

// The parts of protect and unprotect, one file for each guard; that against hot-plug of GPUs has
// gpu_hotplug_*.cpp. What is closed is written down in <gpuward:protected>, and opened again by
// what is written there (protect.cpp shows it).

/// Where protect put a GPU that had no guest address, from an earlier protect.
struct GuestPlace {
  unsigned bus = 0;
  bool with_port = false;   ///< the port is protect's own too
  bool with_empty = false;  ///< the GPU had an <address type='pci'/> without numbers
};

/// One protect that is running.
struct ProtectWork {
  DomainEdit& edit;
  const std::vector<const Hostdev*>& gpus;
  const GuardPolicy& policy;
  const std::vector<GuestPlace>& places;  ///< from an earlier protect
  std::string prefix;                     ///< of our elements
  std::string record{};                   ///< what becomes the inside of <gpuward:protected>
  std::string attributes{};               ///< and its attributes
  /// What an earlier protect recorded for migration and this one has not.
  std::vector<std::string> earlier_aliases{};

  void add_record(const std::string& tag_and_rest) {
    record += "\n        <" + prefix + tag_and_rest;
  }
  /// A record NAME with what was there before inside.
  void add_record(const std::string& name, const std::string& tag_attributes,
                  const std::string& kept) {
    add_record(name + tag_attributes + '>' + kept + "\n        </" + prefix + name + '>');
  }
  /// Keeps the element for a record, without its place.
  std::string kept(const Element& element) const {
    return "\n          <" + prefix + "kept>" + escaped(edit.document[element.whole]) + "</" +
           prefix + "kept>";
  }
};

/// What an earlier protect closed, and what is asked for now.
struct Protected {
  const Document& document;
  const Domain& domain;
  const Element& record;
  const GuardPolicy& policy;
  QemuCapabilities qemu;

  bool has_record(std::string_view name) const { return record.child(name, domain_namespace); }
};

// For guard_table().

void find_migration_gaps(const GapSearch& search, std::vector<Gap>& gaps);
void protect_migration(ProtectWork& work);
/// Removes what is left of the aliases that an earlier protect gave and that are of no use now.
void remove_earlier_aliases(ProtectWork& work);
void restore_migration(DomainEdit& edit, const Element& record, Undo undo);
void restore_migration_of(DomainEdit& edit, const Element* record,
                          const std::vector<std::string>& aliases);
bool has_migration_without_need(const Protected& closed);
/// From an earlier protect.
std::vector<std::string> migration_aliases(const Element& record);

void find_pause_gaps(const GapSearch& search, std::vector<Gap>& gaps);
void protect_pause(ProtectWork& work);
void restore_pause(DomainEdit& edit, const Element& record, Undo undo);
bool has_hardened_without_need(const Protected& closed);

void find_memory_gaps(const GapSearch& search, std::vector<Gap>& gaps);
void protect_memory(ProtectWork& work);
void restore_memory(DomainEdit& edit, const Element& record, Undo undo);

void find_gpu_hotplug_gaps(const GapSearch& search, std::vector<Gap>& gaps);
/// Gives the ports of the places of an earlier protect their hot-plug back, or keeps them closed;
/// and records the places.
void keep_places(ProtectWork& work);
void close_gpu_hotplug(ProtectWork& work);
void open_gpu_hotplug(DomainEdit& edit, const Element& record, Undo undo);
/// Takes the guest addresses and ports of the GPUs away as well, and what is undone out of
/// `recorded`.
void open_gpu_hotplug_of(DomainEdit& edit, const Element* recorded,
                         const std::vector<std::string>& aliases);
/// Whether a port is closed that need not be: no hostdev is behind it any more.
bool closes_other_ports(const Protected& closed);

}  // namespace gpuward
