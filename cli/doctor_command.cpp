// SPDX-License-Identifier: LGPL-2.1-or-later
#include <unistd.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/quote.hpp"
#include "cli/commands.hpp"
#include "cli/doctor/findings.hpp"
#include "cli/output.hpp"
#include "domain/xml_document.hpp"
#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "libvirt/client.hpp"
#include "libvirt/version.hpp"

namespace gpuward {

using nlohmann::json;
using Severity = Finding::Severity;

static void append(Findings& to, Findings&& more) {
  std::move(more.begin(), more.end(), std::back_inserter(to));
}

/// "" when it runs no longer.
static std::string live_xml(const DomainStore& store, const Uuid& domain) try {
  return store.live_xml(domain);
} catch (const Error&) {
  return {};
}

/// The claims are read on both sides of the list of domains and of their XML.
static Findings check_claims(const Root& root, const Config& config, const DomainStore& store) {
  const std::vector<Claim> before = claimed_devices(root).claims;
  std::set<Uuid> active;
  std::vector<std::string> running;
  for (const DomainStore::Found& found : store.all()) {
    if (!found.active) continue;
    active.insert(found.uuid);
    running.push_back(live_xml(store, found.uuid));
  }
  const ClaimedDevices after = claimed_devices(root);
  Findings findings = check_released(before, after.claims, active);
  if (!after.unreadable.empty()) return findings;  // what domains have claimed is unknown
  for (const std::string& xml : running)
    append(findings, check_unclaimed(root, config, xml, before, after.claims));
  return findings;
}

/// What libvirt would start a domain with next: its definition, or what it runs with when it has
/// none.
static Findings check_domains(const Settings& settings, const Config& config) {
  Findings findings;
  try {
    const DomainStore store(settings.root, settings.connect);
    for (const ConfigProblem& problem : unsupported_by(config, store.version()))
      findings.push_back(
          {Severity::problem, "config", to_string(problem.position), problem.message,
           "fix the configuration; until then domains with this profile do not start"});
    append(findings, check_host_shutdown(settings.root, store.version()));
    for (const DomainStore::Found& found : store.all()) try {
        const std::string xml =
            found.persistent ? store.inactive_xml(found.uuid) : store.live_xml(found.uuid);
        Findings of_domain = check_domain(settings.root, config, found.name, xml, !found.active);
        append(findings,
               found.persistent ? std::move(of_domain) : of_transient_domain(std::move(of_domain)));
      } catch (const Error& error) {
        findings.push_back({Severity::warning, "domains", shown(found.name),
                            without_remedy(error.reason),
                            error.reason.remedy.empty() ? "virsh dumpxml " + shell_word(found.name)
                                                        : hint(error.reason)});
      }
    append(findings, check_claims(settings.root, config, store));
  } catch (const Error& error) {
    findings.push_back({Severity::warning, "domains", "libvirt",
                        "cannot check the domains: " + without_remedy(error.reason),
                        error.reason.remedy.empty() ? "gpuward doctor, when libvirt is running"
                                                    : hint(error.reason)});
  }
  return findings;
}

static Findings check_everything(const Settings& settings) {
  const Root& root = settings.root;
  const LoadedConfig loaded = load_config(config_files(root));
  const Host host = read_host(root, loaded.config);
  const HostLayers layers = read_guard_status(root, host.claimed.claims);
  Findings findings;
  if (::geteuid() != 0)
    findings.push_back({Severity::warning, "rights", "gpuward doctor",
                        "not running as root: some checks are incomplete",
                        "run gpuward doctor as root"});
  append(findings, check_config(root, loaded, host, layers.polkit.driver));
  append(findings, check_hook(layers));
  append(findings, check_other_hooks(root));
  append(findings, check_denials(root, ::time(nullptr)));
  append(findings, check_guards(layers, loaded.config.guard));
  append(findings, check_iommu(root, loaded.config, host));
  append(findings, check_interrupts(root));
  append(findings, check_other_tools(root, loaded.config, host));
  append(findings, check_devices(root, loaded.config, host));
  append(findings, check_started_anyway(root));
  append(findings, check_domains(settings, loaded.config));
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return findings;
}

static const char* severity_word(const Finding& finding) {
  return finding.severity == Severity::problem ? "problem" : "warning";
}

static json findings_json(const Findings& findings) {
  json list = json::array();
  for (const Finding& finding : findings)
    list.push_back({{"severity", severity_word(finding)},
                    {"check", finding.check},
                    {"object", finding.object},
                    {"found", finding.found},
                    {"fix", finding.fix}});
  return list;
}

static std::string findings_text(const Findings& findings, size_t problems) {
  if (findings.empty()) return "Nothing is wrong.\n";
  std::string text;
  for (const Finding& finding : merged(findings))
    text += std::string(severity_word(finding)) + ": " + finding.object + ": " + finding.found +
            "\n    fix: " + finding.fix + "\n";
  return text + std::to_string(problems) + " problem(s), " +
         std::to_string(findings.size() - problems) + " warning(s)\n";
}

int doctor_command(const Settings& settings) {
  const Findings findings = check_everything(settings);
  const auto problems = static_cast<size_t>(
      std::count_if(findings.begin(), findings.end(),
                    [](const Finding& finding) { return finding.severity == Severity::problem; }));
  if (settings.json)
    print_json(settings.json, "doctor", json{{"findings", findings_json(findings)}});
  else
    print_lines(findings_text(findings, problems));
  return problems == 0 ? 0 : 1;
}

}  // namespace gpuward
