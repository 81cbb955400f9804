// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/explain.hpp"

#include <algorithm>

#include "base/joined.hpp"
#include "base/quote.hpp"

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

  bool is(Guard other) const { return guard == other; }
};

std::vector<const Gap*> gaps_of(const Case& c) {
  std::vector<const Gap*> gaps;
  for (const Gap& gap : c.domain.gaps)
    if (gap.guard == c.guard) gaps.push_back(&gap);
  return gaps;
}

std::string place(const Gap& gap) {
  return gap.element + " (line " + std::to_string(gap.line) + "): " + gap.text;
}

LayerState xml_layer(const Case& c) {
  std::string found = joined(gaps_of(c), "; ", [](const Gap* gap) { return place(*gap); });
  if (!found.empty()) return {State::open, "xml", found};
  if (c.is(Guard::migration) && c.domain.qemu && *c.domain.qemu < first_qemu_with_enable_migration)
    return {State::holds, "xml",
            "QEMU before " + std::string(first_qemu_with_enable_migration_text) +
                " does not migrate VFIO devices unless x-enable-migration is on"};
  const bool is_strict = c.is(Guard::gpu_hotplug) && c.policy.gpu_hotplug_strict;
  return {State::holds, "xml",
          std::string(row_of(c.guard).xml_holds) + (is_strict ? ", and to add any device" : "")};
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
         std::string(row_of(c.guard).open_xml) +
         (c.is(Guard::migration) ? ", and its incoming migration or restore on this host" : "");
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

/// What the XML allows, and whether anything reverts it.
void add_open_xml(const Case& c, ExplainedGuard& explained) {
  const LayerState& xml = layer_of(explained, "xml");
  const bool guarded = holds(explained, "guard");
  if (xml.state != State::open) return;
  const bool starts = c.domain.active || !holds(explained, "hook") ||
                      explained.policy == Policy::warn || !row_of(c.guard).refuses_start;
  std::string what =
      c.is(Guard::migration) ? "root can migrate and save the domain and snapshot its memory"
      : c.is(Guard::pause)   ? "the guest can suspend itself"
      : c.is(Guard::gpu_hotplug)
          ? "the GPU can be removed while the domain runs (virsh detach-device, QEMU's "
            "monitor, the guest's own eject)"
          : "users who may change the domain can add memory";
  if (!starts)
    what = "the hook refuses to start the domain with its present XML";
  else if (c.is(Guard::gpu_hotplug))
    what += " and cannot be restored";
  else if (c.is(Guard::migration) && guarded)
    what +=
        "; gpuward-guard aborts such a job, but a small domain may be saved or migrated before "
        "that";
  else if (!c.is(Guard::pause) && guarded)
    what += ", which gpuward-guard reverts";
  explained.left.push_back(what + protect(c));
}

void add_pause(const Case& c, ExplainedGuard& explained) {
  const std::string who =
      holds(explained, "polkit") ? "root" : "root and users whom libvirt allows to manage domains";
  const std::string after =
      holds(explained, "guard") && explained.policy == Policy::block
          ? "gpuward-guard resumes the domain, usually within milliseconds"
          : "the domain stays paused until: virsh resume " + shell_word(c.domain.name);
  explained.left.push_back(
      who +
      " can pause the domain (virsh suspend, Pacemaker, a management tool), which libvirt cannot "
      "block; " +
      after);
  explained.left.push_back("libvirt pauses the domain while dumping its memory, which is allowed");
  explained.left.push_back(
      "QEMU stops the domain for an internal snapshot and at a guest panic with on_crash = "
      "preserve, and an I/O limit (virsh blkdeviotune) may stall it: none of these is reverted");
  for (const Gap& pause : c.domain.configured_pauses)
    explained.left.push_back(place(pause) + (c.policy.harden
                                                 ? ""
                                                 : "; kept as defined unless harden = yes "
                                                   "is set in [guard]"));
}

void add_gpu_hotplug(const Case& c, ExplainedGuard& explained) {
  const bool undone = holds(explained, "guard") && explained.policy == Policy::block;
  const bool is_pc = c.domain.pci_root == PciRoot::i440fx;
  if (is_pc)
    explained.left.push_back(
        "machine type pc: hot-plug can only be disabled for all of pci.0, including NICs and "
        "disks; gpu-hotplug = warn in [guard] keeps it enabled");
  if (holds(explained, "xml") && (is_pc || c.policy.gpu_hotplug_strict)) return;
  explained.left.push_back(std::string("users who may change the domain can add a GPU at a free "
                                       "PCI port (virsh attach-device): ") +
                           (undone ? "gpuward-guard requests the unplug, which the guest may refuse"
                                   : "which nothing reverts") +
                           "; gpu-hotplug = strict disables hot-plug of these ports as well");
}

void add_remaining(const Case& c, ExplainedGuard& explained) {
  add_open_xml(c, explained);
  if (c.is(Guard::migration))
    explained.left.push_back(
        "the definition of a shut-off domain can be copied to another host (virsh migrate "
        "--offline), where only gpuward on that host guards it");
  if (c.is(Guard::pause)) add_pause(c, explained);
  if (c.is(Guard::gpu_hotplug)) add_gpu_hotplug(c, explained);
}

ExplainedGuard explain_guard(const Case& c) {
  ExplainedGuard explained{c.guard, policy_of(c.policy, c.guard), {}, {}};
  if (explained.policy == Policy::allow) {
    explained.left.push_back("everything: allowed by [guard]");
    return explained;
  }
  explained.layers = {xml_layer(c), hook_layer(c), polkit_layer(c), guard_layer(c)};
  add_remaining(c, explained);
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
