// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/hardware_names.hpp"

#include <libudev.h>

#include <cstdio>
#include <memory>
#include <string_view>

namespace gpuward {

std::string hardware_name(uint16_t vendor, uint16_t device) {
  const std::unique_ptr<udev, udev* (*)(udev*)> context(::udev_new(), ::udev_unref);
  if (!context) return {};
  const std::unique_ptr<udev_hwdb, udev_hwdb* (*)(udev_hwdb*)> database(
      ::udev_hwdb_new(context.get()), ::udev_hwdb_unref);
  if (!database) return {};
  char modalias[40];  // as the kernel writes it: pci:v000010DEd00002235sv...
  std::snprintf(modalias, sizeof modalias, "pci:v%08Xd%08X", vendor, device);
  std::string vendor_name, device_name;
  udev_list_entry* entry = ::udev_hwdb_get_properties_list_entry(database.get(), modalias, 0);
  for (; entry; entry = ::udev_list_entry_get_next(entry)) {
    const std::string_view key = ::udev_list_entry_get_name(entry);
    if (key == "ID_VENDOR_FROM_DATABASE") vendor_name = ::udev_list_entry_get_value(entry);
    if (key == "ID_MODEL_FROM_DATABASE") device_name = ::udev_list_entry_get_value(entry);
  }
  if (vendor_name.empty() || device_name.empty()) return vendor_name + device_name;
  return vendor_name + ' ' + device_name;
}

}  // namespace gpuward
