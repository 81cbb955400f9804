// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "kinds/deadlines.hpp"
#include "state/claim.hpp"

namespace gpuward {

/// What became of one claim.
struct Reconciled {
  enum class Result {
    in_use,       ///< its domain is on, or being started or stopped at this moment
    given_back,   ///< orphaned; with dry_run: would be released
    quarantined,  ///< orphaned and not released by the kernel, or not retried as its domain is on
    left_alone,   ///< no proof that it is orphaned
  } result = Result::in_use;
  std::string name;  ///< of the domain, or of the file that is no claim
  std::string reason;
};

/// Whether libvirt has a domain on; nothing when it cannot be asked.
using IsActive = std::function<std::optional<bool>(const Uuid&)>;

/// Releases what is claimed and provably nobody's: nobody works on it, no process has it open,
/// and libvirt says that its domain is off. On doubt it stays.
std::vector<Reconciled> reconcile(const Root& root, const IsActive& is_active,
                                  const Deadlines& deadlines, bool dry_run);

/// An entry of the journal about each but a domain that is in use. `layer`: GPUWARD_LAYER, "" for
/// none.
void log_result(const Reconciled& result, std::string_view layer);

}  // namespace gpuward
