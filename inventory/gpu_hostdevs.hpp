// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"

namespace gpuward {

/// Whether its alias says that gpuward gave it to the domain.
bool is_ours(const Hostdev& hostdev);

/// Whether this hostdev is a GPU: gpuward's own, a VFIO mdev, or a PCI device of display (03xx) or
/// accelerator (12xx) class or that a [gpu] section names by address or by vendor:device.
bool is_gpu(const Root& root, const Config& config, const Hostdev& hostdev);

/// The hostdevs of the domain that are GPUs, in the order of its XML; they live as long as
/// `domain`.
std::vector<const Hostdev*> gpu_hostdevs(const Root& root, const Config& config,
                                         const Domain& domain);

/// The devices of QEMU's command line that are GPUs: by the same rule as hostdevs where the text
/// has a PCI address, else all: it cannot be known what they are.
std::vector<const CommandLineDevice*> command_line_gpus(const Root& root, const Config& config,
                                                        const Domain& domain);

/// Whether the domain has a GPU: such a hostdev, one at QEMU's command line, or it asks gpuward for
/// one.
bool is_gpu_domain(const Root& root, const Config& config, const Domain& domain);

/// Whether gpuward is to give it one.
bool requests_gpu(const Domain& domain);

}  // namespace gpuward
