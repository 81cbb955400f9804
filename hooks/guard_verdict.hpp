// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/verdict.hpp"
#include "config/config.hpp"
#include "protection/gaps.hpp"

namespace gpuward {

/// Whether a domain with these gaps (of gaps_to_close) may start: not with one of a guard that
/// blocks. The reason names the first, where it is, and the command that mends it.
Verdict guard_verdict(const GuardPolicy& policy, const std::string& domain,
                      const std::vector<Gap>& gaps);

/// A line for each gap of a guard that only warns.
std::vector<std::string> guard_warnings(const GuardPolicy& policy, const std::vector<Gap>& gaps);

/// Whether its QEMU has all that <qemu:override> sets for its GPUs: before 8.1 there is no
/// enable-migration, and QEMU does not start with it.
Verdict override_verdict(const Document& document, const std::vector<const Hostdev*>& gpus,
                         const std::string& domain, QemuAbilities qemu);

}  // namespace gpuward
