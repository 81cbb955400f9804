// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/hardware_names.hpp"

#include <libudev.h>

#include <cstdio>
#include <string_view>

namespace gpuward {

std::string HardwareName::full() const {
  return vendor.empty() || model.empty() ? vendor + model : vendor + ' ' + model;
}

/// For a column of a table; the database has names of 80 characters, all of them ASCII.
static std::string cut(const std::string& text) {
  constexpr size_t most = 24;
  return text.size() <= most ? text : text.substr(0, most - 2) + "..";
}

std::string HardwareName::brief() const {
  const auto begin = model.rfind('['), end = model.rfind(']');
  if (begin == std::string::npos || end == std::string::npos || end <= begin + 1)
    return cut(model.empty() ? vendor : model);
  return cut(model.substr(begin + 1, end - begin - 1));
}

static udev_hwdb* open_database() {
  const std::unique_ptr<udev, udev* (*)(udev*)> context(::udev_new(), ::udev_unref);
  return context ? ::udev_hwdb_new(context.get()) : nullptr;
}

static HardwareName look_up(udev_hwdb* database, uint16_t vendor, uint16_t device) {
  HardwareName name;
  char modalias[40];  // as the kernel writes it: pci:v000010DEd00002235sv...
  std::snprintf(modalias, sizeof modalias, "pci:v%08Xd%08X", vendor, device);
  udev_list_entry* entry = ::udev_hwdb_get_properties_list_entry(database, modalias, 0);
  for (; entry; entry = ::udev_list_entry_get_next(entry)) {
    const std::string_view key = ::udev_list_entry_get_name(entry);
    if (key == "ID_VENDOR_FROM_DATABASE") name.vendor = ::udev_list_entry_get_value(entry);
    if (key == "ID_MODEL_FROM_DATABASE") name.model = ::udev_list_entry_get_value(entry);
  }
  return name;
}

const HardwareName& HardwareNames::of(uint16_t vendor, uint16_t device) {
  const auto [entry, is_new] = known_.try_emplace({vendor, device});
  if (!is_new) return entry->second;
  if (!is_open_) database_ = {open_database(), ::udev_hwdb_unref};
  is_open_ = true;
  if (database_) entry->second = look_up(database_.get(), vendor, device);
  return entry->second;
}

}  // namespace gpuward
