// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "cli/hardware_names.hpp"
#include "inventory/snapshot.hpp"

namespace gpuward {

/// Whether a card that can show as VGA controller shows as 3D controller: NVIDIA's mode switch.
/// `gpus`: all of the host, among which may be one of its model in the other mode.
bool is_in_compute_mode(const Gpu& gpu, const std::vector<Gpu>& gpus);

/// How people are told of a model: "NVIDIA Corporation GM204GL [Tesla M60].compute", brief "Tesla
/// M60.compute". "10de:13f2.compute" when the hardware database does not know it, "" for what is no
/// PCI device.
struct ModelName {
  std::string full;
  std::string brief;
};
ModelName model_name(HardwareNames& names, const Gpu& gpu, const std::vector<Gpu>& gpus);

/// "10de:13f2"
std::string pci_id(const Gpu& gpu);

}  // namespace gpuward
