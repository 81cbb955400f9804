// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "domain/domain.hpp"
#include "domain/event_kind.hpp"

namespace gpuward {

/// Something in a domain's XML that lets through what a guard is against.
struct Gap {
  Guard guard = Guard::migration;
  int line = 0;              ///< in the XML
  std::string element;       ///< "maxMemory", "hostdev ua-gpuward-0"
  std::string text;          ///< what it allows
  bool can_be_fixed = true;  ///< by `gpuward protect`; else by the one who wrote it
};

/// The first QEMU whose vfio-pci has the property enable-migration. An older one migrates no VFIO
/// device but where x-enable-migration is on, and does not start with the property.
inline constexpr unsigned first_qemu_with_enable_migration = 8'001'000;
inline constexpr std::string_view first_qemu_with_enable_migration_text = "8.1";

/// What depends on the QEMU that runs the domain.
struct QemuCapabilities {
  /// It has the property enable-migration, or may have: where its version is unknown, the property
  /// is demanded, and nothing else depends on it.
  bool can_disable_vfio_migration = true;
  bool is_known = false;  ///< its version is known
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
  std::string_view calls;  ///< what virsh calls them: "save, managedsave"
};

/// What gpuward-guard inspects at a guard's events.
enum class GuardWork { job, pause, devices };

class DomainEdit;
struct ProtectWork;
struct Protected;
struct GuardFacts;

/// Whether undoing protect removes the guest addresses and aliases that protect wrote. They stay
/// where protect follows: someone may refer to the devices by them.
enum class Undo { everything, all_but_addresses };

/// One guard: all that is to be known about it but its key (config/guard_policy.hpp). A function
/// that is null does nothing.
struct GuardRow {
  Guard guard;

  // The domain's XML. `record` is <gpuward:protected>.
  void (*find_gaps)(const GapSearch& search, std::vector<Gap>& gaps);
  /// Before `close`: what an earlier protect wrote and this one keeps.
  void (*keep)(ProtectWork& work);
  void (*close)(ProtectWork& work);
  /// When all guards are closed.
  void (*finish)(ProtectWork& work);
  void (*open)(DomainEdit& edit, const Element& record, Undo undo);
  /// As open, for the devices of these aliases, which are about to be removed. `record` is null
  /// where someone removed the metadata.
  void (*open_for)(DomainEdit& edit, const Element* record,
                   const std::vector<std::string>& aliases);
  /// Whether something is closed that need not be any more, or cannot be with this QEMU.
  bool (*closes_too_much)(const Protected& closed);
  std::span<const std::string_view> records;  ///< names of its elements in <gpuward:protected>
  /// A domain with such a gap is refused by prepare; else it starts with a warning.
  bool refuses_start;

  // The running domain.
  std::span<const EventKind> events;  ///< by which libvirt reports that it may have happened
  GuardWork work;
  std::span<const GuardedCall> calls;

  // What explain prints.
  std::string_view calls_text;  ///< in short
  std::string_view xml_holds;   ///< what XML without gaps does
  /// Instead, or "": where something else holds.
  std::string (*xml_holds_by)(const GuardFacts& facts);
  std::string_view open_xml;      ///< what the hook refuses to start
  std::string_view also_refused;  ///< and what else it refuses
  std::string_view open_allows;   ///< what such XML allows while the domain runs
  std::string_view open_undone;   ///< what gpuward-guard does then
  std::string_view undone;        ///< what gpuward-guard does
  /// What no layer prevents.
  void (*add_remaining)(const GuardFacts& facts, std::vector<std::string>& remaining);
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
