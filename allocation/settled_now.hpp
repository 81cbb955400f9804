// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <optional>

#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "pci/nvml.hpp"

namespace gpuward {

/// What attach would settle for a GPU's request by type or memory now; nothing of any other
/// request, and where GPUs do not say what they have and what it has is not among what is known:
/// that is no reason to give it another. `asked`: of a command that asks for several, one for all.
std::optional<SettledRequest> settled_now(const Root& root, const Config& config,
                                          const GpuRequest& gpu,
                                          const std::shared_ptr<AskedCards>& asked = {});

}  // namespace gpuward
