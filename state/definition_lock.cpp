// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/definition_lock.hpp"

#include <unistd.h>

#include "base/error.hpp"
#include "base/file.hpp"
#include "state/paths.hpp"

namespace gpuward {

std::optional<Lock> lock_definition(const Root& root, const Uuid& domain,
                                    std::chrono::milliseconds deadline) {
  std::optional<Lock> lock;
  try {
    make_directories(paths::run(root));
    lock = Lock::acquire(paths::definition_locks(root), lock_number::of_domain(domain), deadline);
  } catch (const SystemError&) {
    if (::geteuid() == 0) throw;
    return {};
  }
  if (!lock)
    throw Error("domain " + to_string(domain),
                "timed out waiting for another change of its definition", "try again");
  return lock;
}

}  // namespace gpuward
