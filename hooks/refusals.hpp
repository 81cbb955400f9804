// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "state/start_permit.hpp"

namespace gpuward {

/// What refuses one start of a domain, where the administrator may have the domain started anyway:
/// a guard, a configuration or XML that cannot be read. Never a device that is in use.
class Refusals {
 public:
  Refusals(const Root& root, std::string_view domain) : root_(root), name_(domain) {}

  /// Throws Error(why), unless `gpuward start --anyway` runs for this start: then logs and records
  /// the reason. The permit is looked for at the first refusal only. `domain`: nothing where its
  /// XML cannot be read.
  void add(const std::optional<Uuid>& domain, const Reason& why);

  /// The permit that was used; nothing before add() returned.
  const std::optional<StartPermit>& permit() const { return permit_; }

 private:
  const Root& root_;
  std::string name_;
  std::optional<StartPermit> permit_;
};

}  // namespace gpuward
