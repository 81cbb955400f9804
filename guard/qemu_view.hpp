// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gpuward {

/// QEMU's word for its state (RunState) in its answer to query-status; nothing when the answer is
/// not one.
std::optional<std::string> status_in(std::string_view answer);

/// A device or object of QEMU, as qom-list names it.
struct QemuObject {
  std::string name;  ///< its id; "device[0]" where it has none
  std::string type;  ///< "vfio-pci", "pc-dimm", "memory-backend-ram"
};

/// The children in QEMU's answer to qom-list; nothing when the answer is not one.
std::optional<std::vector<QemuObject>> objects_in(std::string_view answer);

/// The folders of QEMU's object tree that hold what is added by -device, device_add and object-add.
inline constexpr std::string_view object_folders[] = {"/machine/peripheral",
                                                      "/machine/peripheral-anon", "/objects"};

/// The QMP command that lists a folder.
std::string list_command(std::string_view folder);

/// Memory, memory backends and VFIO devices that libvirt does not know of, by the aliases of all
/// devices in the domain's live XML: "pc-dimm 'extra'". They came through QEMU's monitor or its
/// command line.
std::vector<std::string> unknown_to_libvirt(const std::vector<QemuObject>& objects,
                                            const std::set<std::string, std::less<>>& aliases);

}  // namespace gpuward
