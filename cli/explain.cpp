// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/explain.hpp"

#include <algorithm>

#include "hooks/request_verdict.hpp"

namespace gpuward {

using State = LayerState::State;

std::string_view to_string(State state) {
  switch (state) {
    case State::holds:
      return "holds";
    case State::open:
      return "open";
    case State::off:
      return "off";
    case State::none:
      return "none";
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
  std::string found;
  for (const Gap* gap : gaps_of(c)) found += (found.empty() ? "" : "; ") + place(*gap);
  if (!found.empty()) return {State::open, "xml", found};
  if (c.is(Guard::migration) && c.domain.qemu && *c.domain.qemu < first_qemu_with_enable_migration)
    return {State::holds, "xml",
            "QEMU before " + std::string(first_qemu_with_enable_migration_text) +
                " migrates no VFIO device"};
  const bool is_strict = c.is(Guard::gpu_hotplug) && c.policy.gpu_hotplug_strict;
  return {State::holds, "xml",
          std::string(row_of(c.guard).xml_holds) + (is_strict ? ", and to add any device" : "")};
}

std::string link_trouble(const HookLink& link) {
  switch (link.state) {
    case HookLink::State::good:
      return "";
    case HookLink::State::absent:
      return std::string(hook_link) + " is missing: ln -s " + hook_program + ' ' + hook_link;
    case HookLink::State::turned_off:
      return std::string(hook_link) + " points to /dev/null: it is turned off";
    case HookLink::State::dangling:
      return std::string(hook_link) + " points to nothing: install gpuward anew";
    case HookLink::State::foreign:
      return std::string(hook_link) + " is not the link to " + hook_program;
    case HookLink::State::not_executable:
      break;
  }
  return std::string(hook_program) + " is not executable: chmod 755 " + hook_program;
}

std::string what_the_hook_does(const Case& c) {
  const bool refuses =
      policy_of(c.policy, c.guard) == Policy::block && row_of(c.guard).refuses_start;
  return (refuses ? "refuses to start it with XML " : "logs a start with XML ") +
         std::string(row_of(c.guard).open_xml) +
         (c.is(Guard::migration) ? ", and its arrival or restoring on this host" : "");
}

LayerState hook_layer(const Case& c) {
  if (const std::string trouble = link_trouble(c.host.link); !trouble.empty())
    return {State::off, "hook", trouble};
  switch (c.host.seen.seen) {
    case Known::yes:
      return {State::holds, "hook", what_the_hook_does(c) + "; " + c.host.seen.reason};
    case Known::no:
      return {State::off, "hook", c.host.seen.reason};
    case Known::unknown:
      break;
  }
  return {State::unknown, "hook", c.host.seen.reason + ": systemctl reload libvirtd"};
}

LayerState polkit_layer(const Case& c) {
  const PolkitLayer& polkit = c.host.polkit;
  const std::string refused(row_of(c.guard).calls_text);
  if (refused.empty())
    return {State::none, "polkit",
            "libvirt asks polkit one question for this and for harmless calls"};
  if (polkit.driver == Known::no)
    return {State::off, "polkit",
            "libvirt does not ask polkit; gpuward-polkit(8) has the lines for " + polkit.config};
  if (polkit.driver == Known::unknown)
    return {State::unknown, "polkit", polkit.config + " cannot be read; run this as root"};
  if (polkit.changed)
    return {State::unknown, "polkit",
            polkit.config + " is newer than the running daemon, which reads it when it starts"};
  if (polkit.rule == Known::unknown)
    return {State::unknown, "polkit", "polkit's rules cannot be read; run this as root"};
  if (polkit.rule == Known::no)
    return {
        State::off, "polkit",
        "gpuward's rule is missing, or /etc/polkit-1/rules.d/10-gpuward.rules stands in its place"};
  if (!polkit.helper) return {State::off, "polkit", "/usr/sbin/gpuward-polkit is missing"};
  if (c.domain.active && !c.domain.known_to_polkit)
    return {
        State::off, "polkit",
        "the helper does not know of its GPU: it was on before the hook was there; it will when "
        "it starts next or libvirt restarts"};
  const char* verb = policy_of(c.policy, c.guard) == Policy::warn ? "logs " : "refuses ";
  return {State::holds, "polkit", verb + refused + " to all but root"};
}

LayerState guard_layer(const Case& c) {
  if (c.host.guard_service == Known::unknown)
    return {State::unknown, "guard", "whether gpuward-guard runs cannot be told; run this as root"};
  if (c.host.guard_service == Known::no)
    return {State::off, "guard",
            "gpuward-guard does not run: systemctl enable --now gpuward-guard"};
  if (policy_of(c.policy, c.guard) == Policy::warn)
    return {State::holds, "guard", "gpuward-guard logs it"};
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
  const std::string command = "'gpuward protect " + shell_word(c.domain.name) + "'";
  return c.domain.active ? "; when it is off, " + command + " closes this"
                         : "; " + command + " closes this";
}

/// What the XML lets through, and whether anything undoes it.
void tell_open_xml(const Case& c, ExplainedGuard& explained) {
  const LayerState& xml = layer_of(explained, "xml");
  const bool guarded = holds(explained, "guard");
  if (xml.state != State::open) return;
  const bool starts = c.domain.active || !holds(explained, "hook") ||
                      explained.policy == Policy::warn || !row_of(c.guard).refuses_start;
  std::string what = c.is(Guard::migration) ? "root can migrate, save and snapshot it with memory"
                     : c.is(Guard::pause)   ? "the guest can suspend itself"
                     : c.is(Guard::gpu_hotplug)
                         ? "its GPU can be removed while it runs (virsh detach-device, QEMU's "
                           "monitor, the guest's own eject)"
                         : "whoever may change it can add memory";
  if (!starts)
    what = "as it stands the hook refuses to start it";
  else if (c.is(Guard::gpu_hotplug))
    what += ", and not be brought back";
  else if (c.is(Guard::migration) && guarded)
    what += "; gpuward-guard aborts such a job, but a small domain may be saved or gone before";
  else if (!c.is(Guard::pause) && guarded)
    what += ", which gpuward-guard undoes";
  explained.left.push_back(what + protect(c));
}

void tell_pause(const Case& c, ExplainedGuard& explained) {
  const std::string who =
      holds(explained, "polkit") ? "root" : "root, and whoever libvirt lets manage domains,";
  const std::string after = holds(explained, "guard") && explained.policy == Policy::block
                                ? "gpuward-guard resumes it, within milliseconds as a rule"
                                : "it stands still until someone resumes it";
  explained.left.push_back(
      who +
      " can pause it (virsh suspend, Pacemaker, a management tool): nothing in libvirt can "
      "refuse that; " +
      after);
  explained.left.push_back(
      "libvirt itself pauses it while it dumps its memory; that is left alone");
  explained.left.push_back(
      "QEMU stops it for an internal snapshot, for a guest panic with on_crash = preserve, and "
      "when "
      "an I/O limit (virsh blkdeviotune) starves its disks it waits: none of these is undone");
  for (const Gap& pause : c.domain.chosen_pauses)
    explained.left.push_back(place(pause) + (c.policy.harden
                                                 ? ""
                                                 : "; its definition says so, and it is left so "
                                                   "unless 'harden = yes' stands in [guard]"));
}

void tell_gpu_hotplug(const Case& c, ExplainedGuard& explained) {
  const bool undone = holds(explained, "guard") && explained.policy == Policy::block;
  const bool is_pc = c.domain.pci_root == PciRoot::i440fx;
  if (is_pc)
    explained.left.push_back(
        "its machine type is pc: hot-plug is on or off for all of pci.0, so NICs and disks lose "
        "theirs with the GPU; 'gpu-hotplug = warn' in [guard] keeps it on for all");
  if (holds(explained, "xml") && (is_pc || c.policy.gpu_hotplug_strict)) return;
  explained.left.push_back(
      std::string(
          "whoever may change it can add a GPU at a free PCI port (virsh attach-device): ") +
      (undone ? "gpuward-guard asks the guest to release it, and a guest may refuse"
              : "nothing undoes it") +
      "; 'gpu-hotplug = strict' closes these ports as well");
}

void tell_rest(const Case& c, ExplainedGuard& explained) {
  tell_open_xml(c, explained);
  if (c.is(Guard::migration))
    explained.left.push_back(
        "while it is off its definition can be copied to another host (virsh migrate "
        "--offline), where only that host's own gpuward guards it");
  if (c.is(Guard::pause)) tell_pause(c, explained);
  if (c.is(Guard::gpu_hotplug)) tell_gpu_hotplug(c, explained);
}

ExplainedGuard explain_guard(const Case& c) {
  ExplainedGuard explained{c.guard, policy_of(c.policy, c.guard), {}, {}};
  if (explained.policy == Policy::allow) {
    explained.left.push_back("all of it: [guard] allows it");
    return explained;
  }
  explained.layers = {xml_layer(c), hook_layer(c), polkit_layer(c), guard_layer(c)};
  tell_rest(c, explained);
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
