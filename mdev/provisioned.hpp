// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/uuid.hpp"
#include "mdev/instance.hpp"

namespace gpuward {

/// No type is ever kept ready more often (the configuration's limit), so what is gpuward's is known
/// by its UUID alone.
inline constexpr unsigned most_instances = 1024;

/// The UUID of the number-th instance of that type to keep ready on that parent: the same on every
/// boot, so that XML can name it, and known by it as ours.
Uuid provisioned_uuid(std::string_view parent, std::string_view type, unsigned number);

/// Tells instances that gpuward keeps ready from all others, by nothing but their UUID.
class ProvisionedUuids {
 public:
  bool contains(const Instance& instance);

 private:
  std::map<std::string, std::set<Uuid>> known_;  ///< by parent and type, made as far as asked for
};

}  // namespace gpuward
