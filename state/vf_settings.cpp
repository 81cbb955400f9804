// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/vf_settings.hpp"

#include "base/file.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "state/paths.hpp"

namespace gpuward {

std::optional<Lock> lock_vfs(const Root& root, const PciAddress& pf,
                             std::chrono::milliseconds deadline) {
  return Lock::acquire(paths::locks(root), lock_number::of_physical_function(pf), deadline);
}

/// "autoprobe=0 vf-memory=2048": what cannot be seen in their number.
static std::string settings_text(const VfSettings& wanted) {
  std::string text = wanted.autoprobe ? "autoprobe=1" : "autoprobe=0";
  const auto add = [&](const char* name, const std::optional<unsigned>& value) {
    if (value) text += std::string(name) + std::to_string(*value);
  };
  add(" vf-memory=", wanted.quota.memory_mib);
  add(" exec-quantum=", wanted.quota.exec_quantum_ms);
  add(" preempt-timeout=", wanted.quota.preempt_timeout_us);
  return text;
}

/// Equals the settings of no plan.
static constexpr std::string_view changing = "changing";

/// "changing 4711@12345 4 autoprobe=0": process, number of VFs, settings. "-" where the PF has VFs
/// already: their number does not tell whether the change came to its end.
static std::string change_text(const Process& writer, const VfSettings& wanted, bool has_vfs) {
  return std::string(changing) + ' ' + to_string(writer) + ' ' +
         (has_vfs ? "-" : std::to_string(wanted.count)) + ' ' + settings_text(wanted);
}

static std::optional<std::string> recorded_text(const Root& root, const PciAddress& pf) {
  const auto text = read_file(paths::vf_settings(root, pf));
  return text ? std::optional(std::string(trim(*text))) : std::nullopt;
}

RecordedVfs recorded_vfs(const Root& root, const PciAddress& pf, size_t now) {
  const auto text = recorded_text(root, pf);
  if (!text) return {};
  const auto words = split(*text, ' ');
  if (words.size() < 4 || words[0] != changing) return {text};
  const Process writer = parse_process(words[1]).value_or(Process{});
  if (is_running(root, writer)) return {std::string(changing), writer};
  if (to_number<size_t>(words[2]) != now) return {std::string(changing)};
  const size_t before = words[0].size() + words[1].size() + words[2].size() + 3;
  return {text->substr(before)};
}

std::optional<VfQuota> recorded_quota(const RecordedVfs& recorded) {
  VfQuota quota;
  if (!recorded.settings) return quota;
  for (const std::string_view word : split(*recorded.settings, ' ')) {
    const size_t end = word.find('=');
    if (end == std::string_view::npos) return {};  // it is being changed
    const std::string_view name = word.substr(0, end);
    const auto value = to_number<unsigned>(word.substr(end + 1));
    if (!value) return {};
    if (name == "vf-memory") quota.memory_mib = value;
    if (name == "exec-quantum") quota.exec_quantum_ms = value;
    if (name == "preempt-timeout") quota.preempt_timeout_us = value;
  }
  return quota;
}

Process vf_writer(const Root& root, const PciAddress& pf) {
  return recorded_vfs(root, pf, 0).writer;  // whose writer does not depend on their number
}

Reason still_changing(const Process& writer) {
  return {{},
          "an earlier change is still running (process " + std::to_string(writer.pid) + ")",
          "check: journalctl -k"};
}

bool settings_differ(const std::optional<std::string>& recorded, const VfSettings& wanted) {
  return recorded ? *recorded != settings_text(wanted) : wanted.quota != VfQuota{};
}

static void record(const Root& root, const PciAddress& pf, const std::string& settings) {
  write_file_atomically(paths::vf_settings(root, pf), settings + '\n');
}

KernelChange enable_vfs(const Root& root, const PciAddress& pf, const VfSettings& wanted,
                        const WriteOptions& options) {
  make_directories(paths::vf_settings(root));
  const auto before = recorded_text(root, pf);
  const bool has_vfs = !virtual_functions(root, pf).empty();
  record(root, pf, std::string(changing));
  const WriteOptions named(options.deadline, options.end, [&](pid_t writer) {
    record(root, pf, change_text(identify(root, writer), wanted, has_vfs));
    if (options.on_start) options.on_start(writer);
  });
  VfResult result = set_virtual_functions(root, pf, wanted, named);
  if (result.change.failure.empty())
    record(root, pf, settings_text(wanted));
  else if (!result.change.blocked && !result.untouched)
    record(root, pf, std::string(changing));
  else if (result.untouched && before)
    record(root, pf, *before);
  else if (result.untouched)
    remove_file(paths::vf_settings(root, pf));
  return std::move(result.change);
}

}  // namespace gpuward
