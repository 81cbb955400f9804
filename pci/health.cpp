// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/health.hpp"

#include "base/file.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

/// The last line, "TOTAL_ERR_COR 3" (Documentation/ABI/testing/sysfs-bus-pci-devices-aer_stats).
static std::optional<uint64_t> total(const std::string& path, std::string_view word) {
  const auto text = read_optional_attribute(path);
  if (!text) return {};
  for (const std::string_view line : split(*text, '\n'))
    if (line.starts_with(word)) return to_number<uint64_t>(trim(line.substr(word.size())));
  return {};
}

/// Counted in memory when an error is reported: reading them touches no device.
static ErrorTotals error_totals(const std::string& device) {
  return {total(device + "/aer_dev_correctable", "TOTAL_ERR_COR "),
          total(device + "/aer_dev_nonfatal", "TOTAL_ERR_NONFATAL "),
          total(device + "/aer_dev_fatal", "TOTAL_ERR_FATAL ")};
}

/// The kernel puts a device into the directory of the bridge above it.
static std::optional<PciAddress> port_above(const std::string& path) {
  const auto device = read_link(path);  // ../../../devices/pci0000:40/0000:40:01.0/0000:41:00.0
  if (!device) return {};
  return parse_pci_address(base_name(device->substr(0, device->rfind('/'))));
}

bool can_be_reset(const Root& root, const PciAddress& address) {
  const std::string path = pci_path(root, address);
  if (exists(path + "/reset")) return true;
  if (!port_above(path)) return false;  // on a root bus, which has no reset
  for (const PciAddress& other : pci_addresses(root))
    if (other.domain == address.domain && other.bus == address.bus && other.slot != address.slot)
      return false;
  return true;
}

/// A kernel without runtime power management has no such file, and suspends nothing.
static bool is_active(const std::string& path) {
  return read_optional_attribute(path + "/power/runtime_status").value_or("active") == "active";
}

bool is_awake(const Root& root, const PciAddress& address) {
  const std::string path = pci_path(root, address);
  return read_optional_attribute(path + "/power_state") == "D0" && is_active(path);
}

bool is_readable_asleep(const Root& root, const PciAddress& address) {
  const auto state = read_optional_attribute(pci_path(root, address) + "/power_state").value_or("");
  return state == "D0" || state == "D1" || state == "D2" || state == "D3hot";
}

Health find_health(const Root& root, const PciAddress& address) {
  const std::string path = pci_path(root, address);
  const auto read = [&](const char* name) {
    return read_optional_attribute(path + name).value_or("");
  };
  Health health;
  health.power_state = read("/power_state");
  if (health.power_state == "D0" && is_active(path)) {
    health.link_speed = read("/current_link_speed");
    health.link_width = read("/current_link_width");
    health.max_link_speed = read("/max_link_speed");
    health.max_link_width = read("/max_link_width");
  }
  health.errors = error_totals(path);
  health.port = port_above(path);
  if (health.port) health.port_errors = error_totals(pci_path(root, *health.port));
  health.can_reset = exists(path + "/reset");
  health.reset_methods = read("/reset_method");
  return health;
}

}  // namespace gpuward
