// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "domain/domain.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

/// What else than these GPUs and their cards the port of this bus would no longer release; "" for
/// nothing.
std::string others_on(const Document& document, unsigned bus,
                      const std::vector<const Hostdev*>& gpus);

/// The open PCIe root ports that have one GPU of these, with the functions of its card, behind them
/// and nothing else. Of two GPUs on one port the first is told.
struct OwnPort {
  const Element* controller;
  unsigned index;
  const Hostdev* gpu;
};
std::vector<OwnPort> open_ports_of_their_own(const Document& document,
                                             const std::vector<const Hostdev*>& gpus);

}  // namespace gpuward
