// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "config/gpu_id.hpp"

namespace gpuward {

/// A device that mdevs can be made of: /sys/class/mdev_bus/NAME. PCI address as name, or any other
/// ("mtty").
struct Parent : GpuId {
  std::optional<int> numa_node{};
};

/// Names as they may be in a path: what the kernel uses for parents and types, never "." or
/// "..".
bool is_device_name(std::string_view name);

std::vector<std::string> parent_names(const Root& root);

/// Nothing when there is no such parent (any more).
std::optional<Parent> find_parent(const Root& root, const std::string& name);

/// What a device's directory in sysfs says of it; all of it only for a PCI device.
Parent read_identity(const std::string& path, const std::string& name);

/// Ids of all types of instances that it offers, sorted: NAME/mdev_supported_types/ID.
std::vector<std::string> type_ids(const Root& root, const std::string& parent);

/// vfio-pci, vfio-ccw, vfio-ap; "" when the type is gone.
std::string device_api(const Root& root, const std::string& parent, const std::string& type);

/// The model of a hostdev of one of these types, by the first parent of the host that has one:
/// vfio-pci where there is none, or its device_api is another.
std::string hostdev_model(const Root& root, const std::vector<std::string>& types);

/// As its driver calls it; "" when it does not, or is gone.
std::string type_name(const Root& root, const std::string& parent, const std::string& type);

/// Free text of the driver; "" when there is none.
std::string type_description(const Root& root, const std::string& parent, const std::string& type);

/// available_instances; nothing when the parent has no such type. Only advice: types share what
/// their parent has, and another may take it first.
std::optional<unsigned> available_instances(const Root& root, const std::string& parent,
                                            const std::string& type);

}  // namespace gpuward
