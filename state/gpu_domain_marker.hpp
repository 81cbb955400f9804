// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

// Domains that run with a GPU that somebody else wrote into their XML have no claim, as gpuward
// gives them nothing. So that polkit's helper, which may neither ask libvirt nor read its XML,
// knows of them, the hook leaves a mark: /run/gpuward/guarded/UUID, which holds the domain's name.

/// Made at prepare and reconnect; again does no harm. Throws SystemError.
void mark_guarded(const Root& root, const Uuid& domain, std::string_view name);

/// Removed at release; absent is well. Throws SystemError.
void unmark_guarded(const Root& root, const Uuid& domain);

std::vector<Uuid> guarded_domains(const Root& root);

/// Changes whenever the mark is made; "" when there is none.
std::string mark_stamp(const Root& root, const Uuid& domain);

/// Whether it has a mark or a claim.
bool has_gpu_now(const Root& root, const Uuid& domain);

}  // namespace gpuward
