// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/root.hpp"
#include "config/use.hpp"
#include "inventory/gpu.hpp"
#include "kinds/deadlines.hpp"
#include "kinds/device_setup.hpp"
#include "kinds/pool_device.hpp"
#include "kinds/type_names.hpp"
#include "pci/pci_device.hpp"
#include "state/claim.hpp"

namespace gpuward {

// A kind of device is a file of its own in this folder. What is true of it on any host are its
// traits (config/use.hpp); what reads or changes a host is its row here. Nothing else compares
// kinds (tests/static/kinds), so a further kind is a file of its own here, which ends with the row,
// and changes in
//   config/use.hpp                             its word and its traits
//   kinds/rows.hpp                             the row's place in the table
//   inventory/gpu.hpp, inventory/snapshot.cpp  what a GPU tells of it, where that is not read yet

/// One row of the table. A function that is null stands for: nothing of this kind has it, or
/// nothing is to be done.
struct Kind {
  Use use;

  // ---- what a host has

  /// Whether the GPU can be assigned as this, whatever the configuration says.
  bool (*is_offered)(const Gpu& gpu) = nullptr;

  /// Parts of the GPU that a [gpu] section of their own may keep from domains, by name: its mdev
  /// parents, or its VFs.
  std::vector<std::string> (*parts)(const Gpu& gpu) = nullptr;

  /// The types that the GPU offers, by id. `counted`: the ids or names of those whose available
  /// instances are read, null for all. `of_one_part`: as the first part that has any lists them.
  /// `unknown`: why it is not known which, or whether the GPU has any of this kind.
  std::vector<GpuType> (*types)(const Root& root, const Gpu& gpu,
                                const std::vector<std::string>* counted, bool of_one_part,
                                std::string& unknown) = nullptr;

  /// Ids of the types that exist on the GPU, whoever created them. Null where the driver lists a
  /// type whether there is room for it or not.
  std::vector<std::string> (*existing_types)(const Root& root, const Gpu& gpu) = nullptr;

  /// The type of an instance as its vendor names it; "" where the driver does not report it.
  std::string (*type_name)(TypeNames& names, const GpuInstance& instance) = nullptr;

  /// How much memory of its card a claimed device has, in MiB, as the host shows it; nothing where
  /// that is not known. `type`: of one whose type is still to be created. Null: never known.
  std::optional<unsigned> (*memory)(const Root& root, const ClaimedDevice& device,
                                    const std::string& type) = nullptr;

  // ---- PCI devices: those of which a profile's pool is made

  /// Whether the device is of this kind by what its driver is now.
  bool (*is_of_kind)(const Root& root, const PciDevice& device) = nullptr;

  /// The device as one that the profile may give; nothing, and why, when it may not.
  std::optional<PoolDevice> (*find)(const PoolQuery& query, const PciDevice& device,
                                    std::string& why) = nullptr;

  /// Those that do not exist and are enabled when a domain needs one of them: the VFs of this PF.
  std::vector<PoolDevice> (*to_be_enabled)(const PoolQuery& query, const PciAddress& pf) = nullptr;

  /// Marks those of the profile's pool as full whose card has no room for one of it, and asks once
  /// per card. Null: `find` knows it of each device.
  void (*mark_full)(const PoolQuery& query, std::vector<PoolDevice>& pool) = nullptr;

  // ---- the life of a claimed device

  /// What another tool created is the administrator's, and only removed if they say so (adopt =
  /// yes), never while it is open. Called before the claim is written, too: what a claim names, a
  /// release may remove. Throws Error.
  void (*require_adoptable)(const Root& root, const Config& config,
                            const ClaimedDevice& device) = nullptr;

  /// What set_up would find right now: whether a type of the profile can be created. Throws Error;
  /// InUse where others may make room. prepare itself asks in set_up, with the lock of the PF: a
  /// release beside it may be about to make room.
  void (*require_creatable)(const Root& root, const Config& config, const Profile& profile,
                            const ClaimedDevice& device) = nullptr;

  /// Makes a claimed PCI device what the domain shall find. What is chosen is noted in `device`.
  /// Throws Error with the cause; what was begun is undone by tear_down. Null of mdevs: those of a
  /// domain are created together (kinds/mdev.hpp).
  void (*set_up)(const DeviceSetup& setup, ClaimedDevice& device) = nullptr;

  /// Whether the device is what set_up or creation claims to have made. Throws Error.
  void (*require_set_up)(const Root& root, const ClaimedDevice& device) = nullptr;

  /// Undoes set_up of a PCI device that nobody has open; removes an mdev once nobody has it open.
  /// Returns why it cannot be given to another yet; "" when it can. Who is blocked in the driver is
  /// noted in `device`. `owner`: its claim on disk.
  std::string (*tear_down)(const Root& root, const Claim& owner, ClaimedDevice& device,
                           const Deadlines& deadlines) = nullptr;

  /// Destroys what set_up made of the card for the device alone (ClaimedDevice::part): after
  /// tear_down, or where the device no longer exists. Returns why it is still there; "" when it is
  /// not. Throws Error where to try again is no remedy.
  std::string (*remove_part)(const Root& root, const Claim& owner, ClaimedDevice& device,
                             const Deadlines& deadlines) = nullptr;

  /// What a write that is blocked in the kernel does to the device: "creation", "removal".
  std::string (*blocked_write)(const Root& root, const ClaimedDevice& device) = nullptr;

  /// Removes what no domain has claimed from a device that nobody has open (`gpuward clear`); false
  /// where there is nothing. Throws Error.
  bool (*remove_unclaimed)(const Root& root, const PciDevice& device,
                           const Deadlines& deadlines) = nullptr;
};

/// The row of a kind. Of "off" it is one without functions.
const Kind& kind_of(Use use);

/// What the GPU can be assigned as, whatever the configuration says.
std::vector<Use> kinds_of(const Gpu& gpu);

/// What the PCI device is by what its driver is now.
Use use_of_device(const Root& root, const PciDevice& device);

/// What it is where the domain's author wrote its hostdev: whatever its driver offers is left
/// alone.
Use use_by_hand(const PciDevice& device);

}  // namespace gpuward
