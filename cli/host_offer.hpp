// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>

#include "allocation/request.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "pci/nvml.hpp"

namespace gpuward {

/// What a request may name on this host beside a profile: its types, and the models of GPUs that
/// can be assigned as a whole. What serves a fraction is read when that is asked for; `root` and
/// `config` have to live as long. `asked`: of a command that asks cards elsewhere too, one for all.
HostOffer read_host_offer(const Root& root, const Config& config,
                          std::shared_ptr<AskedCards> asked = {});

}  // namespace gpuward
