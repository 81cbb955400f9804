// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/root.hpp"
#include "config/config.hpp"

namespace gpuward {

/// Why a domain whose XML cannot be parsed may have a GPU: a <hostdev> in the text that names an
/// mdev, or a PCI address that is a GPU here, a VF of one or a function of its card, or whose type
/// or address cannot be read. "" for USB, SCSI and other PCI devices, and without a <hostdev>.
std::string gpu_in_text(const Root& root, const Config& config, std::string_view xml);

}  // namespace gpuward
