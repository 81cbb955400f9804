// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/uuid.hpp"
#include "config/config.hpp"
#include "state/claim.hpp"

namespace gpuward {

// What [quota] and [profile] allow = ... permit. All of it is computed from the configuration and
// the claims: code that decides by it reads the claims with the lock of the host held, and refuses
// while one of them cannot be read.

/// How many GPUs of each profile; "-" stands for those that the domain's author wrote by hand.
using GpuCounts = std::map<std::string, unsigned>;

/// What the domain of this claim uses. A card is one GPU with its companions. A device in
/// quarantine is used by no domain.
GpuCounts count_gpus(const Claim& claim);

/// Whether it is the GPU of a request: no companion of one, whose alias is ua-gpuward-0-1 or the
/// author's own, and not written by hand.
bool is_gpu_of_profile(const ClaimedDevice& device);

/// Memory of GPUs that a domain uses, in MiB.
struct MemoryCount {
  unsigned mib = 0;
  std::string unknown{};  ///< name of a device whose memory is not known; "" when there is none
};
MemoryCount count_memory(const Claim& claim);

/// Whether a section limits memory: what each device has must then be known.
bool limits_memory(const Config& config);

/// One limit of a section, and what is used of it.
struct QuotaUse {
  const Quota* quota = nullptr;  ///< of the configuration that was asked about
  std::string limit;  ///< a profile, "total" or "memory"; "" of a section that sets no limit
  unsigned max = 0;   ///< of memory in MiB
  unsigned used = 0;
  std::set<std::string> domains;  ///< that use it; of one without a limit, all that it means
  std::string unknown{};  ///< "domain 'a': 0000:41:00.4", whose memory is not known; else ""
};

/// Each limit of the configuration, in its order.
std::vector<QuotaUse> quota_use(const Config& config, const std::vector<Claim>& claims);

/// The sections that count for the domain: the first by its name, the first by its owner.
std::vector<const Quota*> quotas_of(const Config& config, const std::string& domain,
                                    const std::string& owner);

/// "[quota web-*]"
std::string section_title(const Quota& quota);

/// All GPUs that a domain is going to use.
struct QuotaRequest {
  Uuid domain;
  std::string name;
  std::string owner;
  GpuCounts gpus;
  std::optional<MemoryCount>
      memory{};  ///< nothing: not yet known, so limits of memory do not count
};

struct QuotaRefusal {
  Reason reason;
  bool passes = false;  ///< when other domains are shut down
};

/// Why the domain may not use these GPUs beside what others use; nothing when it may. An earlier
/// claim of its own does not count.
std::optional<QuotaRefusal> quota_refusal(const Config& config, const QuotaRequest& request,
                                          const std::vector<Claim>& claims);

/// Why the domain may not request the profile; nothing when it may.
std::optional<Reason> access_refusal(const Profile& profile, const std::string& domain,
                                     const std::string& owner);

}  // namespace gpuward
