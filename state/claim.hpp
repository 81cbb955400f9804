// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "base/process.hpp"
#include "base/uuid.hpp"
#include "config/isolation.hpp"
#include "config/use.hpp"

namespace gpuward {

/// In place of a scrub program: which one the device needs is not known. It is a path of the
/// claim's text at which there is no program, so that the device stays in quarantine until it is
/// cleared.
inline constexpr const char* unknown_scrub = "/unknown";

/// One device of a claim.
struct ClaimedDevice {
  enum class State {
    claimed,      ///< the domain's; written before the hardware is touched, so whether it exists
                  ///< yet only the kernel knows
    quarantined,  ///< the domain is done with it, but the kernel does not release it
  };
  State state = State::claimed;
  std::string alias;
  std::string profile;  ///< "-" of a hostdev written by hand
  Uuid instance;        ///< of an mdev
  /// Name in /sys/class/mdev_bus; of a VF its PF, of a whole GPU or a companion its own address.
  std::string parent;
  std::string type;  ///< of an mdev; of a vendor_vf its id; "-" of others
  /// The process whose write is blocked in the driver: it creates the device, sets attributes of it
  /// or, of a vendor_vf, removes its vGPU.
  Process writer{};
  Process scrub_process{};  ///< waits for its scrub program
  Use use = default_use;
  PciAddress address{};                  ///< of all that are no mdev
  std::string scrub{};                   ///< program to run when it is released, "" for none
  bool one_time = false;                 ///< not to be given again before the sysadmin clears it
  std::optional<unsigned> memory_mib{};  ///< of its card; nothing where it was not determined
  std::optional<Isolation> fraction{};   ///< of a request by memory: what it must not share
  std::optional<unsigned> compute_percent{};  ///< likewise: the share that it was promised
  bool has_attributes = false;  ///< those of the profile were set on it, or `writer` sets them
  /// What its kind made of the card for it alone, in that kind's words, written before it is made;
  /// "" for nothing.
  std::string part{};
  std::string vgpu{};  ///< id of the vGPU on its VF, where `type` is another word for it
  std::optional<unsigned> iommu_group{};  ///< of a PCI device, when prepare had set it up
  bool operator==(const ClaimedDevice&) const = default;
};

/// Whether the domain's author wrote the hostdev: the device is theirs, and gpuward neither makes
/// nor removes it.
bool is_by_hand(const ClaimedDevice& device);

/// Id of the vGPU that its VF has, of a typed VF.
const std::string& vgpu_id(const ClaimedDevice& device);

/// Whether both are the same device of the host.
bool is_same_device(const ClaimedDevice& one, const ClaimedDevice& other);

/// UUID or PCI address, as people are shown it.
std::string device_name(const ClaimedDevice& device);

/// Who has devices right now: one file in /run/gpuward/claims per domain, named by its UUID.
struct Claim {
  Uuid domain;
  std::string name;  ///< of the domain, as it was at prepare
  std::vector<ClaimedDevice> devices;
  std::string boot{};      ///< boot id of the host when it was written; "" when not known
  bool completed = false;  ///< whether prepare has set up all devices
  std::string owner{};     ///< label of the domain at prepare, one word; "" without one
};

/// The line of one device, without its end, and back; nothing for any other text.
std::string format_device(const ClaimedDevice& device);
std::optional<ClaimedDevice> parse_device(std::string_view line);

/// What is left of a claim that was written before the host was restarted. The restart has ended
/// every process and every VFIO device, and reset what has power of its own; what was to be
/// scrubbed and failed still has to be.
Claim after_restart(Claim claim);

}  // namespace gpuward
