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
  std::copy_if(gaps.begin(), gaps.end(), std::back_inserter(blocked), [&](const Gap& gap) {
    return policy_of(policy, gap.guard) == Policy::block && row_of(gap.guard).refuses_start;
  });
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

/// Of a gap that is not refused yet.
static std::string refused_later(const Gap& gap, const std::string& domain) {
  return told(gap) + "; the next release refuses to start such a domain; " +
         (gap.can_be_closed ? "shut it down and run: gpuward protect " + shell_word(domain) +
                                  " (all domains: gpuward protect --all)"
                            : "run: virsh edit " + shell_word(domain));
}

std::vector<std::string> guard_warnings(const GuardPolicy& policy, const std::string& domain,
                                        const std::vector<Gap>& gaps) {
  std::vector<std::string> lines;
  for (const Gap& gap : gaps) {
    const Policy set = policy_of(policy, gap.guard);
    if (set == Policy::warn)
      lines.push_back(told(gap) + " ([guard] " + std::string(to_string(gap.guard)) + " = warn)");
    if (set == Policy::block && !row_of(gap.guard).refuses_start)
      lines.push_back(refused_later(gap, domain));
  }
  return lines;
}

Verdict override_verdict(const Document& document, const std::vector<const Hostdev*>& gpus,
                         const std::string& domain, QemuAbilities qemu) {
  if (qemu.can_disable_vfio_migration) return Verdict::allow();
  for (const Hostdev* const gpu : gpus) {
    const std::string alias = alias_when_running(document, *gpu);
    const Element* const property = migration_property(document, alias);
    if (!property) continue;
    return Verdict::deny("<qemu:override> (line " + std::to_string(property->line) +
                         " of its XML) sets enable-migration for hostdev " + shown(alias) +
                         ", which its QEMU does not have before " +
                         std::string(first_qemu_with_enable_migration_text) +
                         "; 'gpuward protect " + shell_word(domain) +
                         "' takes out what gpuward wrote, 'virsh edit " + shell_word(domain) +
                         "' what others did");
  }
  return Verdict::allow();
}

}  // namespace gpuward
