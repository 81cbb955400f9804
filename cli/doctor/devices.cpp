// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "allocation/pool.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "base/trusted_file.hpp"
#include "cli/doctor/findings.hpp"
#include "config/gpu_settings.hpp"
#include "domain/xml_document.hpp"
#include "inventory/snapshot.hpp"
#include "inventory/usage.hpp"
#include "kinds/mig_room.hpp"
#include "mdev/instance.hpp"
#include "pci/card_facts.hpp"
#include "provision/provision.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {

using Severity = Finding::Severity;

/// A word of the kernel's command line that begins like this: "intel_iommu=off".
static std::string command_line_word(const Root& root, std::string_view begin) {
  const std::string line = read_attribute(root.proc("cmdline")).value_or("");
  for (const std::string_view word : split(line, ' '))
    if (word.starts_with(begin)) return std::string(word);
  return {};
}

static std::string how_to_turn_iommu_on(const Root& root) {
  for (const char* off : {"intel_iommu=off", "amd_iommu=off", "iommu=off"})
    if (const std::string word = command_line_word(root, off); !word.empty())
      return "remove " + word + " from the kernel command line and restart";
  const std::string processor = read_attribute(root.proc("cpuinfo")).value_or("");
  const bool intel = processor.find("GenuineIntel") != std::string::npos;
  if (intel && command_line_word(root, "intel_iommu=on").empty())
    return "enable VT-d in the firmware, add intel_iommu=on to the kernel command line "
           "(GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub) and restart";
  return std::string("enable the IOMMU (") + (intel ? "VT-d" : "AMD-Vi, SMMU") +
         ") in the firmware and restart";
}

static Finding iommu_is_off(const Root& root, const std::string& gpu, bool wanted) {
  return {
      wanted ? Severity::problem : Severity::warning, "iommu", gpu,
      "IOMMU is disabled (/sys/kernel/iommu_groups is empty): this card and its functions cannot "
      "be assigned to a domain",
      how_to_turn_iommu_on(root)};
}

static std::optional<Finding> group_in_passthrough(const Root& root, const std::string& gpu) {
  const auto link = read_link(root.sys("bus/pci/devices/") + gpu + "/iommu_group");
  if (!link) return {};
  const std::string path =
      root.sys("kernel/iommu_groups/") + std::string(base_name(*link)) + "/type";
  if (read_attribute(path) != "identity") return {};
  std::string word = command_line_word(root, "iommu=pt");
  if (word.empty()) word = command_line_word(root, "iommu.passthrough=1");
  return Finding{
      Severity::warning, "iommu", gpu,
      // Without its number: what is found is the same of all cards, and doctor prints it once.
      "IOMMU group is in pass-through (type identity): while the card is bound to a host driver, "
      "it can access all memory of the host",
      (word.empty() ? "add iommu.strict=1 iommu.passthrough=0 to the kernel command line"
                    : "remove " + word + " from the kernel command line") +
          std::string(" and restart; ignore this if intended")};
}

Findings check_iommu(const Root& root, const Config& config, const Host& host) {
  Findings findings;
  const bool off = list_directory(root.sys("kernel/iommu_groups")).empty();
  for (const Gpu& gpu : host.gpus) {
    const auto use = settings_of(config, gpu.parent).use;
    if (!gpu.parent.address || is_off(use)) continue;
    if (off)
      findings.push_back(iommu_is_off(root, gpu.parent.name, use && is_pci(*use)));
    else if (auto finding = group_in_passthrough(root, gpu.parent.name))
      findings.push_back(std::move(*finding));
  }
  return findings;
}

Findings check_interrupts(const Root& root) {
  const std::string parameter = "module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
  if (read_attribute(root.sys(parameter)) != "Y") return {};
  return {{Severity::problem, "interrupts", "/sys/" + parameter,
           "a domain can raise interrupts of the host and of other domains through its GPU",
           "enable interrupt remapping in the firmware, remove allow_unsafe_interrupts=1 from "
           "/etc/modprobe.d (or the kernel command line) and restart"}};
}

static bool starts_by_itself(const std::string& definition) {
  try {
    const auto text = read_file(definition);
    const auto json = nlohmann::json::parse(text.value_or(""), nullptr, false);
    return json.is_object() && json.contains("start") && json["start"] == "auto";
  } catch (const Error&) {
    return false;
  }
}

/// What mdevctl defines for one parent: /etc/mdevctl.d/PARENT/UUID.
static void check_definitions(const Root& root, const std::string& parent, bool ours,
                              const std::vector<GpuInstance>& instances, Findings& findings) {
  for (const std::string& name : list_directory(mdevctl_directory(root, parent))) {
    const auto uuid = parse_uuid(name);
    if (!uuid) continue;
    const std::string file = "/etc/mdevctl.d/" + parent + '/' + name;
    const std::string fix = "mdevctl undefine --parent=" + parent + " --uuid=" + name;
    const auto same = std::find_if(instances.begin(), instances.end(), [&](const auto& view) {
      return view.instance.uuid == *uuid && view.state != "external" && view.state != "unknown";
    });
    if (same != instances.end())
      findings.push_back({Severity::problem, "tools", file,
                          "mdevctl defines an instance that gpuward creates and removes" +
                              (same->domain.empty() ? "" : " for domain " + same->domain),
                          fix});
    else if (ours && starts_by_itself(root.at(file)))
      findings.push_back({Severity::warning, "tools", file,
                          "mdevctl creates this instance automatically; its capacity on " + parent +
                              " is not available to profiles of gpuward",
                          fix + ", or ignore this if intended"});
  }
}

