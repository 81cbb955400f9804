// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "config/config_parser.hpp"

namespace gpuward {

/// What this configuration wants of libvirt that a libvirt of this version (9000000 for 9.0.0)
/// cannot do; nothing when its version is not known (0). Before 9.7 it takes a PCI hostdev with
/// managed='no' only from drivers that it knows by name, not one whose driver has `vfio-dev`
/// (src/util/virpci.c), which is how NVIDIA's VFs are given. With driver = keep vfio-pci serves.
std::vector<ConfigProblem> unsupported_by(const Config& config, unsigned libvirt_version);

/// Of the libvirt that answers at `uri`; 0 when none does.
unsigned libvirt_version_at(const Root& root, const std::string& uri);

}  // namespace gpuward
