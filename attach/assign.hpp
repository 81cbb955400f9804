// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"

namespace gpuward {

/// `xml` with GPU `alias` at these functions of the host instead, with is_managed() of its profile;
/// unchanged when it is there. Throws Error when it has no such GPU.
std::string assign_device(std::string_view xml, std::string_view alias, bool managed,
                          const std::vector<PciAddress>& functions);

}  // namespace gpuward
