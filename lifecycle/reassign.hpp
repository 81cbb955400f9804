// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "allocation/choose_device.hpp"
#include "base/error.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "pci/nvml.hpp"

namespace gpuward {

/// A domain's XML after its GPUs were reassigned, and those whose edit is refused or for which the
/// pool has no device that the domain does not have already: they stay.
struct Repointed {
  std::string xml;
  std::map<std::string, Reason> refused;  ///< by the GPU's alias
};

/// `xml` of a domain that is off with each GPU of a pool pointed at a free device: those that are
/// stay. Where none is free it stays too: prepare will say who has it. Throws Error when a pool has
/// no device at all, when all that could be moved was refused, and when two hostdevs would have the
/// same device. `asked`: as of pools_of().
Repointed repoint(const Root& root, const Config& config, std::string_view xml,
                  const DeviceUse& use, const std::shared_ptr<AskedCards>& asked = {});

/// A device that is to be assigned to a GPU.
struct ChosenDevice {
  std::string alias;  ///< of the GPU; "" for the only one that has a PCI device
  PciAddress device;
};

/// `xml` of a domain that is off with the GPU pointed at this device. Throws Error when the device
/// is not of the GPU's pool, or anything keeps the domain from having it.
std::string repoint_to(const Root& root, const Config& config, std::string_view xml, DeviceUse use,
                       const ChosenDevice& chosen);

}  // namespace gpuward
