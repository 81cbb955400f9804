// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/request_verdict.hpp"
#include "base/error.hpp"
#include "base/joined.hpp"
#include "base/quote.hpp"
#include "cli/doctor/findings.hpp"
#include "domain/xml_document.hpp"
#include "hooks/unparsed_xml.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "inventory/usage.hpp"
#include "inventory/viommu.hpp"
#include "kinds/device_setup.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/release.hpp"
#include "protection/protect.hpp"
#include "protection/qemu_version.hpp"
#include "protection/verdict.hpp"
#include "state/start_permit.hpp"

namespace gpuward {

using Severity = Finding::Severity;

static constexpr size_t longest_refusal = 500;

/// Of a guard that warns, or that does not refuse a start yet.
static Finding warned_gap(const std::string& name, const Gap& gap, Policy policy) {
  const bool all = !row_of(gap.guard).refuses_start && policy == Policy::block;
  return {Severity::warning, "domains", shown(name),
          "domain starts with a warning: " + gap.element + " (line " + std::to_string(gap.line) +
              "): " + gap.text,
          gap.can_be_fixed ? "gpuward protect " + shell_word(name) + ", while it is shut off" +
                                 (all ? " (all domains: gpuward protect --all)" : "")
                           : "virsh edit " + shell_word(name)};
}

/// What the hook refuses, with the remedy of the hook.
static Finding refused(Severity severity, const std::string& name, const std::string& what,
                       const Reason& reason) {
  return {severity, "domains", shown(name),
          what + ": " + shown(without_remedy(reason), longest_refusal),
          reason.remedy.empty() ? "gpuward explain " + shell_word(name) : hint(reason)};
}

static Finding refused_at_start(const std::string& name, const Reason& reason) {
  return refused(Severity::problem, name, "domain will not start", reason);
}

static void check_guards_of(const Root& root, const Config& config, const Document& document,
                            const Domain& domain, Findings& findings) {
  const auto gpus = gpu_hostdevs(root, config, domain);
  const QemuCapabilities qemu = abilities_of(qemu_version(root, emulator_of(document)));
  const auto add = [&](const Verdict& verdict) {
    if (!verdict) findings.push_back(refused_at_start(domain.name, verdict.reason));
  };
  add(override_verdict(document, gpus, domain.name, qemu));
  const auto gaps = gaps_to_close(document, gpus, config.guard, qemu);
  add(guard_verdict(config.guard, domain.name, gaps));
  for (const Gap& gap : gaps)
    if (!guard_warnings(config.guard, domain.name, {gap}).empty())
      findings.push_back(warned_gap(domain.name, gap, policy_of(config.guard, gap.guard)));
}

/// As the hook warns of them at each start.
static void check_command_line_of(const Root& root, const Config& config, const Domain& domain,
                                  Findings& findings) {
  const auto add = [&](int line, const std::string& what) {
    findings.push_back({Severity::warning, "domains", shown(domain.name),
                        "line " + std::to_string(line) + ": " + what,
                        "virsh edit " + shell_word(domain.name)});
  };
  for (const CommandLineDevice* const gpu : command_line_gpus(root, config, domain))
    add(gpu->line, "QEMU command line assigns the GPU " + in_quotes(gpu->text) +
                       ", which gpuward neither claims nor protects from migration; use a "
                       "<hostdev> instead");
  if (domain.readconfig != 0)
    add(domain.readconfig, "the file of -readconfig is not searched for GPUs");
}

static void check_devices_of(const Root& root, const Config& config, const Domain& domain,
                             Findings& findings) {
  const DevicesRefusal refusal = devices_refusal(root, config, domain);
  if (refusal.reason.problem.empty()) return;
  findings.push_back(refusal.passes ? refused(Severity::warning, domain.name,
                                              "domain would not start now", refusal.reason)
                                    : refused_at_start(domain.name, refusal.reason));
}

/// As the hook: a domain whose XML cannot be parsed is refused where it may have a GPU.
static Findings check_unparsed(const Root& root, const Config& config, const std::string& name,
                               std::string_view xml, const Reason& error) {
  const auto why = unparsed_refusal(root, config, xml, names_gpuward(xml), error);
  if (!why) return {};
  return {refused_at_start(name, *why)};
}

Findings check_domain(const Root& root, const Config& config, const std::string& name,
                      std::string_view xml, bool is_off) {
  if (!may_have_gpu(xml)) return {};
  std::optional<Document> document;
  Domain domain;
  try {
    document = parse_document(xml);
    domain = read_domain(*document);
  } catch (const Error& error) {
    return check_unparsed(root, config, name, xml, error.reason);
  }
  Findings findings;
  check_command_line_of(root, config, domain, findings);
  if (!is_gpu_domain(root, config, domain)) return findings;
  const Verdict request = request_verdict(config, domain);
  if (!request) findings.push_back(refused_at_start(domain.name, request.reason));
  if (const std::string conflict = viommu_conflict(root, *document, domain); !conflict.empty())
    findings.push_back({Severity::problem, "domains", shown(domain.name), conflict,
                        "virsh edit " + shell_word(domain.name)});
  check_guards_of(root, config, *document, domain, findings);
  if (is_off && request) check_devices_of(root, config, domain, findings);
  return findings;
}

/// "" where the fix does not change the domain's definition.
static std::string fix_of_file(std::string_view fix) {
  const std::string file = ", of the file that the domain is created from";
  if (fix.starts_with("gpuward protect ")) return "gpuward protect ./FILE" + file;
  if (fix.starts_with("gpuward attach ") || fix.starts_with("gpuward reassign "))
    return "gpuward rewrite < FILE" + file;
  const bool is_edit = fix.starts_with("virsh edit ") || fix.starts_with("gpuward detach ");
  return is_edit ? "edit the XML" + file : "";
}

Findings of_transient_domain(Findings findings) {
  for (Finding& finding : findings)
    if (const std::string fix = fix_of_file(finding.fix); !fix.empty()) finding.fix = fix;
  return findings;
}

Findings check_started_anyway(const Root& root) {
  Findings findings;
  std::vector<std::string> unreadable;
  for (const StartPermit& permit : all_started_anyway(root, unreadable)) {
    const std::string refusals = joined(permit.refusals, "; ");
    findings.push_back(
        {Severity::warning, "domains", shown(permit.name),
         "domain was started anyway (" + shown(to_string(permit)) +
             "), although: " + shown(refusals, 2 * longest_refusal),
         "fix that, shut the domain down, then run: gpuward start " + shell_word(permit.name)});
  }
  for (const std::string& line : unreadable)
    findings.push_back(
        {Severity::warning, "domains", "gpuward start --anyway", shown(line), "gpuward reconcile"});
  return findings;
}

static bool is_claimed(const std::vector<Claim>& claims, const Uuid& domain,
                       const ClaimedDevice& device) {
  for (const Claim& claim : claims)
    for (const ClaimedDevice& other : claim.devices)
      if (claim.domain == domain && other.state == ClaimedDevice::State::claimed &&
          is_same_device(other, device))
        return true;
  return false;
}

Findings check_released(const std::vector<Claim>& before, const std::vector<Claim>& after,
                        const std::set<Uuid>& active) {
  Findings findings;
  for (const Claim& claim : after) {
    if (active.contains(claim.domain)) continue;
    for (const ClaimedDevice& device : claim.devices)
      if (device.state == ClaimedDevice::State::claimed && is_claimed(before, claim.domain, device))
        findings.push_back({Severity::problem, "domains", shown(claim.name),
                            "domain is shut off, but " + describe_device(device) +
                                " was not released and cannot be assigned to another domain",
                            "gpuward reconcile"});
  }
  return findings;
}

static bool is_claimed(const std::vector<Claim>& claims, const Uuid& domain,
                       const Hostdev& hostdev) {
  for (const Claim& claim : claims)
    for (const ClaimedDevice& device : claim.devices)
      if (claim.domain == domain && (is_pci(device.use) ? device.address == hostdev.address
                                                        : device.instance == hostdev.instance))
        return true;
  return false;
}

static Finding unclaimed(const Domain& domain, const Hostdev& gpu, Policy hotplug) {
  const std::string device = gpu.address ? to_string(*gpu.address)
                                         : "instance " + to_string(gpu.instance.value_or(Uuid{}));
  return {hotplug == Policy::block ? Severity::problem : Severity::warning, "domains",
          shown(domain.name),
          "running domain has GPU " + device + " (" + in_quotes(gpu.alias) +
              ") without a claim: it was added while the domain runs, it was no GPU by the "
              "configuration then, or the hook did not run at its start",
          "virsh shutdown " + shell_word(domain.name)};
}

Findings check_unclaimed(const Root& root, const Config& config, std::string_view live_xml,
                         const std::vector<Claim>& before, const std::vector<Claim>& after) {
  if (!may_have_gpu(live_xml)) return {};
  Domain domain;
  try {
    domain = parse_domain(live_xml);
  } catch (const Error&) {
    return {};  // check_domain tells
  }
  Findings findings;
  for (const Hostdev* const gpu : gpu_hostdevs(root, config, domain))
    if (!is_claimed(before, domain.uuid, *gpu) && !is_claimed(after, domain.uuid, *gpu))
      findings.push_back(unclaimed(domain, *gpu, config.guard.gpu_hotplug));
  return findings;
}

}  // namespace gpuward
