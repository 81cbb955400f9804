// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/verdict.hpp"
#include "config/config.hpp"
#include "protection/guards.hpp"

namespace gpuward {

/// Whether a domain with these gaps (of gaps_to_close) may start: not with one of a guard that
/// blocks. The reason names the first, where it is, and the command that fixes it.
Verdict guard_verdict(const GuardPolicy& policy, const std::string& domain,
                      const std::vector<Gap>& gaps);

/// A line for each gap of a guard that only warns, or that does not refuse a start yet.
std::vector<std::string> guard_warnings(const GuardPolicy& policy, const std::string& domain,
                                        const std::vector<Gap>& gaps);

/// Whether its QEMU has all that <qemu:override> sets for its GPUs: QEMU does not start with a
/// property that it does not have.
Verdict override_verdict(const Document& document, const std::vector<const Hostdev*>& gpus,
                         const std::string& domain, QemuCapabilities qemu);

}  // namespace gpuward
