// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/protect.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/device_names.hpp"
#include "protection/gpu_hotplug.hpp"
#include "protection/gpu_hotplug_record.hpp"
#include "protection/own_ports.hpp"
#include "protection/protect_work.hpp"

// What protect leaves in <gpuward:domain>, so that unprotect knows what was there before:
//
//   <gpuward:protected by='attach' qemu-namespace='made'>
//     <gpuward:migration alias='ua-gpuguard-0'/>    an enable-migration=off that is ours
//     <gpuward:pm/>                                 there was no <pm>; else it is kept inside
//     <gpuward:maxMemory was='removed'>             or clamped
//       <gpuward:kept behind='uuid' before='0'>...</gpuward:kept>
//     </gpuward:maxMemory>
//     <gpuward:disk dev='vda' error_policy='stop'/> what the policies of disk vda were
//     <gpuward:watchdog number='0'/>                the first watchdog's action was pause
//     <gpuward:port/>, <gpuward:place/>             see gpu_hotplug_record.cpp
//   </gpuward:protected>
//
// With by='protect' it stays when the last GPU is detached.

namespace gpuward {

static const Element* record_in(const Document& document) {
  const Element* const metadata = document.root.child("metadata");
  const Element* const ours = metadata ? metadata->child("domain", domain_namespace) : nullptr;
  return ours ? ours->child("protected", domain_namespace) : nullptr;
}

std::vector<Gap> gaps_to_close(const Document& document, const std::vector<const Hostdev*>& gpus,
                               const GuardPolicy& policy, QemuCapabilities qemu) {
  std::vector<Gap> gaps = guard_gaps({document, gpus, policy, qemu});
  if (policy.harden)
    for (Gap& pause : configured_pauses(document)) gaps.push_back(std::move(pause));
  std::erase_if(gaps,
                [&](const Gap& gap) { return policy_of(policy, gap.guard) == Policy::allow; });
  return gaps;
}

/// Only what is blocked: where it is to be warned of, it must stay possible.
static std::vector<Gap> blocked_gaps(const Document& document,
                                     const std::vector<const Hostdev*>& gpus,
                                     const Protection& protection) {
  auto gaps = gaps_to_close(document, gpus, protection.policy, protection.qemu);
  std::erase_if(gaps, [&](const Gap& gap) {
    return policy_of(protection.policy, gap.guard) != Policy::block;
  });
  return gaps;
}

static bool has(const std::vector<Gap>& gaps, Guard guard) {
  return std::any_of(gaps.begin(), gaps.end(), [&](const Gap& gap) { return gap.guard == guard; });
}

static std::vector<const Hostdev*> gpus_of(const Domain& domain, const IsGpu& is_gpu) {
  std::vector<const Hostdev*> gpus;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (is_gpu(hostdev)) gpus.push_back(&hostdev);
  return gpus;
}

/// Whether something is closed that need not be any more, or cannot be with this QEMU.
static bool closes_too_much(const Protected& closed) {
  const auto closes_any = [&](const GuardRow& row) {
    return std::any_of(row.records.begin(), row.records.end(),
                       [&](std::string_view name) { return closed.has_record(name); });
  };
  const auto closes = [&](const GuardRow& row) {
    return (policy_of(closed.policy, row.guard) != Policy::block && closes_any(row)) ||
           (row.closes_too_much && row.closes_too_much(closed));
  };
  return std::any_of(guard_table().begin(), guard_table().end(), closes);
}

static void require_closable(const Domain& domain, const std::vector<Gap>& gaps) {
  for (const Gap& gap : gaps)
    if (!gap.can_be_fixed)
      throw Error(domain_title(domain.name) + ": domain XML line " + std::to_string(gap.line) +
                      " (" + gap.element + ")",
                  gap.text,
                  "run: virsh edit " + shell_word(domain.name) + ", or set " +
                      setting_text(gap.guard, Policy::warn) +
                      " in [guard] of /etc/gpuward/gpuward.conf");
}

/// `xml` has nothing of an earlier protect but addresses and aliases, where there is its `record`.
static std::string protect_anew(std::string_view xml, const Protection& protection,
                                const IsGpu& is_gpu, const Element* record) {
  DomainEdit edit(xml);
  const auto gpus = gpus_of(edit.domain, is_gpu);
  if (gpus.empty() && !protection.gpu_on_command_line) return std::string(xml);
  const auto gaps = blocked_gaps(edit.document, gpus, protection);
  const auto places = record ? guest_places(*record) : std::vector<GuestPlace>{};
  ProtectWork work{edit, gpus, protection.policy, places, our_prefix(edit)};
  if (record) work.earlier_aliases = migration_aliases(*record);
  for (const GuardRow& row : guard_table()) {
    if (row.keep) row.keep(work);
    if (has(gaps, row.guard)) row.close(work);
  }
  for (const GuardRow& row : guard_table())
    if (row.finish) row.finish(work);
  if (work.record.empty()) return edit.result();
  add_to_ours(edit, "\n      <" + work.prefix + "protected by='" +
                        (protection.for_good ? "protect" : "attach") + '\'' + work.attributes +
                        '>' + work.record + "\n      </" + work.prefix + "protected>");
  return edit.result();
}

static std::string made_for_good(std::string_view xml) {
  DomainEdit edit(xml);
  edit.set_attribute(*record_in(edit.document), "by", "protect");
  return edit.result();
}

static std::string opened(std::string_view xml, Undo undo) {
  DomainEdit edit(xml);
  const Element* const record = record_in(edit.document);
  if (!record) return std::string(xml);
  for (const GuardRow& row : guard_table()) row.open(edit, *record, undo);
  remove_from_ours(edit, {record});
  return edit.result();
}

static std::string protect_again(std::string_view xml, const Element* record,
                                 const Protection& protection, const IsGpu& is_gpu) {
  const bool has_gpus = !gpus_of(parse_domain(xml), is_gpu).empty();
  if (!record || !has_gpus)
    return protect_anew(opened(xml, Undo::everything), protection, is_gpu, nullptr);
  return protect_anew(opened(xml, Undo::all_but_addresses), protection, is_gpu, record);
}

std::string protect(std::string_view xml, const Protection& protection, const IsGpu& is_gpu) {
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  const Element* const record = record_in(document);
  const bool is_for_good = is_protected_explicitly(document);
  Protection wanted = protection;
  wanted.for_good = wanted.for_good || is_for_good;

  const auto gpus = gpus_of(domain, is_gpu);
  const auto gaps = blocked_gaps(document, gpus, wanted);
  require_closable(domain, gaps);
  const auto is_outdated = [&] {
    return record && closes_too_much({document, domain, *record, wanted.policy, wanted.qemu});
  };
  if (!gaps.empty() || is_outdated()) {
    std::string result = protect_again(xml, record, wanted, is_gpu);
    require_same_devices(xml, result);
    return result;
  }
  return record && wanted.for_good && !is_for_good ? made_for_good(xml) : std::string(xml);
}

std::string unprotect(std::string_view xml) {
  std::string result = opened(xml, Undo::everything);
  require_same_devices(xml, result);
  return result;
}

static void add_to_record(DomainEdit& edit, const Element* record, const ProtectWork& work) {
  if (record) return edit.append(*record, work.record, "\n      ");
  add_to_ours(edit, "\n      <" + work.prefix + "protected by='attach'>" + work.record +
                        "\n      </" + work.prefix + "protected>");
}

ClosedPorts close_ports_of_gpus(std::string_view xml, const IsGpu& is_gpu) {
  DomainEdit edit(xml);
  ClosedPorts closed{std::string(xml), {}};
  if (!edit.ours()) return closed;
  const Element* const record = record_in(edit.document);
  const auto gpus = gpus_of(edit.domain, is_gpu);
  const GuardPolicy policy;
  const std::vector<GuestPlace> no_places;
  ProtectWork work{edit, gpus, policy, no_places, our_prefix(edit)};
  for (const OwnPort& port : open_ports_of_their_own(edit.document, gpus)) {
    if (record && is_port_recorded(*record, port.index)) continue;
    close_port(work, *port.controller);
    closed.ports.push_back({port.index, port.gpu->alias, source_of(*port.gpu)});
  }
  if (closed.ports.empty()) return closed;
  add_to_record(edit, record, work);
  closed.xml = edit.result();
  return closed;
}

bool is_protected(const Document& document) {
  return record_in(document) != nullptr;
}

bool is_protected_explicitly(const Document& document) {
  const Element* const record = record_in(document);
  return record && record->attribute("by") == "protect";
}

std::string unprotect_devices(std::string_view xml, const std::vector<std::string>& aliases) {
  DomainEdit edit(xml);
  const Element* const record = record_in(edit.document);
  for (const GuardRow& row : guard_table())
    if (row.open_for) row.open_for(edit, record, aliases);
  return edit.result();
}

}  // namespace gpuward
