// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/lock.hpp"
#include "base/pci_address.hpp"
#include "base/root.hpp"
#include "base/uuid.hpp"
#include "config/use.hpp"
#include "state/paths.hpp"

namespace gpuward {

/// One device of a claim.
struct ClaimedDevice {
  enum class State {
    claimed,      ///< the domain's; written before the hardware is touched, so whether it exists
                  ///< yet only the kernel knows
    quarantined,  ///< the domain is done with it, but the kernel does not let go of it
  };
  State state = State::claimed;
  std::string alias;
  std::string profile;  ///< "-" of a hostdev written by hand
  Uuid instance;        ///< of an mdev
  /// Name in /sys/class/mdev_bus; of a VF its PF, of a whole GPU or a companion its own address.
  std::string parent;
  std::string type;  ///< of an mdev; of a vendor_vf its id; "-" of others
  /// When quarantined: the process that hangs in the driver while it makes or, of a vendor_vf,
  /// takes away what the device is.
  pid_t maker = 0;
  pid_t scrubber = 0;  ///< when quarantined: the process that waits for its scrub program
  Use use = Use::mdev;
  PciAddress address{};   ///< of all that are no mdev
  std::string scrub{};    ///< program to run when it is given back, "" for none
  bool one_time = false;  ///< not to be given again before the sysadmin clears it
  bool operator==(const ClaimedDevice&) const = default;
};

/// Whether the domain's author wrote the hostdev: the device is theirs, and gpuward neither makes
/// nor removes it.
bool is_by_hand(const ClaimedDevice& device);

/// Whether both are the same device of the host.
bool is_same_device(const ClaimedDevice& one, const ClaimedDevice& other);

/// UUID or PCI address, as people are shown it.
std::string device_name(const ClaimedDevice& device);

/// Who holds devices right now: one file in /run/gpuward/claims per domain, named by its UUID.
struct Claim {
  Uuid domain;
  std::string name;  ///< of the domain, as it was at prepare
  std::vector<ClaimedDevice> devices;
};

/// Text of the file, and back; read_claim throws Error with file and line for text that is no
/// claim.
std::string format_claim(const Claim& claim);
Claim parse_claim(std::string_view text, const std::string& file);

/// The claims of a host.
class Claims {
 public:
  explicit Claims(const Root& root)
      : directory_(paths::claims(root)), lock_file_(paths::locks(root)) {}

  std::optional<Claim> find(const Uuid& domain) const;  ///< throws Error when it is not readable

  struct Broken {
    std::string file;
    std::string reason;
  };
  /// All of them; what cannot be read goes to `broken`, where given, and is never removed.
  std::vector<Claim> all(std::vector<Broken>* broken = nullptr) const;

  /// Makes /run/gpuward/claims where it is missing; before anything else is written there.
  void make_ready() const;

  /// Held by whoever works on what this domain holds, from its first look at the claim to its last
  /// write of the kernel: prepare, release and reconcile may not mix, as a restarted domain's
  /// instance has the UUID of the last one. Nothing when another has it after `deadline`.
  std::optional<Lock> lock_domain(const Uuid& domain, std::chrono::milliseconds deadline) const;
  bool is_worked_on(const Uuid& domain) const;

  /// Held between looking at all claims and writing one.
  std::optional<Lock> lock_host(std::chrono::milliseconds deadline) const;

  /// Changes whenever the claim is written; nothing when there is none. By it a process that had to
  /// look elsewhere without the lock sees whether the claim is still the one it read.
  std::optional<std::string> stamp(const Uuid& domain) const;

  void write(const Claim& claim) const;  ///< in one step; throws SystemError
  void drop(const Uuid& domain) const;

 private:
  std::string file(const Uuid& domain) const;
  std::string directory_;
  std::string lock_file_;
};

}  // namespace gpuward
