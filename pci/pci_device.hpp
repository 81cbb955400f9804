// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"

namespace gpuward {

/// A PCI function: /sys/bus/pci/devices/ADDRESS.
struct PciDevice {
  PciAddress address;
  uint16_t vendor = 0;
  uint16_t device = 0;
  uint32_t pci_class = 0;  ///< 0x030200: class, subclass, programming interface
  std::string driver;      ///< "" when none has it
  std::optional<int> numa_node;
  std::optional<unsigned> iommu_group;          ///< nothing without an IOMMU
  std::optional<PciAddress> physical_function;  ///< whose virtual function it is
};

std::string pci_path(const Root& root, const PciAddress& address);

/// Addresses of all PCI functions, sorted.
std::vector<PciAddress> pci_addresses(const Root& root);

/// Nothing when there is no such function (any more).
std::optional<PciDevice> find_pci_device(const Root& root, const PciAddress& address);

/// Its card, of a VF; one link is read, where find_pci_device() opens four files.
std::optional<PciAddress> physical_function_of(const Root& root, const PciAddress& address);

/// Nothing when the firmware does not say.
std::optional<int> numa_node_of(const Root& root, const PciAddress& address);

/// Display (03xx) or processing accelerator (12xx).
bool is_gpu_class(uint32_t pci_class);
bool is_bridge_class(uint32_t pci_class);

/// A number as sysfs prints it with "0x" before it; 0 for any other text.
uint32_t hex_number(std::string_view text);

/// The other functions of its slot that go where it goes: a graphics card's audio and USB-C
/// functions. No virtual functions, no bridges. Sorted.
std::vector<PciAddress> companions(const Root& root, const PciAddress& address);

/// Whether its driver makes it a VFIO device: since Linux 6.1 that is told by `vfio-dev`, whatever
/// the driver is called.
bool is_vfio_device(const Root& root, const PciAddress& address);

/// Whether it is bound to vfio-pci, also of a Linux before 6.1, or to another such driver.
bool has_vfio_driver(const Root& root, const PciDevice& device);

/// Whether the host shows its console on it: the firmware's boot display, or the framebuffer
/// console's fb0.
bool shows_console(const Root& root, const PciAddress& address);

}  // namespace gpuward
