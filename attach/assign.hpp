// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "config/use.hpp"

namespace gpuward {

/// `xml` with GPU `alias` at these functions of the host instead; unchanged when it is there.
/// Throws Error when it has no such GPU.
std::string assign_device(std::string_view xml, std::string_view alias, Use use,
                          const std::vector<PciAddress>& functions);

}  // namespace gpuward
