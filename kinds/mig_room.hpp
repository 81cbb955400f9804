// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "inventory/gpu.hpp"
#include "kinds/mig_part.hpp"
#include "mdev/parent.hpp"
#include "pci/nvml.hpp"
#include "state/claim.hpp"

namespace gpuward {

// Which GPU instance of a card a device can have.

/// One card in MIG mode, and what is known of it to the caller.
struct MigView {
  const Root& root;
  const Config& config;
  PciAddress address;
  MigCard card;
  std::vector<Claim> claims;
};

/// Of what `card` answered. Throws Error where it is not in MIG mode, with what the administrator
/// has to do; gpuward does not change the mode, which takes the card from all that use it. A place
/// that one of the claims names is taken, whether its GPU instance exists yet or not.
MigView view_card(const Root& root, const Config& config, const PciAddress& address, MigCard card,
                  std::vector<Claim> claims);

/// Why GPU instances of the card are not known, and what helps; "" where they are.
std::string mig_problem(const Root& root, const Config& config, const PciAddress& card,
                        AskedCards& asked);

/// Why no GPU instance is created for this VF of the card, and what helps: its driver offers vGPUs
/// as mdev types, as NVIDIA's did before its vendor VFIO framework. Which GPU instance it puts one
/// of these in is not documented, so that none could be destroyed with its domain. No problem where
/// the driver does not.
Reason reason_not_mig(const Root& root, const PciAddress& vf, const PciAddress& card);

/// The same of a GPU where a section gives it, or one of its VFs, this use; with the GPU as object.
Reason reason_not_mig(const Root& root, const Config& config, const Gpu& gpu);

/// Of a VF that a running domain has and whose claim is lost: notes the vGPU and the GPU instance
/// that set_up made. Returns why the GPU instance is not known, so that it remains when the domain
/// stops, and how it is removed; "" when it is.
std::string recover_mig(const Root& root, const Config& config, ClaimedDevice& device,
                        AskedCards& asked);

/// What a device can be set up as.
struct MigFit {
  std::string profile;  ///< "1g.10gb"
  unsigned memory_mib = 0;
  MigPart part;
};

struct MigChoice {
  std::optional<MigFit> fit{};
  std::string problem{};  ///< why there is none
  bool may_come = false;  ///< once another domain has stopped
};

/// The first type of the profile of which the card has room for one more. `part`: the VF.
MigChoice choose_mig(const MigView& view, const Profile& profile, const Parent& part);

/// "1g.10gb" of "MIG 1g.10gb", as nvidia-smi prints it, or without its first word.
std::string_view profile_word(std::string_view name);

}  // namespace gpuward
