// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "allocation/choose_device.hpp"
#include "allocation/request.hpp"
#include "cli/commands.hpp"
#include "config/config.hpp"
#include "pci/nvml.hpp"

namespace gpuward {

// `asked`: of a command that does several of these, or asks cards elsewhere too, one for all.

/// What the words of `gpuward attach` and `gpuward rewrite --attach` request. Throws Error for the
/// first that nothing on this host serves.
std::vector<WantedGpus> require_requests(const Settings& settings, const Config& config,
                                         const std::vector<std::string>& words,
                                         const std::shared_ptr<AskedCards>& asked = {});

/// `xml` with all of these GPUs; warns of what is to be known of the devices. Throws Error where
/// there is none for one of them.
std::string with_gpus(const Settings& settings, const Config& config,
                      const std::vector<WantedGpus>& gpus, std::string xml, const DeviceUse& use,
                      const std::shared_ptr<AskedCards>& asked = {});

/// "GPU attached (profile 'small')", "3 GPUs attached (profile 'small':2, request 'whole')"
std::string attached_text(const std::vector<WantedGpus>& gpus);

/// `xml` where what serves a request by type or by memory is what attach would settle now: the
/// driver of the host's GPUs may offer it in another way since.
std::string with_requests_settled(const Settings& settings, const Config& config, std::string xml,
                                  std::shared_ptr<AskedCards> asked = {});

}  // namespace gpuward
