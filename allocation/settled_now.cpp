// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/settled_now.hpp"

#include <algorithm>
#include <vector>

#include "allocation/fraction_host.hpp"
#include "allocation/offered_types.hpp"
#include "allocation/request.hpp"
#include "inventory/snapshot.hpp"

namespace gpuward {

static bool offers(const FractionChoice& choice, const SettledRequest& wanted) {
  return std::any_of(choice.candidates.begin(), choice.candidates.end(),
                     [&](const FractionCandidate& candidate) {
                       SettledRequest found = settled(candidate);
                       found.of_profile = wanted.of_profile;
                       return found == wanted;
                     });
}

/// Of a request by type.
static std::optional<SettledRequest> settled_type_now(const Root& root, const Config& config,
                                                      const GpuRequest& gpu,
                                                      const std::shared_ptr<AskedCards>& asked) {
  if (names_profile(gpu) || gpu.settled->type.empty()) return {};
  const auto gpus = read_gpus(root, config, asked);
  const OfferedTypes offered = offered_types(root, config, gpus);
  const bool is_offered =
      std::any_of(offered.types.begin(), offered.types.end(), [&](const OfferedType& type) {
        return type.use == gpu.settled->use && type.id == gpu.settled->type;
      });
  if (!offered.unknown.empty() && !is_offered) return {};
  return settle_type(offered.types, gpu.profile);
}

/// Of a request by memory.
static std::optional<SettledRequest> settled_fraction_now(
    const Root& root, const Config& config, const GpuRequest& gpu, const FractionRequest& request,
    const std::shared_ptr<AskedCards>& asked) {
  const Profile* const profile = names_profile(gpu) ? find_profile(config, gpu.profile) : nullptr;
  const auto gpus = fraction_gpus(root, config, read_host(root, config, asked), request,
                                  profile ? profile->gpus : std::vector<GpuSelector>());
  const FractionChoice choice = fraction_choice(request, gpus);
  if (gpu.settled && may_have_unknown(request, gpus) && !offers(choice, *gpu.settled)) return {};
  return settle_fraction(choice, gpu);
}

std::optional<SettledRequest> settled_now(const Root& root, const Config& config,
                                          const GpuRequest& gpu,
                                          const std::shared_ptr<AskedCards>& asked) {
  if (const auto request = fraction_of(config, gpu))
    return settled_fraction_now(root, config, gpu, *request, asked);
  return settled_type_now(root, config, gpu, asked);
}

}  // namespace gpuward
