// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/definition_lock.hpp"

#include <unistd.h>

#include <cstring>

#include "base/error.hpp"
#include "base/file.hpp"

namespace gpuward {

/// Two domains of one number would wait for each other, which does no harm.
static uint64_t number_of(const Uuid& domain) {
  uint64_t number = 0;
  std::memcpy(&number, domain.bytes.data(), sizeof number);
  return number;
}

std::optional<Lock> lock_definition(const Root& root, const Uuid& domain,
                                    std::chrono::milliseconds deadline) {
  std::optional<Lock> lock;
  try {
    make_directories(root.run(""));
    lock = Lock::acquire(root.run("definitions"), number_of(domain), deadline);
  } catch (const SystemError&) {
    if (::geteuid() == 0) throw;
    return {};
  }
  if (!lock)
    throw Error("another gpuward process changes the definition of domain " + to_string(domain) +
                " for too long; try again");
  return lock;
}

}  // namespace gpuward
