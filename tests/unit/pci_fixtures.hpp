// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/pci_address.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// The address that the text names, in tests that know it to be one.
inline PciAddress at(const std::string& text) {
  return *parse_pci_address(text);
}

/// A whole GPU at this address, as a claim names it: GPU 0 of its domain, by profile "card".
inline ClaimedDevice whole_card(const std::string& address) {
  ClaimedDevice device{
      .alias = "ua-gpuward-0", .profile = "card", .instance = {}, .parent = address, .type = "-"};
  device.use = Use::whole;
  device.address = at(address);
  return device;
}

}  // namespace gpuward
