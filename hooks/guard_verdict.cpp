// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/guard_verdict.hpp"

#include <algorithm>

#include "domain/document.hpp"
#include "domain/qemu_override.hpp"
#include "hooks/request_verdict.hpp"

namespace gpuward {

static std::string told(const Gap& gap) {
  return gap.element + " (line " + std::to_string(gap.line) + " of its XML): " + gap.text;
}

Verdict guard_verdict(const GuardPolicy& policy, const std::string& domain,
                      const std::vector<Gap>& gaps) {
  std::vector<Gap> blocked;
  std::copy_if(gaps.begin(), gaps.end(), std::back_inserter(blocked),
               [&](const Gap& gap) { return policy_of(policy, gap.guard) == Policy::block; });
  if (blocked.empty()) return Verdict::allow();
  // First what only its author can mend: before that protect mends nothing.
  std::stable_partition(blocked.begin(), blocked.end(),
                        [](const Gap& gap) { return !gap.can_be_closed; });
  const Gap& gap = blocked.front();
  const std::string guard(to_string(gap.guard));
  const std::string more =
      blocked.size() > 1 ? " (and " + std::to_string(blocked.size() - 1) + " more)" : "";
  const std::string mend = gap.can_be_closed
                               ? "'gpuward protect " + shell_word(domain) + "' closes it"
                               : "change it with 'virsh edit " + shell_word(domain) + "'";
  return Verdict::deny(told(gap) + more + ", and [guard] blocks " + guard + "; " + mend);
}

std::vector<std::string> guard_warnings(const GuardPolicy& policy, const std::vector<Gap>& gaps) {
  std::vector<std::string> lines;
  for (const Gap& gap : gaps)
    if (policy_of(policy, gap.guard) == Policy::warn)
      lines.push_back(told(gap) + " ([guard] " + std::string(to_string(gap.guard)) + " = warn)");
  return lines;
}

Verdict override_verdict(const Document& document, const std::vector<const Hostdev*>& gpus,
                         const std::string& domain, QemuAbilities qemu) {
  if (!qemu.is_known || qemu.can_disable_vfio_migration) return Verdict::allow();
  for (const Hostdev* const gpu : gpus) {
    const std::string alias = alias_when_running(document, *gpu);
    const Element* const property = migration_property(document, alias);
    if (!property) continue;
    return Verdict::deny("<qemu:override> (line " + std::to_string(property->line) +
                         " of its XML) sets enable-migration for hostdev " + shown(alias) +
                         ", which its QEMU does not have before 8.1; 'gpuward protect " +
                         shell_word(domain) + "' takes out what gpuward wrote, 'virsh edit " +
                         shell_word(domain) + "' what others did");
  }
  return Verdict::allow();
}

}  // namespace gpuward
