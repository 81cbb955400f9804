// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/remaining.hpp"

#include "base/quote.hpp"

namespace gpuward {

std::string place_text(const Gap& gap) {
  return gap.element + " (line " + std::to_string(gap.line) + "): " + gap.text;
}

std::string migration_xml_holds_by(const GuardFacts& facts) {
  if (!facts.qemu || *facts.qemu >= first_qemu_with_enable_migration) return {};
  return "QEMU before " + std::string(first_qemu_with_enable_migration_text) +
         " does not migrate VFIO devices unless x-enable-migration is on";
}

void add_remaining_migration(const GuardFacts&, std::vector<std::string>& remaining) {
  remaining.push_back(
      "the definition of a shut-off domain can be copied to another host (virsh migrate "
      "--offline), where only gpuward on that host guards it");
}

void add_remaining_pauses(const GuardFacts& facts, std::vector<std::string>& remaining) {
  const std::string who =
      facts.has_polkit ? "root" : "root and users whom libvirt allows to manage domains";
  const std::string after =
      facts.has_guard && facts.policy.pause == Policy::block
          ? "gpuward-guard resumes the domain, usually within milliseconds"
          : "the domain stays paused until: virsh resume " + shell_word(facts.domain);
  remaining.push_back(
      who +
      " can pause the domain (virsh suspend, Pacemaker, a management tool), which libvirt cannot "
      "block; " +
      after);
  remaining.push_back("libvirt pauses the domain while dumping its memory, which is allowed");
  remaining.push_back(
      "QEMU stops the domain for an internal snapshot and at a guest panic with on_crash = "
      "preserve, and an I/O limit (virsh blkdeviotune) may stall it: none of these is reverted");
  for (const Gap& pause : facts.configured_pauses)
    remaining.push_back(place_text(pause) + (facts.policy.harden
                                                 ? ""
                                                 : "; kept as defined unless harden = yes "
                                                   "is set in [guard]"));
}

std::string gpu_hotplug_xml_holds_by(const GuardFacts& facts) {
  return facts.policy.gpu_hotplug_strict
             ? std::string(row_of(Guard::gpu_hotplug).xml_holds) + ", and to add any device"
             : "";
}

void add_remaining_gpu_hotplug(const GuardFacts& facts, std::vector<std::string>& remaining) {
  const bool undone = facts.has_guard && facts.policy.gpu_hotplug == Policy::block;
  const bool is_pc = facts.pci_root == PciRoot::i440fx;
  if (is_pc)
    remaining.push_back(
        "machine type pc: hot-plug can only be disabled for all of pci.0, including NICs and "
        "disks; " +
        setting_text(Guard::gpu_hotplug, Policy::warn) + " in [guard] keeps it enabled");
  if (facts.has_xml && (is_pc || facts.policy.gpu_hotplug_strict)) return;
  remaining.push_back(std::string("users who may change the domain can add a GPU at a free "
                                  "PCI port (virsh attach-device): ") +
                      (undone ? "gpuward-guard requests the unplug, which the guest may refuse"
                              : "which nothing reverts") +
                      "; " + setting_text(Guard::gpu_hotplug, "strict") +
                      " disables hot-plug of these ports as well");
}

}  // namespace gpuward
