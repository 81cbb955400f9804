// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "allocation/placement.hpp"
#include "allocation/request.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"
#include "inventory/usage.hpp"
#include "pci/nvml.hpp"
#include "state/claim_store.hpp"

namespace gpuward {

struct ParentType {
  std::string parent;
  std::string type;
  // NOLINTNEXTLINE(modernize-use-nullptr): the 0 is the compiler's
  auto operator<=>(const ParentType&) const = default;
};

/// What is known while the mdevs of a domain are placed, each on a parent that offers a type of its
/// profile. The caller holds the host's lock, or only asks.
struct MdevPlacing {
  const Root& root;
  const Config& config;
  const Domain& domain;
  const Claims& claims;                   ///< whether another domain is worked on
  const Claim& claim;                     ///< of the domain, with what has been placed so far
  const std::vector<Claim>& others;       ///< all that are on disk
  const DevicesInUse& taken;              ///< by claims, and what the domain has of PCI devices
  const std::set<ParentType>& refused;    ///< where the kernel had no room although it said so
  const std::set<std::string>& existing;  ///< aliases of the domain's instances that exist
  /// Asked for NVLinks, of a domain with several GPUs alone.
  std::shared_ptr<AskedCards> asked = std::make_shared<AskedCards>();
};

/// The instance that a domain requests, as a claim holds it: with a parent and type only where it
/// exists already. Throws Error where what exists is not what the request asks for.
ClaimedDevice mdev_asked(const Root& root, const Config& config, const Domain& domain,
                         const ResolvedRequest& gpu);

/// Whether an instance is still to be created.
bool needs_instance(const ClaimedDevice& device, const std::set<std::string>& existing);

/// A device of the claim that is still to be created.
struct MdevRequest {
  const Profile& profile;
  ClaimedDevice& device;
};

/// Notes in each device the parent and type that it gets. All together have room, as far as the
/// drivers tell what their types share. Throws InUse or Error with who has what it could have had.
void place_mdevs(const MdevPlacing& placing, const std::vector<MdevRequest>& requests);

/// A type of a parent that gives the domain nothing.
struct UnavailableParent {
  ParentType of;
  std::string why;
};

/// Where an instance could be.
struct MdevChoice {
  std::vector<Candidate> candidates;  ///< with what is available for it beside the domain's others
  std::vector<UnavailableParent> unavailable;
  std::optional<Candidate> chosen;
  std::string links{};  ///< links_text() of the chosen one and the domain's other GPUs
};

/// What place_mdevs() notes, which is noted here too; one without a place has none.
std::vector<MdevChoice> choose_parents(const MdevPlacing& placing,
                                       const std::vector<MdevRequest>& requests);

/// Whether one more instance of the type may be on its card, by [gpu] max and by the fractions on
/// the card; of one that exists, which claims may name. Throws InUse, or Error where no domain that
/// stops helps.
void require_within_max(const MdevPlacing& placing, const Profile& profile, const Parent& parent,
                        const ClaimedDevice& device);

/// Whether an instance that exists may be where it is, by which GPU its parent is, by who has that
/// and by require_within_max. Throws likewise.
void require_parent_available(const MdevPlacing& placing, const Profile& profile,
                              const ClaimedDevice& device);

}  // namespace gpuward
