// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "domain/xml_document.hpp"

namespace gpuward {

/// Whether the guest could suspend itself to memory or to disk: an x86 machine whose <pm> does not
/// switch both off. Other machines of QEMU have neither, and libvirt refuses <pm> there.
bool can_suspend_itself(const Document& document);

/// A disk or a watchdog that pauses the domain, as its admin chose or as QEMU does by default.
struct ChosenPause {
  const Element* element = nullptr;  ///< the disk, the watchdog
  std::string name;                  ///< "disk vda", "watchdog"
  std::string text;
};

std::vector<ChosenPause> find_configured_pauses(const Document& document);

}  // namespace gpuward
