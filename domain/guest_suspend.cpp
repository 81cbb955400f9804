// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/guest_suspend.hpp"

#include <algorithm>
#include <array>

namespace gpuward {

static bool is_x86(const Element& root) {
  const Element* const os = root.child("os");
  const Element* const type = os ? os->child("type") : nullptr;
  const auto arch = type ? type->attribute("arch") : std::nullopt;
  return !arch || *arch == "x86_64" || *arch == "i686";
}

static bool is_off(const Element* pm, std::string_view name) {
  const Element* const choice = pm ? pm->child(name) : nullptr;
  return choice && choice->attribute("enabled") == "no";
}

bool can_suspend_itself(const Document& document) {
  const Element* const pm = document.root.child("pm");
  return is_x86(document.root) && !(is_off(pm, "suspend-to-mem") && is_off(pm, "suspend-to-disk"));
}

/// Only disks that are written to: QEMU by default pauses when there is no room (werror=enospc) and
/// hands errors of reading to the guest.
static bool is_written_disk(const Element& disk) {
  static constexpr std::array buses = {"virtio", "scsi", "sata", "ide"};
  const Element* const target = disk.child("target");
  const std::string_view bus = target ? target->attribute("bus").value_or("") : "";
  return disk.attribute("device").value_or("disk") == "disk" && !disk.child("readonly") &&
         std::find(buses.begin(), buses.end(), bus) != buses.end();
}

static std::string disk_pause(const Element& disk) {
  const Element* const driver = disk.child("driver");
  const auto written = driver ? driver->attribute("error_policy") : std::nullopt;
  const auto read = driver ? driver->attribute("rerror_policy") : std::nullopt;
  if (written == "stop") return "error_policy='stop' pauses the domain at an I/O error";
  if (written == "enospace")
    return "error_policy='enospace' pauses the domain when the disk's file cannot grow";
  if (read == "stop") return "rerror_policy='stop' pauses the domain at a read error";
  if (!written && is_written_disk(disk))
    return "without error_policy QEMU pauses the domain when the disk's file cannot grow";
  return "";
}

static std::string disk_name(const Element& disk) {
  const Element* const target = disk.child("target");
  return "disk " + shown(target ? target->attribute("dev").value_or("") : "");
}

std::vector<ChosenPause> find_configured_pauses(const Document& document) {
  std::vector<ChosenPause> pauses;
  const Element* const devices = document.root.child("devices");
  if (!devices) return pauses;
  for (const Element& device : devices->children) {
    if (!device.name_space.empty()) continue;
    if (device.name == "disk") {
      const std::string text = disk_pause(device);
      if (!text.empty()) pauses.push_back({&device, disk_name(device), text});
    }
    if (device.name == "watchdog" && device.attribute("action") == "pause")
      pauses.push_back(
          {&device, "watchdog", "action='pause' pauses the domain when the watchdog fires"});
  }
  return pauses;
}

}  // namespace gpuward
