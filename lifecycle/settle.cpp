// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/settle.hpp"

#include <thread>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/lock.hpp"
#include "base/log.hpp"
#include "state/paths.hpp"

namespace gpuward {

static void ask_and_wait(const Root& root, const Uuid& domain, std::chrono::milliseconds deadline) {
  const auto has_guard = [&] {
    return Lock::is_held(paths::locks(root), lock_number::reassignment);
  };
  if (!has_guard()) return;
  const std::string file = paths::reassignment_request(root, domain);
  write_file_atomically(file, "");
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (exists(file)) {
    if (std::chrono::steady_clock::now() < end && has_guard()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      continue;
    }
    log::warning("timed out after " + std::to_string(deadline.count() / 1000) +
                 " s waiting for gpuward-guard to reassign shut-off domains; check: systemctl "
                 "status gpuward-guard");
    remove_file(file);
  }
}

void wait_for_reassignment(const Root& root, const Uuid& domain,
                           std::chrono::milliseconds deadline) {
  try {
    ask_and_wait(root, domain, deadline);
  } catch (const Error& error) {
    log::warning(std::string("cannot notify gpuward-guard: ") + error.what() + ", ignoring");
  }
}

}  // namespace gpuward
