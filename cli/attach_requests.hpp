// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "allocation/choose_device.hpp"
#include "allocation/request.hpp"
#include "cli/commands.hpp"
#include "config/config.hpp"

namespace gpuward {

/// What the words of `gpuward attach` and `gpuward rewrite --attach` request. Throws Error for the
/// first that nothing on this host serves.
std::vector<WantedGpus> require_requests(const Settings& settings, const Config& config,
                                         const std::vector<std::string>& words);

/// `xml` with all of these GPUs; warns of what is to be known of the devices. Throws Error where
/// there is none for one of them.
std::string with_gpus(const Settings& settings, const Config& config,
                      const std::vector<WantedGpus>& gpus, std::string xml, const DeviceUse& use);

/// "GPU attached (profile 'small')", "3 GPUs attached (profile 'small':2, request 'whole')"
std::string attached_text(const std::vector<WantedGpus>& gpus);

/// `xml` where what serves a request by type or by memory is what attach would settle now: the
/// driver of the host's GPUs may offer it in another way since.
std::string with_requests_settled(const Settings& settings, const Config& config, std::string xml);

}  // namespace gpuward
