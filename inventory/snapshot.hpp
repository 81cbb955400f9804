// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/gpu.hpp"
#include "inventory/usage.hpp"
#include "pci/card_facts.hpp"

namespace gpuward {

/// A host, read once for a command. Types are read apart (inventory/gpu_types.hpp): not all need
/// them.
struct Host {
  std::vector<Gpu> gpus;  ///< by name
  std::vector<GpuInstance> instances;
  ClaimedDevices claimed;
};
/// `config`: for devices that only its [gpu] sections make GPUs. `asked`: of a command that reads
/// a host several times, one for all.
Host read_host(const Root& root, const Config& config,
               const std::shared_ptr<AskedCards>& asked = {});

/// The parts of it.
std::vector<Gpu> read_gpus(const Root& root, const Config& config,
                           const std::shared_ptr<AskedCards>& asked = {});
std::vector<GpuInstance> read_instances(const Root& root, const ClaimedDevices& claimed);

/// By the GPU's name.
std::map<std::string, GpuUse> use_of_gpus(const Root& root, const std::vector<Gpu>& gpus,
                                          const std::vector<GpuInstance>& instances);

GpuDetails read_details(const Root& root, const Gpu& gpu);

}  // namespace gpuward
