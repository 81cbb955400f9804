// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/lock.hpp"
#include "base/root.hpp"
#include "state/claim.hpp"
#include "state/paths.hpp"

namespace gpuward {

/// Text of the file, always of the newest version, and back, of every version; parse_claim throws
/// Error with file and line for text that is no claim.
std::string format_claim(const Claim& claim);
Claim parse_claim(std::string_view text, const std::string& file);

/// A file in place of a claim that cannot be read: what its domain has is unknown.
struct UnreadableClaim {
  Uuid domain;  ///< by the name of the file
  std::string file;
  std::string reason;
};

struct AllClaims {
  std::vector<Claim> readable;
  std::vector<UnreadableClaim> unreadable;
};

/// What to say of it, with what to do.
Reason unreadable_reason(const UnreadableClaim& claim);
std::string to_string(const UnreadableClaim& claim);

/// For whoever assigns devices: which of them are in use is not known while a claim cannot be read.
/// Throws Error that names the first such file.
void require_readable(const std::vector<UnreadableClaim>& unreadable);

/// The claims of a host, for one thread.
class Claims {
 public:
  explicit Claims(const Root& root)
      : root_(root), directory_(paths::claims(root)), lock_file_(paths::locks(root)) {}

  /// Of one that was written before the host's restart, as in a /run on disk, what is left of it
  /// (after_restart). Throws Error when it is not readable.
  std::optional<Claim> find(const Uuid& domain) const;

  /// The first readable one of a domain of this name. Throws SystemError as all() does.
  std::optional<Claim> find_by_name(const std::string& name) const;

  /// All of them, likewise. Throws SystemError when the directory cannot be read.
  AllClaims all() const;

  /// Makes /run/gpuward/claims where it is missing; before anything else is written there.
  void make_ready() const;

  /// Held by whoever works on what this domain holds, from its first read of the claim to its last
  /// write of the kernel: prepare, release and reconcile may not mix, as a restarted domain's
  /// instance has the UUID of the last one. Nothing when another has it after `deadline`.
  std::optional<Lock> lock_domain(const Uuid& domain, std::chrono::milliseconds deadline) const;
  bool is_worked_on(const Uuid& domain) const;

  /// Held between looking at all claims and writing one.
  std::optional<Lock> lock_host(std::chrono::milliseconds deadline) const;

  /// Changes whenever the claim is written; nothing when there is none. By it a process that had to
  /// look elsewhere without the lock sees whether the claim is still the one it read.
  std::optional<std::string> stamp(const Uuid& domain) const;

  /// Puts `device` in the place of the same one in the claim on disk; of a domain without a claim
  /// in `otherwise`. For a process that works on it: a later process finds it named, even if
  /// all that started it is killed. Throws Error.
  void update(const Claim& otherwise, const ClaimedDevice& device) const;

  /// In one step, with the boot id of this host; throws SystemError.
  void write(const Claim& claim) const;

  /// Removes temporary files of processes that were killed while they wrote a claim.
  void sweep() const;

  void drop(const Uuid& domain) const;

 private:
  const std::string& boot_id() const;  ///< "" when it is not known
  std::string file(const Uuid& domain) const;
  Root root_;
  std::string directory_;
  std::string lock_file_;
  mutable std::optional<std::string> boot_id_{};  ///< read once: it is the same until a restart
};

}  // namespace gpuward
