// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "domain/saved_elements.hpp"
#include "domain/xml_edit.hpp"
#include "protection/guards.hpp"

namespace gpuward {

// The parts of protect and unprotect, one file for each guard. What is closed is written down in
// <gpuward:protected>, and opened again by what is written there (protect.cpp shows it).

/// Where protect put a GPU that had no guest address, from an earlier protect.
struct GuestPlace {
  unsigned bus = 0;
  bool with_port = false;   ///< the port is protect's own too
  bool with_empty = false;  ///< the GPU had an <address type='pci'/> without numbers
};

/// One protect at work.
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

// For guard_table().

void find_migration_gaps(const GapSearch& search, std::vector<Gap>& gaps);
void protect_migration(ProtectWork& work);
void restore_migration(DomainEdit& edit, const Element& record, Undo undo);
/// What was written for the devices of these aliases.
void restore_migration_of(DomainEdit& edit, const Element* record,
                          const std::vector<std::string>& aliases);
/// From an earlier protect.
std::vector<std::string> migration_aliases(const Element& record);
/// Takes out what is left of the aliases that an earlier protect gave and that are of no use now.
void remove_earlier_aliases(ProtectWork& work);

void find_pause_gaps(const GapSearch& search, std::vector<Gap>& gaps);
void protect_pause(ProtectWork& work);
void restore_pause(DomainEdit& edit, const Element& record, Undo undo);

void find_memory_gaps(const GapSearch& search, std::vector<Gap>& gaps);
void protect_memory(ProtectWork& work);
void restore_memory(DomainEdit& edit, const Element& record, Undo undo);

void find_gpu_hotplug_gaps(const GapSearch& search, std::vector<Gap>& gaps);
void close_gpu_hotplug(ProtectWork& work);
void open_gpu_hotplug(DomainEdit& edit, const Element& record, Undo undo);

}  // namespace gpuward
