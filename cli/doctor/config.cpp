// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/stat.h>

#include "base/file.hpp"
#include "base/trusted_file.hpp"
#include "cli/doctor/findings.hpp"
#include "inventory/selector_check.hpp"
#include "inventory/snapshot.hpp"
#include "state/paths.hpp"

namespace gpuward {

using Severity = Finding::Severity;

/// By the function that the hook and gpuward-provision go by.
static void check_owners(const Root& root, Findings& findings) {
  std::vector<Untrusted> untrusted = untrusted_config(root);
  for (const std::string& directory : {paths::claims(root), paths::gpu_domains(root)})
    for (Untrusted& more : find_untrusted(root, directory)) untrusted.push_back(std::move(more));
  for (const Untrusted& each : untrusted)
    findings.push_back({Severity::problem, "config", each.path, each.found, each.command});
}

/// polkitd is neither root nor of its group.
static void check_readable(const Root& root, const std::string& path, Tristate polkit_driver,
                           Findings& findings) {
  struct stat info;
  if (::stat(root.at(path).c_str(), &info) != 0) return;
  const bool directory = S_ISDIR(info.st_mode);
  const mode_t needed = directory ? 0005 : 0004;
  if ((info.st_mode & needed) == needed) return;
  findings.push_back(
      {polkit_driver == Tristate::yes ? Severity::problem : Severity::warning, "config", path,
       "not readable by user polkitd, so gpuward-polkit cannot determine what is allowed",
       (directory ? "chmod 755 " : "chmod 644 ") + path});
}

Findings check_config(const Root& root, const LoadedConfig& loaded, const Host& host,
                      Tristate polkit_driver) {
  Findings findings;
  for (const ConfigProblem& problem : loaded.problems)
    findings.push_back({Severity::problem, "config", to_string(problem.position), problem.message,
                        "fix the configuration; until then no domain with a GPU starts"});
  for (const ConfigProblem& problem : loaded.unsupported)
    findings.push_back({Severity::problem, "config", to_string(problem.position), problem.message,
                        "correct the file, then run: gpuward check"});
  for (const ConfigProblem& warning : unmatched_selectors(root, loaded.config, host.gpus))
    findings.push_back({Severity::warning, "config", to_string(warning.position), warning.message,
                        "correct the selector, insert the card, or load its driver"});
  std::vector<std::string> checked{"/etc/gpuward", "/etc/gpuward/conf.d"};
  for (const std::string& file : config_files(root))
    checked.push_back(file.substr(root.prefix.size()));
  const Root unprefixed;
  for (const std::string& directory :
       {paths::run(unprefixed), paths::claims(unprefixed), paths::gpu_domains(unprefixed)})
    checked.push_back(directory);
  for (const std::string& path : checked) check_readable(root, path, polkit_driver, findings);
  check_owners(root, findings);
  return findings;
}

Findings check_guards(const HostLayers& layers, const GuardPolicy& policy) {
  Findings findings;
  bool wanted = false;
  for (const GuardRow& row : guard_table())
    wanted = wanted || policy_of(policy, row.guard) != Policy::allow;
  if (wanted && layers.guard_service == Tristate::no)
    findings.push_back({Severity::problem, "guards", "gpuward-guard.service",
                        "not running, so pauses and hot-plugged GPUs are not reverted",
                        "systemctl enable --now gpuward-guard"});
  const PolkitLayer& polkit = layers.polkit;
  if (polkit.driver != Tristate::yes) return findings;
  if (polkit.changed)
    findings.push_back({Severity::warning, "guards", polkit.config,
                        "changed after the running daemon read the file",
                        "systemctl restart " + layers.daemon->name});
  if (polkit.rule == Tristate::no)
    findings.push_back({Severity::problem, "guards", "/usr/share/polkit-1/rules.d/10-gpuward.rules",
                        "libvirt checks polkit, but gpuward's rule is missing or overridden by "
                        "/etc/polkit-1/rules.d/10-gpuward.rules",
                        "reinstall gpuward or remove that file; ignore this if intended"});
  if (!polkit.helper)
    findings.push_back({Severity::problem, "guards", "/usr/sbin/gpuward-polkit",
                        "called by polkit's rule, but missing or not executable",
                        "reinstall gpuward"});
  return findings;
}

}  // namespace gpuward
