// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "allocation/capacity.hpp"
#include "config/config.hpp"
#include "inventory/snapshot.hpp"
#include "pci/card_facts.hpp"

namespace gpuward {

// What the host has for profiles: `list profiles` and `plan --defragment` count from it
// (list_profiles.cpp).

/// A GPU with what all profiles may be assigned on it.
struct Offer {
  const Gpu* gpu;
  std::vector<Parent> parents;  ///< of mdevs
  std::vector<GpuType> types;
  std::vector<std::string> present;
  std::string unknown{};  ///< why its types are not known
};

/// What the numbers of all profiles are counted from.
struct Offers {
  const Root& root;
  const Config& config;
  Host host;
  DevicesInUse taken;
  std::vector<Offer> gpus;
  KnownCards& cards;
};

/// Types of the profiles of `config` are counted; all three have to live as long.
Offers read_offers(const Root& root, const Config& config, KnownCards& cards);

/// What the card has room for of a profile of mdevs, within its [gpu] max; nothing where it serves
/// none of it.
std::optional<CardRoom> room_for_mdevs(const Offers& offers, const Offer& offer,
                                       const Profile& profile);

/// What a card with vGPUs has room for on these of its VFs, within its [gpu] max, of types of all
/// profiles; of VFs that are not enabled of those of this profile. Nothing where that is not known.
std::optional<CardRoom> room_for_vgpus(const Offers& offers, const Profile& profile,
                                       const PciAddress& card, const std::set<std::string>& vfs);

}  // namespace gpuward
