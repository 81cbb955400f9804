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
  if (c.is(Guard::gpu_hotplug))
    return {State::none, "xml", "nothing in the XML can keep a device from being added"};
  std::string found;
  for (const Gap* gap : gaps_of(c)) found += (found.empty() ? "" : "; ") + place(*gap);
  if (!found.empty()) return {State::open, "xml", found};
  switch (c.guard) {
    case Guard::migration:
      if (!c.domain.qemu)
        return {State::unknown, "xml", "the version of " + c.domain.emulator + " cannot be told"};
      return {State::holds, "xml",
              *c.domain.qemu >= 8001000 ? "QEMU refuses to migrate, save or snapshot it with memory"
                                        : "QEMU before 8.1 migrates no VFIO device"};
    case Guard::pause:
      return {State::holds, "xml", "the guest cannot suspend itself"};
    default:
      return {State::holds, "xml", "there is no room for more memory: libvirt refuses it"};
  }
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
  const std::string start = c.is(Guard::migration) ? "that lets it be migrated"
                            : c.is(Guard::pause)   ? "that lets the guest suspend itself"
                                                   : "that has room for more memory";
  const std::string verb = policy_of(c.policy, c.guard) == Policy::warn
                               ? "logs a start with XML "
                               : "refuses to start it with XML ";
  return verb + start +
         (c.is(Guard::migration) ? ", and its arrival or restoring on this host" : "");
}

LayerState hook_layer(const Case& c) {
  if (c.is(Guard::gpu_hotplug)) return {State::none, "hook", "libvirt calls no hook for it"};
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

/// What is refused to users that are not root.
std::string polkit_permissions(Guard guard) {
  if (guard == Guard::migration) return "migrate, save, managedsave and dump";
  return guard == Guard::pause ? "suspend and dompmsuspend" : "";
}

LayerState polkit_layer(const Case& c) {
  const PolkitLayer& polkit = c.host.polkit;
  const std::string refused = polkit_permissions(c.guard);
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
  switch (c.guard) {
    case Guard::migration:
      return {
          State::holds, "guard",
          "gpuward-guard aborts such a job, unless it ends first, as it can with a small domain"};
    case Guard::pause:
      return {State::holds, "guard", "gpuward-guard resumes it at once, whoever paused it"};
    case Guard::memory_hotplug:
      return {State::holds, "guard", "gpuward-guard takes added memory out again"};
    case Guard::gpu_hotplug:
      break;
  }
  return {State::holds, "guard",
          "gpuward-guard takes an added GPU out again, and reports one that went"};
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
  if (xml.state == State::unknown && !guarded)
    explained.left.push_back(
        "if that QEMU is 8.1 or newer and the XML does not forbid it, root can "
        "migrate, save and snapshot it");
  if (xml.state != State::open) return;
  const bool starts =
      c.domain.active || !holds(explained, "hook") || explained.policy == Policy::warn;
  std::string what = c.is(Guard::migration) ? "root can migrate, save and snapshot it with memory"
                     : c.is(Guard::pause)   ? "the guest can suspend itself"
                                            : "whoever may change it can add memory";
  if (!starts)
    what = "as it stands the hook refuses to start it";
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

void tell_gpu_hotplug(const Case&, ExplainedGuard& explained) {
  const bool undone = holds(explained, "guard") && explained.policy == Policy::block;
  explained.left.push_back(
      std::string("whoever may change it can add a GPU to it or take one out (virsh attach-device, "
                  "detach-device): nothing in libvirt can refuse that to root; ") +
      (undone ? "gpuward-guard takes out what was added, it cannot bring back what went"
              : "nothing undoes it"));
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
  for (const Guard guard :
       {Guard::migration, Guard::pause, Guard::memory_hotplug, Guard::gpu_hotplug})
    guards.push_back(explain_guard({host, domain, policy, guard}));
  return guards;
}

}  // namespace gpuward
