// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/error.hpp"
#include "base/quote.hpp"
#include "cli/doctor.hpp"
#include "domain/document.hpp"
#include "hooks/qemu_version.hpp"
#include "hooks/request_verdict.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "inventory/viommu.hpp"

namespace gpuward {

using Severity = Finding::Severity;

static Finding open_gap(const std::string& name, const Gap& gap, Policy policy) {
  const bool refused = policy == Policy::block && row_of(gap.guard).refuses_start;
  const bool all = gap.guard == Guard::gpu_hotplug && policy == Policy::block;
  return {refused ? Severity::problem : Severity::warning, "domains", shown(name),
          std::string(refused ? "domain will not start" : "domain starts with a warning") + ": " +
              gap.element + " (line " + std::to_string(gap.line) + "): " + gap.text,
          gap.can_be_closed ? "gpuward protect " + shell_word(name) + ", while it is shut off" +
                                  (all ? " (all domains: gpuward protect --all)" : "")
                            : "virsh edit " + shell_word(name)};
}

Findings check_domain(const Root& root, const Config& config, std::string_view xml) {
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  if (!is_gpu_domain(root, config, domain)) return {};
  Findings findings;
  if (asks_gpuward(domain))
    if (const Verdict verdict = request_verdict(config, domain); !verdict)
      findings.push_back({Severity::problem, "domains", shown(domain.name),
                          "domain will not start: " + shown(without_remedy(verdict.reason), 500),
                          hint(verdict.reason)});
  if (const std::string conflict = viommu_conflict(root, document, domain); !conflict.empty())
    findings.push_back({Severity::problem, "domains", shown(domain.name), conflict,
                        "virsh edit " + shell_word(domain.name)});
  const auto gpus = gpu_hostdevs(root, config, domain);
  const auto qemu = qemu_version(root, emulator_of(document));
  for (const Gap& gap : guard_gaps({document, gpus, config.guard, abilities_of(qemu)}))
    if (const Policy policy = policy_of(config.guard, gap.guard); policy != Policy::allow)
      findings.push_back(open_gap(domain.name, gap, policy));
  return findings;
}

}  // namespace gpuward