/// Whether a profile that may give it has driver = keep.
static bool is_kept_bound(const Config& config, const Gpu& gpu) {
  return std::any_of(config.profiles.begin(), config.profiles.end(), [&](const Profile& profile) {
    return profile.keep_driver && traits_of(profile.use).is_whole_card != gpu.is_vf &&
           serves(config, profile, gpu.parent);
  });
}

/// /etc/driverctl.d has a file for each device, whose name ends in its address and whose text is a
/// driver.
static std::optional<Finding> driver_override(const Root& root, const Gpu& gpu) {
  for (const std::string& name : list_directory(root.etc("driverctl.d"))) {
    if (!name.ends_with(gpu.parent.name)) continue;
    const std::string driver = read_attribute(root.etc("driverctl.d/") + name).value_or("?");
    const bool hurts = gpu.serves_mdevs() && driver == "vfio-pci";
    return Finding{
        hurts ? Severity::problem : Severity::warning, "tools", "/etc/driverctl.d/" + name,
        "driverctl binds GPU " + gpu.parent.name + " to " + driver + " at each boot" +
            (hurts ? ", so that the GPU supports no instances"
                   : "; libvirt and gpuward bind drivers themselves when a domain starts"),
        "driverctl unset-override " + gpu.parent.name};
  }
  return {};
}

/// Whether domains may get instances of this parent.
static bool is_served(const Config& config, const Parent& parent) {
  return !settings_of(config, parent).instances.empty() ||
         std::any_of(config.profiles.begin(), config.profiles.end(),
                     [&](const Profile& profile) { return serves(config, profile, parent); });
}

static void find_quarantined(const ClaimedDevices& claimed, Findings& findings) {
  for (const UnreadableClaim& claim : claimed.unreadable)
    findings.push_back({Severity::problem, "devices", claim.file,
                        "the claim of domain " + to_string(claim.domain) +
                            " cannot be read, so no domain is assigned a GPU: " + claim.reason,
                        "shut that domain down and restart the host; after a downgrade install the "
                        "newer gpuward again"});
  for (const Claim& claim : claimed.with_quarantined()) {
    const std::string remedy = hint({{}, {}, quarantine_remedy(claim)});
    for (const ClaimedDevice& device : claim.devices)
      if (device.state == ClaimedDevice::State::quarantined)
        findings.push_back({Severity::problem, "devices", device_name(device),
                            quarantine_text(claim.name) + ", not assigned to any domain",
                            remedy + (remedy == "gpuward reconcile"
                                          ? " (prints the reason if it remains quarantined)"
                                          : "")});
  }
}

/// A record goes by the card's UUID or serial number. Of a card without one of its own it goes by
/// where the card is.
static Finding found_by_address(const DeviceRecord& record, const std::string& what,
                                const std::string& fix) {
  const std::string address = to_string(record.device.address);
  return {
      Severity::warning, "devices", address,
      what + " by " + (record.owner.empty() ? "a domain" : domain_title(record.owner)) +
          " is recorded by " +
          (record.device.identity.slot ? "slot '" + shown(*record.device.identity.slot) + "'"
                                       : "PCI address") +
          ", as " +
          (has_own_number(record.device.identity) ? "another card reports the same serial number"
                                                  : "the card reports no UUID or serial number") +
          ": if cards are moved, the record applies to the card that is then at this place",
      fix};
}

static void find_records_by_address(const Root& root, Findings& findings) {
  for (const DeviceRecord& mark : marks_by_address(root))
    findings.push_back(
        found_by_address(mark, "single use",
                         "gpuward clear " + to_string(mark.device.address) +
                             " before you move cards, and note which card was used"));
  for (const DeviceRecord& record : quarantine_by_address(root))
    findings.push_back(
        found_by_address(record, "quarantine after use",
                         "gpuward reconcile before you move cards, or scrub the card "
                         "and run: gpuward clear " +
                             to_string(record.device.address)));
}

