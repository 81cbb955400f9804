// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/explain.hpp"

#include <algorithm>

#include "base/joined.hpp"
#include "base/quote.hpp"
#include "protection/remaining.hpp"

namespace gpuward {

using State = LayerState::State;

std::string_view to_string(State state) {
  switch (state) {
    case State::holds:
      return "enforced";
    case State::open:
      return "incomplete";
    case State::off:
      return "inactive";
    case State::none:
      return "not-applicable";
    case State::unknown:
      break;
  }
  return "unknown";
}

namespace {

/// What there is to say on one guard.
struct Case {
  const HostLayers& host;
  const GuardedDomain& domain;
  const GuardPolicy& policy;
  Guard guard;
};

/// `explained`: as far as its layers are known.
GuardFacts facts_of(const Case& c, const ExplainedGuard* explained = nullptr);

std::vector<const Gap*> gaps_of(const Case& c) {
  std::vector<const Gap*> gaps;
  for (const Gap& gap : c.domain.gaps)
    if (gap.guard == c.guard) gaps.push_back(&gap);
  return gaps;
}

LayerState xml_layer(const Case& c) {
  const std::string found =
      joined(gaps_of(c), "; ", [](const Gap* gap) { return place_text(*gap); });
  if (!found.empty()) return {State::open, "xml", found};
  const GuardRow& row = row_of(c.guard);
  const std::string by = row.xml_holds_by ? row.xml_holds_by(facts_of(c)) : "";
  return {State::holds, "xml", by.empty() ? std::string(row.xml_holds) : by};
}

std::string link_trouble(const HookLink& link) {
  const std::string path = hook_link, program = hook_program;
  switch (link.state) {
    case HookLink::State::good:
      return "";
    case HookLink::State::absent:
      return path + " is missing";
    case HookLink::State::turned_off:
      return path + " points to /dev/null: the hook is disabled";
    case HookLink::State::dangling:
      return path + " points to a missing file";
    case HookLink::State::foreign:
      return path + " is not the link to " + program;
    case HookLink::State::not_executable:
      break;
  }
  return program + " is not executable";
}

std::string what_the_hook_does(const Case& c) {
  const bool refuses =
      policy_of(c.policy, c.guard) == Policy::block && row_of(c.guard).refuses_start;
  return (refuses ? "refuses to start the domain with " : "logs a start with ") +
         std::string(row_of(c.guard).open_xml) + std::string(row_of(c.guard).also_refused);
}

LayerState hook_layer(const Case& c) {
  if (const std::string trouble = link_trouble(c.host.link); !trouble.empty())
    return {State::off, "hook", trouble + "; run: " + hook_fix(c.host)};
  switch (c.host.seen.seen) {
    case Tristate::yes:
      return {State::holds, "hook", what_the_hook_does(c) + "; " + c.host.seen.reason};
    case Tristate::no:
      return {State::off, "hook", c.host.seen.reason};
    case Tristate::unknown:
      break;
  }
  return {State::unknown, "hook", c.host.seen.reason + "; run: " + hook_fix(c.host)};
}

LayerState polkit_layer(const Case& c) {
  const PolkitLayer& polkit = c.host.polkit;
  const std::string refused(row_of(c.guard).calls_text);
  if (refused.empty())
    return {State::none, "polkit",
            "libvirt uses one polkit permission for this and for harmless calls"};
  if (polkit.driver == Tristate::no)
    return {State::off, "polkit",
            "libvirt does not check polkit; gpuward-polkit(8) has the lines for " + polkit.config};
  if (polkit.driver == Tristate::unknown)
    return {State::unknown, "polkit", polkit.config + " cannot be read; run this as root"};
  if (polkit.changed)
    return {State::unknown, "polkit",
            polkit.config + " is newer than the running daemon, which reads it when it starts"};
  if (polkit.rule == Tristate::unknown)
    return {State::unknown, "polkit", "polkit's rules cannot be read; run this as root"};
  if (polkit.rule == Tristate::no)
    return {State::off, "polkit",
            "gpuward's rule is missing or overridden by /etc/polkit-1/rules.d/10-gpuward.rules"};
  if (!polkit.helper) return {State::off, "polkit", "/usr/sbin/gpuward-polkit is missing"};
  if (c.domain.active && !c.domain.known_to_polkit)
    return {
        State::off, "polkit",
        "domain was started before the hook was installed, so gpuward-polkit does not cover it; "
        "restart the domain or " +
            (c.host.daemon ? c.host.daemon->name : "libvirtd")};
  const char* verb = policy_of(c.policy, c.guard) == Policy::warn ? "logs " : "refuses ";
  return {State::holds, "polkit", verb + refused + " to all but root"};
}

LayerState guard_layer(const Case& c) {
  if (c.host.guard_service == Tristate::unknown)
    return {State::unknown, "guard",
            "cannot determine whether gpuward-guard is running; run this as root"};
  if (c.host.guard_service == Tristate::no)
    return {State::off, "guard",
            "gpuward-guard is not running: systemctl enable --now gpuward-guard"};
  if (policy_of(c.policy, c.guard) == Policy::warn)
    return {State::holds, "guard", "gpuward-guard logs the call"};
  return {State::holds, "guard", std::string(row_of(c.guard).undone)};
}

const LayerState& layer_of(const ExplainedGuard& explained, std::string_view name) {
  return *std::find_if(explained.layers.begin(), explained.layers.end(),
                       [&](const LayerState& layer) { return layer.layer == name; });
}

bool holds(const ExplainedGuard& explained, std::string_view name) {
  return layer_of(explained, name).state == State::holds;
}

std::string protect(const Case& c) {
  const std::string command = "run: gpuward protect " + shell_word(c.domain.name);
  return c.domain.active ? "; shut the domain down and " + command : "; " + command;
}

GuardFacts facts_of(const Case& c, const ExplainedGuard* explained) {
  GuardFacts facts{c.domain.name, c.policy, c.domain.qemu, c.domain.pci_root,
                   c.domain.configured_pauses};
  if (!explained) return facts;
  facts.has_xml = holds(*explained, "xml");
  facts.has_polkit = holds(*explained, "polkit");
  facts.has_guard = holds(*explained, "guard");
  return facts;
}

/// What the XML allows, and whether anything reverts it.
void add_open_xml(const Case& c, ExplainedGuard& explained) {
  const GuardRow& row = row_of(c.guard);
  if (layer_of(explained, "xml").state != State::open) return;
  const bool starts = c.domain.active || !holds(explained, "hook") ||
                      explained.policy == Policy::warn || !row.refuses_start;
  std::string what = "the hook refuses to start the domain with its present XML";
  if (starts) {
    what = row.open_allows;
    if (holds(explained, "guard")) what += row.open_undone;
  }
  explained.left.push_back(what + protect(c));
}

ExplainedGuard explain_guard(const Case& c) {
  ExplainedGuard explained{c.guard, policy_of(c.policy, c.guard), {}, {}};
  if (explained.policy == Policy::allow) {
    explained.left.push_back("everything: allowed by [guard]");
    return explained;
  }
  explained.layers = {xml_layer(c), hook_layer(c), polkit_layer(c), guard_layer(c)};
  add_open_xml(c, explained);
  if (const auto add_remaining = row_of(c.guard).add_remaining)
    add_remaining(facts_of(c, &explained), explained.left);
  return explained;
}

}  // namespace

std::vector<ExplainedGuard> explain(const HostLayers& host, const GuardedDomain& domain,
                                    const GuardPolicy& policy) {
  std::vector<ExplainedGuard> guards;
  for (const GuardRow& row : guard_table())
    guards.push_back(explain_guard({host, domain, policy, row.guard}));
  return guards;
}

}  // namespace gpuward
