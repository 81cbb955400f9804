// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

/// Numbers of the character devices through which a PCI function can be open: VFIO's, and those of
/// every driver of the host below it in sysfs (DRM, framebuffer, sound, USB, NVIDIA's own).
std::vector<dev_t> device_numbers(const Root& root, const PciAddress& address);

/// Those of VFIO alone: a domain has it.
std::vector<dev_t> vfio_numbers(const Root& root, const PciAddress& address);

/// Those through which an mdev can be open: of its group, and its own with iommufd.
std::vector<dev_t> instance_numbers(const Root& root, const Uuid& instance);

}  // namespace gpuward
