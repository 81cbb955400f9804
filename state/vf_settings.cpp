// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/vf_settings.hpp"

#include "base/file.hpp"
#include "base/text.hpp"
#include "state/paths.hpp"

namespace gpuward {

std::optional<Lock> lock_vfs(const Root& root, const PciAddress& pf,
                             std::chrono::milliseconds deadline) {
  return Lock::acquire(paths::locks(root), lock_number::of_physical_function(pf), deadline);
}

/// "autoprobe=0 vf-memory=2048": what cannot be seen in their number.
static std::string settings_text(const WantedVfs& wanted) {
  std::string text = wanted.autoprobe ? "autoprobe=1" : "autoprobe=0";
  const auto add = [&](const char* name, const std::optional<unsigned>& value) {
    if (value) text += std::string(name) + std::to_string(*value);
  };
  add(" vf-memory=", wanted.quota.memory_mib);
  add(" exec-quantum=", wanted.quota.exec_quantum_ms);
  add(" preempt-timeout=", wanted.quota.preempt_timeout_us);
  return text;
}

std::optional<std::string> recorded_settings(const Root& root, const PciAddress& pf) {
  const auto text = read_file(paths::vf_settings(root, pf));
  return text ? std::optional(std::string(trim(*text))) : std::nullopt;
}

bool settings_differ(const std::optional<std::string>& recorded, const WantedVfs& wanted) {
  return recorded ? *recorded != settings_text(wanted) : wanted.quota != VfQuota{};
}

static void record(const Root& root, const PciAddress& pf, const std::string& settings) {
  write_file_atomically(paths::vf_settings(root, pf), settings + '\n');
}

KernelChange enable_vfs(const Root& root, const PciAddress& pf, const WantedVfs& wanted,
                        const WriteOptions& options) {
  make_directories(paths::vf_settings(root));
  const auto before = recorded_settings(root, pf);
  record(root, pf, "changing");
  VfResult result = set_virtual_functions(root, pf, wanted, options);
  if (result.change.failure.empty())
    record(root, pf, settings_text(wanted));
  else if (result.untouched && before)
    record(root, pf, *before);
  else if (result.untouched)
    remove_file(paths::vf_settings(root, pf));
  return std::move(result.change);
}

}  // namespace gpuward
