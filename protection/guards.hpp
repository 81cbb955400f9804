// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "domain/domain.hpp"

namespace gpuward {

/// Something in a domain's XML that lets through what a guard is against.
struct Gap {
  Guard guard = Guard::migration;
  int line = 0;              ///< in the XML
  std::string element;       ///< "maxMemory", "hostdev ua-gpuward-0"
  std::string text;          ///< what it allows
  bool can_be_fixed = true;  ///< by `gpuward protect`; else by the one who wrote it
};

/// The first QEMU whose vfio-pci has the property enable-migration: 8.1. An older one migrates no
/// VFIO device but where x-enable-migration is on, and does not start with the property.
inline constexpr unsigned first_qemu_with_enable_migration = 8'001'000;
inline constexpr std::string_view first_qemu_with_enable_migration_text = "8.1";

/// What depends on the QEMU that runs the domain.
struct QemuCapabilities {
  /// It has the property enable-migration, or may have: where its version is unknown, the property
  /// is demanded, and nothing else depends on it.
  bool can_disable_vfio_migration = true;
  bool is_known = false;  ///< its version could be told
};

/// A domain whose gaps are looked for.
struct GapSearch {
  const Document& document;
  const std::vector<const Hostdev*>& gpus;
  const GuardPolicy& policy;
  QemuCapabilities qemu;
};

/// What libvirt checks with polkit before a call (org.libvirt.api.domain.PERMISSION).
struct GuardedCall {
  std::string_view permission;
  std::string_view calls;  ///< what virsh calls them
};

class DomainEdit;
struct ProtectWork;

/// Whether undoing protect takes away the guest addresses and aliases that protect wrote. They stay
/// where protect follows: someone may refer to the devices by them.
enum class Undo { everything, all_but_addresses };

/// One guard: all that is to be known about it.
struct GuardRow {
  Guard guard;
  void (*find_gaps)(const GapSearch& search, std::vector<Gap>& gaps);
  void (*close)(ProtectWork& work);
  /// `record` is <gpuward:protected>.
  void (*open)(DomainEdit& edit, const Element& record, Undo undo);
  std::span<const std::string_view> records;  ///< names of its elements in <gpuward:protected>
  /// A domain with such a gap is refused by prepare; else it starts with a warning.
  bool refuses_start;
  std::string_view event;  ///< by which libvirt reports that it happened
  std::span<const GuardedCall> calls;
  std::string_view calls_text;  ///< in short
  std::string_view xml_holds;   ///< explain: what XML without gaps does
  std::string_view open_xml;    ///< explain: what the hook refuses to start
  std::string_view undone;      ///< explain: what gpuward-guard does
};

/// In the order of Guard.
std::span<const GuardRow> guard_table();
const GuardRow& row_of(Guard guard);

/// Whether prepare refuses a domain whose GPU can be hot-plugged. Not yet: domains that were
/// defined with 0.1.0 have open ports and are to start after the upgrade. true from 0.3.0 on.
inline constexpr bool refuses_open_ports = false;

/// All gaps of a domain, in the order of Guard.
std::vector<Gap> guard_gaps(const GapSearch& search);

/// Disk error policies and watchdog actions that pause the domain: the admin's choice about its
/// data, and gaps only with harden = yes.
std::vector<Gap> configured_pauses(const Document& document);

/// The QEMU that the domain names, or libvirt's default for its architecture.
std::string emulator_of(const Document& document);

}  // namespace gpuward
