// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/pci_address.hpp"

namespace gpuward {

/// The address that the text names, in tests that know it to be one.
inline PciAddress at(const std::string& text) {
  return *parse_pci_address(text);
}

}  // namespace gpuward
