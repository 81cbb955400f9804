// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "domain/domain_edit.hpp"
#include "domain/kept.hpp"

namespace gpuward {

// The parts of protect and unprotect, one file for each guard. What is closed is written down in
// <gpuward:protected>, and opened again by what is written there (protect.cpp shows it).

/// One protect at work.
struct ProtectWork {
  DomainEdit& edit;
  std::string prefix;      ///< of our elements
  std::string record;      ///< what becomes the inside of <gpuward:protected>
  std::string attributes;  ///< and its attributes

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

void close_migration(ProtectWork& work, const std::vector<const Hostdev*>& gpus);
/// What was written for the devices of these aliases.
void open_migration(DomainEdit& edit, const std::vector<std::string>& aliases, bool made_namespace);

void close_guest_suspend(ProtectWork& work);
void open_guest_suspend(DomainEdit& edit, const Element& record);

void close_chosen_pauses(ProtectWork& work);
void open_disk(DomainEdit& edit, const Element& record);
void open_watchdog(DomainEdit& edit, const Element& record);

void close_memory(ProtectWork& work);
void open_memory(DomainEdit& edit, const Element& record);

}  // namespace gpuward
