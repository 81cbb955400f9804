// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "allocation/quota.hpp"
#include "inventory/usage.hpp"

namespace gpuward {

/// As quotas count them: with memory where one limits that.
std::vector<Claim> counted_claims(const Root& root, const Config& config,
                                  const ClaimedDevices& claimed);

/// What is used of the quotas that count for one domain.
std::vector<QuotaUse> quota_of_domain(const Config& config, const std::vector<Claim>& claims,
                                      const std::string& domain, const std::string& owner);

/// Each as `gpuward quota --json` prints it. `is_known`: false while a claim cannot be read.
nlohmann::json quota_json(const std::vector<QuotaUse>& uses, bool is_known);

/// "small: 3 of 4 used"
std::string used_text(const QuotaUse& use, bool is_known);

}  // namespace gpuward
