// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/reconcile.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "config/config_parser.hpp"
#include "domain/xml_document.hpp"
#include "inventory/usage.hpp"
#include "kinds/vf.hpp"
#include "lifecycle/release.hpp"
#include "state/claim_store.hpp"
#include "state/gpu_domain_marker.hpp"
#include "state/paths.hpp"
#include "state/quarantine.hpp"
#include "state/start_permit.hpp"
#include "state/temporary_files.hpp"

namespace gpuward {

using Result = Reconciled::Result;

static std::optional<Holder> holder_of(const Root& root, const Claim& claim) {
  const OpenDevices open(root);
  for (const ClaimedDevice& device : claim.devices)
    if (auto holder = open.guest_of(device)) return holder;
  return {};
}

/// A domain's prepare enables the VFs where `vfs` is not set; until one comes, a VF in quarantine
/// would wait. Returns why one cannot be enabled and what helps; no problem when nothing is
/// missing.
static Reason restore_vfs(const Root& root, Claim& claim, const Deadlines& deadlines) {
  Reason failure;
  for (ClaimedDevice& device : claim.devices) {
    if (!lacks_vf(root, device) || has_blocked_writer(root, device)) continue;
    const LoadedConfig loaded = load_host_config(root);
    Reason why =
        loaded.problems.empty()
            ? restore_vf(root, loaded.config, claim, device, deadlines)
            : Reason{{},
                     "VF does not exist and cannot be enabled: the configuration has errors",
                     "run: gpuward check"};
    if (failure.problem.empty() && !why.problem.empty()) failure = std::move(why);
  }
  return failure;
}

/// Of a running domain: one in quarantine since an earlier run, with which it did not start. It is
/// not retried, as only the domain's own hooks change what a running domain has.
static Reconciled of_running(const Claim& claim) {
  for (const ClaimedDevice& device : claim.devices)
    if (device.state == ClaimedDevice::State::quarantined)
      return {Result::quarantined, claim.name,
              to_string(quarantine_reason({device, "not retried while the domain runs",
                                           "run: virsh shutdown " + shell_word(claim.name)}))};
  return {Result::in_use, claim.name, "domain is running"};
}

static Reconciled reconcile_one(const Root& root, const Claims& claims, const Claim& seen,
                                const IsActive& is_active, const Deadlines& deadlines,
                                bool dry_run) {
  // libvirt is asked without the lock: it holds the domain while the hook waits for ours.
  const auto stamp = claims.stamp(seen.domain);
  const auto active = is_active(seen.domain);
  if (!active)
    return {Result::left_alone, seen.name, "cannot query the domain's state from libvirt"};
  if (*active) return of_running(seen);

  const auto lock = claims.lock_domain(seen.domain, std::chrono::milliseconds(0));
  if (!lock || claims.stamp(seen.domain) != stamp)
    return {Result::in_use, seen.name, "domain is starting or stopping"};
  auto claim = claims.find(seen.domain);
  if (!claim) return {Result::given_back, seen.name, "released by another process"};
  if (const auto holder = holder_of(root, *claim))
    return {Result::left_alone, claim->name, "device in use by " + to_string(*holder)};
  if (dry_run) return {Result::given_back, claim->name, "domain is shut off"};

  const Reason missing = restore_vfs(root, *claim, deadlines);
  const auto kept = release_devices(root, claims, *claim, deadlines);
  if (!kept.empty())
    return {
        Result::quarantined, claim->name,
        to_string(missing.problem.empty() ? Reason{{}, kept.front().reason, remedy_of(kept.front())}
                                          : missing)};
  return {Result::given_back, claim->name, "domain is shut off"};
}

/// A mark is nothing that a domain holds, but it must not outlive its domain: without a GPU, the
/// same domain would be taken for one with. It outlives it when libvirt dies before its release.
static void drop_stale_marks(const Root& root, const IsActive& is_active,
                             std::vector<Reconciled>& results) {
  sweep_marks(root);
  for (const Uuid& domain : guarded_domains(root)) try {
      const auto before = mark_stamp(root, domain);
      // Written again meanwhile, it is being started.
      if (is_active(domain) == false && mark_stamp(root, domain) == before)
        unmark_gpu_domain(root, domain);
    } catch (const Error& error) {
      results.push_back(
          {Result::left_alone, to_string(domain),
           std::string("cannot remove the marker of a domain with a GPU: ") + error.what()});
    }
}

/// Likewise what is shown of a domain that was started anyway.
static void drop_stale_permits(const Root& root, const IsActive& is_active,
                               std::vector<Reconciled>& results) {
  try {
    sweep_start_permits(root);
    for (const Uuid& domain : domains_started_anyway(root))
      if (is_active(domain) == false) forget_started_anyway(root, domain);
  } catch (const Error& error) {
    results.push_back({Result::left_alone, "gpuward start --anyway", error.what()});
  }
}

std::vector<Reconciled> reconcile(const Root& root, const IsActive& is_active,
                                  const Deadlines& deadlines, bool dry_run) {
  const Claims claims(root);
  claims.make_ready();
  std::vector<Reconciled> results;
  claims.sweep();
  if (!dry_run) {
    for (const std::string& directory :
         {paths::single_use(root), paths::quarantine(root), paths::vf_settings(root),
          paths::qemu_versions(root), paths::started_anyway(root)})
      sweep_temporary_files(root, directory);
    restore_quarantine(root, claims);
  }
  const ClaimedDevices claimed = claimed_devices(root);
  for (const Claim& claim : claimed.claims) {
    try {
      results.push_back(reconcile_one(root, claims, claim, is_active, deadlines, dry_run));
    } catch (const Error& error) {
      results.push_back({Result::left_alone, claim.name, error.what()});
    }
  }
  if (!dry_run) drop_stale_marks(root, is_active, results);
  if (!dry_run) drop_stale_permits(root, is_active, results);
  for (const UnreadableClaim& claim : claimed.unreadable)
    results.push_back({Result::left_alone, claim.file, to_string(claim)});
  return results;
}

void log_result(const Reconciled& result, std::string_view layer) {
  if (result.result == Result::in_use) return;
  const bool good = result.result == Result::given_back;
  std::vector<log::Field> fields = {{"GPUWARD_DOMAIN", shown(result.name)},
                                    {"GPUWARD_ACTION", "reconcile"},
                                    {"GPUWARD_REASON", result.reason}};
  if (!layer.empty()) fields.push_back({"GPUWARD_LAYER", std::string(layer)});
  log::entry(good ? log::Severity::info : log::Severity::warning,
             good ? log::Message::reconciled : log::Message::not_reconciled,
             domain_title(result.name) +
                 ": reconcile: " + (good ? "GPUs released: " : "claim remains: ") + result.reason,
             fields);
}

}  // namespace gpuward
