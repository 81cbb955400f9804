// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/verdict.hpp"

#include <algorithm>

#include "base/quote.hpp"
#include "domain/qemu_override.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

static std::string place_of(const Gap& gap) {
  return "domain XML line " + std::to_string(gap.line) + " (" + gap.element + ")";
}

static std::string remedy(const Gap& gap, const std::string& domain) {
  return (gap.can_be_fixed ? "run: gpuward protect " : "run: virsh edit ") + shell_word(domain);
}

Verdict guard_verdict(const GuardPolicy& policy, const std::string& domain,
                      const std::vector<Gap>& gaps) {
  std::vector<Gap> blocked;
  std::copy_if(gaps.begin(), gaps.end(), std::back_inserter(blocked), [&](const Gap& gap) {
    return policy_of(policy, gap.guard) == Policy::block && row_of(gap.guard).refuses_start;
  });
  if (blocked.empty()) return Verdict::allow();
  // First what only its author can change: until then `gpuward protect` refuses as well.
  std::stable_partition(blocked.begin(), blocked.end(),
                        [](const Gap& gap) { return !gap.can_be_fixed; });
  const Gap& gap = blocked.front();
  const std::string more =
      blocked.size() > 1 ? " (and " + std::to_string(blocked.size() - 1) + " more)" : "";
  return Verdict::deny(
      {place_of(gap), gap.text + more + ", blocked by [guard] " + std::string(to_string(gap.guard)),
       remedy(gap, domain)});
}

/// Of a gap that is not refused yet.
static std::string refused_later(const Gap& gap, const std::string& domain) {
  return place_of(gap) + ": " + gap.text + "; the next release refuses to start the domain; " +
         (gap.can_be_fixed ? "shut it down and " : "") + remedy(gap, domain) +
         (gap.can_be_fixed ? " (all domains: gpuward protect --all)" : "");
}

std::vector<std::string> guard_warnings(const GuardPolicy& policy, const std::string& domain,
                                        const std::vector<Gap>& gaps) {
  std::vector<std::string> lines;
  for (const Gap& gap : gaps) {
    const Policy set = policy_of(policy, gap.guard);
    if (set == Policy::warn)
      lines.push_back(place_of(gap) + ": " + gap.text + " ([guard] " +
                      setting_text(gap.guard, set) + ")");
    if (set == Policy::block && !row_of(gap.guard).refuses_start)
      lines.push_back(refused_later(gap, domain));
  }
  return lines;
}

Verdict override_verdict(const Document& document, const std::vector<const Hostdev*>& gpus,
                         const std::string& domain, QemuCapabilities qemu) {
  if (qemu.can_disable_vfio_migration) return Verdict::allow();
  for (const Hostdev* const gpu : gpus) {
    const std::string alias = alias_when_running(document, *gpu);
    const Element* const property = migration_property(document, alias);
    if (!property) continue;
    return Verdict::deny(
        {"domain XML line " + std::to_string(property->line) + " (<qemu:override>)",
         "sets enable-migration of hostdev " + shown(alias) + ", which QEMU does not have before " +
             std::string(first_qemu_with_enable_migration_text),
         "run: gpuward protect " + shell_word(domain) +
             ", or for XML not written by gpuward: " + "virsh edit " + shell_word(domain)});
  }
  return Verdict::allow();
}

}  // namespace gpuward
