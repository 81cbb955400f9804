// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

/// How many errors PCIe's Advanced Error Reporting has counted; nothing where there is no AER.
struct ErrorTotals {
  std::optional<uint64_t> correctable, nonfatal, fatal;
  bool operator==(const ErrorTotals&) const = default;
};

/// What sysfs says of a PCI function's state, without waking it.
struct Health {
  std::string power_state;  ///< "D0", "D3cold", "unknown"; "" when the kernel does not say
  std::string link_speed, link_width;          ///< "16.0 GT/s PCIe", "16"; "" while it sleeps
  std::string max_link_speed, max_link_width;  ///< likewise
  ErrorTotals errors;
  std::optional<PciAddress> port;  ///< the bridge above, which counts the errors of its link
  ErrorTotals port_errors;
  bool can_reset = false;
  std::string reset_methods;  ///< "flr bus", in the order in which the kernel tries them
};

Health find_health(const Root& root, const PciAddress& address);

/// Whether a guest can be given it as after power-on: the kernel has a reset for it alone, or VFIO
/// resets the bus that it and its companions have for themselves.
bool can_be_reset(const Root& root, const PciAddress& address);

/// Whether it is in D0 and is neither being suspended nor resumed: reading `config` or its link
/// waits for nothing.
bool is_awake(const Root& root, const PciAddress& address);

/// Whether its configuration space can be read without resuming it: the kernel resumes only what is
/// in D3cold, and the port above (pci_config_pm_runtime_get, drivers/pci/pci.c).
bool is_readable_asleep(const Root& root, const PciAddress& address);

}  // namespace gpuward