static void find_scrub_programs(const Root& root, const Config& config, Findings& findings) {
  for (const Profile& profile : config.profiles) {
    struct stat info;
    if (profile.scrub.empty()) continue;
    for (const Untrusted& untrusted : find_untrusted(root, profile.scrub))
      findings.push_back(
          {Severity::problem, "devices", untrusted.path,
           untrusted.found + ", so the scrub program of [profile " + profile.name + "] is not run",
           untrusted.command});
    const bool runs = ::stat(profile.scrub.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
                      ::access(profile.scrub.c_str(), X_OK) == 0;
    if (!runs)
      findings.push_back(
          {Severity::problem, "devices", profile.scrub,
           "scrub program of [profile " + profile.name + "] is missing or not executable",
           "install the program and make it executable, or fix scrub = in the "
           "profile"});
  }
}

/// Other hardware than its [gpu] section expects: no domain is assigned it.
static void find_unexpected(const Root& root, const Config& config, const std::vector<Gpu>& gpus,
                            std::set<std::string>& reasons, Findings& findings) {
  for (const Gpu& gpu : gpus)
    if (const Verdict verdict = check_identity(root, config, gpu.parent); !verdict) {
      reasons.insert(to_string(verdict.reason));
      // What cannot be read now, as of a card that a guest has, is no defect.
      const bool is_unread = settings_of(config, gpu.parent).unclear.is_unread;
      findings.push_back({is_unread ? Severity::warning : Severity::problem, "devices",
                          gpu.parent.name, without_remedy(verdict.reason),
                          verdict.reason.remedy.empty() ? "gpuward show " + gpu.parent.name
                                                        : hint(verdict.reason)});
    }
}

/// Of this use no domain is assigned anything.
static void find_unsupported_mig(const Root& root, const Config& config,
                                 const std::vector<Gpu>& gpus, Findings& findings) {
  for (const Gpu& gpu : gpus)
    if (const Reason reason = reason_not_mig(root, config, gpu); !reason.problem.empty())
      findings.push_back(
          {Severity::problem, "devices", gpu.parent.name, reason.problem, hint(reason)});
}

/// What profiles with driver = keep cannot give as it is not bound; a problem of one that has
/// nothing else.
static void find_unbound(const Root& root, const Config& config, Findings& findings) {
  for (const Profile& profile : config.profiles) {
    if (!profile.keep_driver) continue;
    Profile of_any_driver = profile;
    of_any_driver.keep_driver = false;
    const auto pool = pool_of(root, config, of_any_driver);
    Findings unbound;
    for (const PoolDevice& device : pool)
      if (const Reason reason = reason_unbound(root, profile, device.functions);
          !reason.problem.empty())
        unbound.push_back({Severity::warning, "devices", to_string(device.address), reason.problem,
                           hint(reason)});
    if (unbound.size() == pool.size())
      for (Finding& finding : unbound) finding.severity = Severity::problem;
    std::move(unbound.begin(), unbound.end(), std::back_inserter(findings));
  }
}

/// `apply` leaves VFs in use as they are.
static Finding not_applied(const Root& root, const ClaimedDevices& claimed,
                           const VfChange& change) {
  const std::string what = "configuration is not applied: " + to_string(change);
  const Reason use = reason_to_keep_vfs(root, claimed, change.pf);
  if (use.problem.empty())
    return {Severity::problem, "devices", to_string(change.pf), what, "gpuward apply"};
  if (!use.remedy.empty())
    return {Severity::problem, "devices", to_string(change.pf), what + ": " + without_remedy(use),
            hint(use) + ", then: gpuward apply"};
  return {Severity::warning, "devices", to_string(change.pf), what + ": " + without_remedy(use),
          "shut that domain down or stop that process, then run: gpuward apply"};
}

Findings check_devices(const Root& root, const Config& config, const Host& host) {
  Findings findings;
  find_quarantined(host.claimed, findings);
  std::set<std::string> unexpected;
  find_unexpected(root, config, host.gpus, unexpected, findings);
  find_unsupported_mig(root, config, host.gpus, findings);
  const ProvisionPlan plan = plan_host(root, config, host);
  for (const VfChange& change : plan.vfs)
    findings.push_back(not_applied(root, host.claimed, change));
  for (const std::string& line : plan.errors)
    if (!unexpected.contains(line))
      findings.push_back({Severity::problem, "devices", "/etc/gpuward/gpuward.conf", line,
                          "fix the [gpu] section, or reinstall the card that the section names"});
  find_records_by_address(root, findings);
  find_scrub_programs(root, config, findings);
  find_unbound(root, config, findings);
  return findings;
}

Findings check_other_tools(const Root& root, const Config& config, const Host& host) {
  Findings findings;
  const auto& gpus = host.gpus;
  for (const std::string& parent : list_directory(mdevctl_directory(root, ""))) {
    const auto gpu = std::find_if(gpus.begin(), gpus.end(),
                                  [&](const Gpu& view) { return view.parent.name == parent; });
    const auto known =
        gpu != gpus.end() ? gpu->parent : find_parent(root, config, parent);  // one of its VFs
    const bool ours = known && is_served(config, *known);
    check_definitions(root, parent, ours, host.instances, findings);
  }
  for (const Gpu& gpu : gpus)
    if (gpu.parent.address && !is_off(settings_of(config, gpu.parent).use) &&
        !is_kept_bound(config, gpu))
      if (auto finding = driver_override(root, gpu)) findings.push_back(std::move(*finding));
  return findings;
}

}  // namespace gpuward
