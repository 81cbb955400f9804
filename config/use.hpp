// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace gpuward {

/// The kind of device that a GPU is given as; "off" not at all.
enum class Use { mdev, vf, vendor_vf, whole, mig, off };

/// What is true of every device of a kind, on any host: one row per kind, and the only place where
/// it is written. What reads or changes the host is the kind's row in kinds/kind.hpp.
struct UseTraits {
  Use use;
  std::string_view word;  ///< in the configuration, claims and a domain's metadata
  /// A mediated device: the domain's XML names its UUID; its parent is chosen, and it is created,
  /// at each start. All others are PCI devices, whose address is in the XML before the domain
  /// starts.
  bool is_mediated = false;
  bool has_types = false;        ///< a profile has type = ..., a card max = ...
  bool has_named_types = false;  ///< a type is also called by the name that its vendor gives it
  bool has_instances = false;    ///< instances = ... creates some that no domain requested
  bool is_vf = false;            ///< vfs = ...: gpuward enables the VFs of its PF
  bool has_vf_quota = false;     ///< exec-quantum = ... and such of each VF
  bool keeps_driver = false;     ///< its driver is its VFIO provider too: managed='no'
  bool can_keep_driver = false;  ///< driver = keep: the host's administrator may bind its driver
  bool can_be_adopted = false;   ///< adopt = yes: what another tool created on it is removed
  bool is_whole_card = false;    ///< goes with its companions
  bool outlives_domain = false;  ///< is there as its guest left it: scrub = ..., one-time = ...
  bool is_requestable = false;   ///< serves requests that name no profile
  bool needs_program = false;    ///< what a card has of it only a program tells, not sysfs
};

inline constexpr std::array use_traits = {
    UseTraits{.use = Use::mdev,
              .word = "mdev",
              .is_mediated = true,
              .has_types = true,
              .has_instances = true,
              .is_requestable = true},
    UseTraits{.use = Use::vf,
              .word = "vf",
              .is_vf = true,
              .has_vf_quota = true,
              .can_keep_driver = true,
              .outlives_domain = true,
              .is_requestable = true},
    UseTraits{.use = Use::vendor_vf,
              .word = "vendor-vf",
              .has_types = true,
              .has_named_types = true,
              .is_vf = true,
              .keeps_driver = true,
              .can_be_adopted = true,
              .outlives_domain = true,
              .is_requestable = true},
    UseTraits{.use = Use::whole,
              .word = "whole",
              .can_keep_driver = true,
              .is_whole_card = true,
              .outlives_domain = true,
              .is_requestable = true},
    UseTraits{.use = Use::mig,
              .word = "mig",
              .has_types = true,
              .has_named_types = true,
              .is_vf = true,
              .keeps_driver = true,
              .can_be_adopted = true,
              .outlives_domain = true,
              .is_requestable = true,
              .needs_program = true},
    UseTraits{.use = Use::off, .word = "off"},
};

constexpr const UseTraits& traits_of(Use use) {
  return use_traits[static_cast<size_t>(use)];
}

/// Whether each row is at the place of its kind.
constexpr bool are_in_order() {
  for (const UseTraits& row : use_traits)
    if (traits_of(row.use).word != row.word) return false;
  return true;
}
static_assert(are_in_order());

/// Of a section of the configuration that does not say.
inline constexpr Use default_use = Use::mdev;

/// Of a request that names no type: any whole GPU.
inline constexpr Use whole_use = Use::whole;

/// Of a profile that says what is no kind.
inline constexpr Use no_use = Use::off;

/// Of a PCI device in a record that cannot be read: nothing but a scrub program ends such a use.
inline constexpr Use unknown_use = whole_use;

/// As the configuration and claims write it.
constexpr std::string_view use_word(Use use) {
  return traits_of(use).word;
}

constexpr std::optional<Use> use_of(std::string_view word) {
  for (const UseTraits& row : use_traits)
    if (row.word == word) return row.use;
  return {};
}

constexpr bool is_off(const std::optional<Use>& use) {
  return use == Use::off;
}

constexpr bool is_mediated(Use use) {
  return traits_of(use).is_mediated;
}

/// Whether libvirt binds the driver of such a PCI device at the start of a domain and gives the
/// host's back: managed='yes'.
constexpr bool is_managed(Use use) {
  return !traits_of(use).keeps_driver;
}

constexpr bool is_pci(Use use) {
  return !is_mediated(use);
}

/// A VF on which a type is created when the domain starts, by the vendor's VFIO framework.
constexpr bool is_typed_vf(Use use) {
  return is_pci(use) && traits_of(use).has_types;
}

/// "whole, vf or vendor-vf": the kinds that have it, for messages. `before` stands before the first
/// and, where there are two, the second: "use = vf or use = vendor-vf".
std::string list_uses(bool UseTraits::*trait, std::string_view before = {});

}  // namespace gpuward
