// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fnmatch.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <map>

#include "allocation/reassignment.hpp"
#include "allocation/request.hpp"
#include "allocation/request_verdict.hpp"
#include "attach/attach.hpp"
#include "attach/clone.hpp"
#include "attach/detach.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "base/replace_file.hpp"
#include "cli/attach_requests.hpp"
#include "cli/commands.hpp"
#include "cli/diff.hpp"
#include "cli/domain_edits.hpp"
#include "cli/output.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "inventory/viommu.hpp"
#include "libvirt/client.hpp"
#include "libvirt/version.hpp"
#include "lifecycle/reassign.hpp"
#include "protection/pci_root.hpp"
#include "protection/protect.hpp"
#include "protection/qemu_version.hpp"
#include "protection/verdict.hpp"

namespace gpuward {

DomainStore::Found require_off(const DomainStore& store, const std::string& name) {
  const auto found = store.find(name);
  const std::string in_file =
      "for a definition in a file: gpuward protect ./FILE or gpuward rewrite";
  if (!found) throw Error(domain_title(name), "not found", "run: virsh list --all; " + in_file);
  if (found->active && !found->persistent)
    throw Error({}, domain_title(found->name) + " is running and has no persistent definition",
                in_file);
  if (found->active)
    throw Error({}, domain_title(found->name) + " is running",
                "shut it down first: virsh shutdown " + shell_word(found->name));
  return *found;
}

std::optional<Lock> lock_definition_of(const Settings& settings, const DomainStore::Found& domain) {
  return lock_definition(settings.root, domain.uuid, std::chrono::seconds(30));
}

/// Shows or defines what became of the domain's XML.
int show_or_define(const Settings& settings, DomainStore& store, const DomainStore::Found& domain,
                   const std::string& before, const std::string& after, const std::string& done) {
  const std::string& name = domain.name;
  if (before == after) {
    print_lines(name + ": nothing to change\n");
    return 0;
  }
  if (store.has_managed_save(domain.uuid))
    log::warning(domain_title(name) +
                 ": the domain has a managed save, and its next start restores the saved XML "
                 "without this change; to discard the saved state run: virsh managedsave-remove " +
                 shell_word(name));
  if (settings.dry_run) {
    print_lines(unified_diff(before, after, name + ".xml"));
    return 0;
  }
  store.define(after);
  print_lines(name + ": " + done + '\n');
  return 0;
}

/// What [guard] wants of the XML, as far as the QEMU that it names can do it.
static Protection protection_for(const Settings& settings, const Config& config,
                                 std::string_view xml) {
  const std::string emulator = emulator_of(parse_document(xml));
  const auto version = qemu_version(settings.root, emulator);
  if (!version && config.guard.migration == Policy::block)
    log::warning("cannot determine the version of " + shown(emulator) +
                 " (is it installed on this host?), adding enable-migration=off, with which QEMU "
                 "before " +
                 std::string(first_qemu_with_enable_migration_text) + " does not start");
  return {config.guard, abilities_of(version), false,
          !command_line_gpus(settings.root, config, parse_domain(xml)).empty()};
}

static IsGpu gpu_test(const Settings& settings, const Config& config) {
  return [&](const Hostdev& hostdev) { return is_gpu(settings.root, config, hostdev); };
}

/// Of guards that only warn: what protect could not close if they blocked.
static void warn_of_gaps_for_hands(const Settings& settings, const Config& config,
                                   const std::string& xml, const Protection& protection) {
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  auto gaps = gaps_to_close(document, gpu_hostdevs(settings.root, config, domain),
                            protection.policy, protection.qemu);
  std::erase_if(gaps, [&](const Gap& gap) {
    return gap.can_be_fixed || policy_of(config.guard, gap.guard) != Policy::warn;
  });
  for (const std::string& line : guard_warnings(config.guard, domain.name, gaps))
    log::warning(domain_title(domain.name) + ": " + line);
}

std::string protected_for_attach(const Settings& settings, const Config& config,
                                 const std::string& xml) {
  const Protection protection = protection_for(settings, config, xml);
  std::string closed = protect(xml, protection, gpu_test(settings, config));
  warn_of_gaps_for_hands(settings, config, closed, protection);
  return closed;
}

DeviceUse device_use(const Settings& settings, const Config& config, const DomainStore& store,
                     const Uuid& domain) {
  DeviceUse use{taken_devices(settings.root, domain), {}};
  for (const DomainStore::Found& other : store.all()) {
    if (other.active || !other.persistent || other.uuid == domain) continue;
    const std::string xml = store.inactive_xml(other.uuid);
    if (!names_gpuward(xml)) continue;
    try {
      for (const PciAddress& device : assigned_devices(config, parse_domain(xml)))
        ++use.assigned_count[device];
    } catch (const Error& error) {  // its own start is refused; the choice for others goes on
      log::warning(other.name, error.what());
    }
  }
  return use;
}

std::string with_available_devices(const Settings& settings, const Config& config,
                                   const std::string& xml, const DeviceUse& use,
                                   const std::shared_ptr<AskedCards>& asked) {
  const Repointed result = repoint(settings.root, config, xml, use, asked);
  for (const auto& [alias, why] : result.refused)
    log::warning(parse_domain(xml).name,
                 to_string(about(gpu_title(alias) + " not reassigned", why)));
  return result.xml;
}

static void warn_of_viommu(const Settings& settings, const std::string& xml) {
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  const std::string conflict = viommu_conflict(settings.root, document, domain);
  if (!conflict.empty()) log::warning(domain_title(domain.name) + ": " + conflict);
}

static void require_libvirt_for(const std::vector<WantedGpus>& gpus, const DomainStore& store) {
  Config alone;
  for (const WantedGpus& wanted : gpus) alone.profiles.push_back(wanted.profile);
  for (const ConfigProblem& problem : unsupported_by(alone, store.version()))
    throw Error({}, to_string(problem));
}

/// Nothing is known of a profile that is not defined; prepare reports that.
static IsMdev is_mdev_in(const Config& config) {
  return [&](const GpuRequest& gpu) {
    const auto profile = resolve(config, gpu).profile;
    return !profile || !gives_pci_devices(*profile);
  };
}

/// What an attach without requests does.
static std::string with_updated_instances(const Settings& settings, const Config& config,
                                          const std::string& xml, const DeviceUse& use,
                                          const std::shared_ptr<AskedCards>& asked) {
  const std::string settled = with_requests_settled(settings, config, xml, asked);
  return with_available_devices(settings, config,
                                update_instance_uuids(settled, is_mdev_in(config)), use, asked);
}

/// To be read before the domain is changed: on machine type pc there is all or nothing.
static void warn_of_pc(const Config& config, const std::string& name, const std::string& xml) {
  if (config.guard.gpu_hotplug != Policy::block) return;
  if (pci_root_of(parse_document(xml)) != PciRoot::i440fx) return;
  log::warning(
      domain_title(name) + ": machine type pc: " + setting_text(Guard::gpu_hotplug, Policy::block) +
      " disables hot-plug of all PCI devices, NICs and disks too, and the guest may rename its "
      "NICs; to keep hot-plug set " +
      setting_text(Guard::gpu_hotplug, Policy::warn) + " in [guard], then run: gpuward protect " +
      shell_word(name));
}

/// What each domain of an attach gets. Without GPUs the UUIDs of its instances are updated.
struct AttachWish {
  std::vector<WantedGpus> gpus;
  std::string owner;  ///< "" to leave it as it is
  std::shared_ptr<AskedCards> asked;
};

static std::string with_owner(const std::string& xml, const std::string& owner) {
  return owner.empty() ? xml : set_owner(xml, owner);
}

static std::string done_text(const AttachWish& wish) {
  if (!wish.gpus.empty()) return attached_text(wish.gpus) + ", active at next start";
  return wish.owner.empty() ? "instance UUIDs updated" : "owner set, active at next start";
}

/// The devices that the domain has in `after` alone.
static void add_new_devices(const Config& config, const std::string& before,
                            const std::string& after, std::map<PciAddress, unsigned>& devices) {
  const auto had = assigned_devices(config, parse_domain(before));
  for (const PciAddress& device : assigned_devices(config, parse_domain(after)))
    if (std::find(had.begin(), had.end(), device) == had.end()) ++devices[device];
}

/// One of the domains that attach is for. `planned`: how many of the domains before it would be
/// assigned which device, with --dry-run, where no definition has that; this one is added.
static int attach_one(const Settings& settings, const Config& config, DomainStore& store,
                      const DomainStore::Found& found, const AttachWish& wish,
                      std::map<PciAddress, unsigned>& planned) {
  const auto lock = lock_definition_of(settings, found);
  const std::string before = store.inactive_xml(found.uuid);
  DeviceUse use = device_use(settings, config, store, found.uuid);
  for (const auto& [device, count] : planned) use.assigned_count[device] += count;
  const std::string after = with_owner(
      wish.gpus.empty() ? with_updated_instances(settings, config, before, use, wish.asked)
                        : with_gpus(settings, config, wish.gpus, before, use, wish.asked),
      wish.owner);
  if (!wish.gpus.empty() || !wish.owner.empty()) require_permitted(settings, config, after);
  warn_of_viommu(settings, after);
  const std::string closed = protected_for_attach(settings, config, after);
  if (closed != after) warn_of_pc(config, found.name, after);
  if (settings.dry_run) add_new_devices(config, before, after, planned);
  return show_or_define(settings, store, found, before, closed, done_text(wish));
}

static bool is_pattern(const std::string& domain) {
  return domain.find_first_of("*?[") != std::string::npos;
}

/// All domains whose name matches, each by itself: one that is refused leaves the others.
static int attach_matching(const Settings& settings, const Config& config, DomainStore& store,
                           const std::string& pattern, const AttachWish& wish) {
  int status = 0;
  bool any = false;
  std::map<PciAddress, unsigned> planned;
  auto domains = store.all();  // libvirt lists them in any order
  std::sort(domains.begin(), domains.end(),
            [](const auto& one, const auto& other) { return one.name < other.name; });
  for (const DomainStore::Found& found : domains) {
    if (::fnmatch(pattern.c_str(), found.name.c_str(), 0) != 0) continue;
    any = true;
    if (found.active) {
      print_lines(found.name + ": running, not changed; shut it down first: virsh shutdown " +
                  shell_word(found.name) + '\n');
      continue;
    }
    try {
      status = std::max(status, attach_one(settings, config, store, found, wish, planned));
    } catch (const Error& error) {
      print_failure(
          {found.name + ": not changed", without_remedy(error.reason), error.reason.remedy});
      status = 1;
    }
  }
  if (!any)
    throw Error({}, "no domain has a name that matches " + in_quotes(pattern),
                "run: virsh list --all");
  return status;
}

int attach_command(const Settings& settings, const std::string& domain,
                   const std::vector<std::string>& requests, const std::string& owner) {
  const Config config = require_config(settings.root);
  const auto asked = std::make_shared<AskedCards>();
  const AttachWish wish{require_requests(settings, config, requests, asked), owner, asked};
  DomainStore store(settings.root, settings.connect);
  require_libvirt_for(wish.gpus, store);
  // A domain may have such a name.
  if (is_pattern(domain) && !store.find(domain))
    return attach_matching(settings, config, store, domain, wish);
  std::map<PciAddress, unsigned> planned;
  return attach_one(settings, config, store, require_off(store, domain), wish, planned);
}

int detach_command(const Settings& settings, const std::string& domain, const std::string& alias) {
  DomainStore store(settings.root, settings.connect);
  const auto found = require_off(store, domain);
  const auto lock = lock_definition_of(settings, found);
  const std::string before = store.inactive_xml(found.uuid);
  return show_or_define(settings, store, found, before, detach_gpus(before, alias),
                        alias.empty() ? "GPUs removed" : gpu_title(alias) + " removed");
}

static std::string protected_for_good(const Settings& settings, const Config& config,
                                      const std::string& xml) {
  Protection protection = protection_for(settings, config, xml);
  protection.for_good = true;
  return protect(xml, protection, gpu_test(settings, config));
}

/// A definition that is kept in a file, as Pacemaker does: a domain's name has no '/' in it.
static bool is_file(const std::string& domain) {
  return domain.find('/') != std::string::npos;
}

/// show_or_define() for a file: replaced in one step, with the rights and the owner that it had.
static int show_or_write_file(const Settings& settings, const std::string& path,
                              const std::string& before, const std::string& after,
                              const std::string& done) {
  if (before == after) {
    print_lines(path + ": nothing to change\n");
    return 0;
  }
  if (settings.dry_run) {
    print_lines(unified_diff(before, after, path));
    return 0;
  }
  replace_file(path, after);
  print_lines(path + ": " + done + '\n');
  return 0;
}

static std::string require_file(const std::string& path) {
  auto text = read_file(path, 16 << 20);
  if (!text) throw Error(path, "file does not exist");
  return std::move(*text);
}

/// A domain that only asks gpuward for a GPU and names no device has nothing to protect yet.
static bool has_gpu_device(const Settings& settings, const Config& config, const Domain& domain) {
  return !gpu_hostdevs(settings.root, config, domain).empty() ||
         !command_line_gpus(settings.root, config, domain).empty();
}

static void warn_of_command_line(const Settings& settings, const Config& config,
                                 const Domain& domain) {
  for (const CommandLineDevice* gpu : command_line_gpus(settings.root, config, domain))
    log::warning(domain_title(domain.name) + ": domain XML line " + std::to_string(gpu->line) +
                 ": QEMU command line assigns the GPU " + in_quotes(gpu->text) +
                 ", enable-migration=off cannot be added; use a <hostdev> instead");
  if (domain.readconfig != 0)
    log::warning(domain_title(domain.name) + ": domain XML line " +
                 std::to_string(domain.readconfig) +
                 ": the file of -readconfig is not searched for GPUs");
}

int protect_command(const Settings& settings, const std::string& domain) {
  const Config config = require_config(settings.root);
  const std::string done = "domain XML updated for [guard]";
  const auto closed = [&](const std::string& xml) {
    const Domain parsed = parse_domain(xml);
    warn_of_command_line(settings, config, parsed);
    if (!has_gpu_device(settings, config, parsed))
      throw Error(domain_title(parsed.name),
                  "no GPU to protect: no hostdev is a VFIO mdev, of display class on this host, or "
                  "named by a [gpu] section");
    return protected_for_good(settings, config, xml);
  };
  if (is_file(domain)) {
    const std::string before = require_file(domain);
    return show_or_write_file(settings, domain, before, closed(before), done);
  }
  DomainStore store(settings.root, settings.connect);
  const auto found = require_off(store, domain);
  const auto lock = lock_definition_of(settings, found);
  const std::string before = store.inactive_xml(found.uuid);
  const std::string after = closed(before);
  if (after != before) warn_of_pc(config, found.name, before);
  return show_or_define(settings, store, found, before, after, done);
}

/// One of all: what attach closes for a domain that asks gpuward for a GPU, what protect closes for
/// another with a GPU.
static void protect_one(const Settings& settings, const Config& config, DomainStore& store,
                        const DomainStore::Found& domain) {
  const auto lock = lock_definition_of(settings, domain);
  const std::string before = store.inactive_xml(domain.uuid);
  if (!may_have_gpu(before)) return;
  const Domain parsed = parse_domain(before);
  if (!has_gpu_device(settings, config, parsed)) return;
  warn_of_command_line(settings, config, parsed);
  const std::string after = requests_gpu(parsed) ? protected_for_attach(settings, config, before)
                                                 : protected_for_good(settings, config, before);
  if (after != before) warn_of_pc(config, domain.name, before);
  show_or_define(settings, store, domain, before, after, "domain XML updated for [guard]");
}

/// Whether the domain that is running needs the same when it is shut off.
static bool has_open_gaps(const Settings& settings, const Config& config, const std::string& xml) {
  if (!may_have_gpu(xml)) return false;
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  const auto gpus = gpu_hostdevs(settings.root, config, domain);
  const auto qemu = abilities_of(qemu_version(settings.root, emulator_of(document)));
  return has_gpu_device(settings, config, domain) &&
         !gaps_to_close(document, gpus, config.guard, qemu).empty();
}

int protect_all_command(const Settings& settings) {
  const Config config = require_config(settings.root);
  DomainStore store(settings.root, settings.connect);
  int status = 0;
  for (const DomainStore::Found& domain : store.all()) try {
      if (!domain.persistent) continue;
      if (!domain.active)
        protect_one(settings, config, store, domain);
      else if (has_open_gaps(settings, config, store.inactive_xml(domain.uuid)))
        print_lines(domain.name + ": running, not changed; shut it down and run: gpuward protect " +
                    shell_word(domain.name) + '\n');
    } catch (const Error& error) {
      log::error(domain_title(domain.name) + ": not changed: " + error.what());
      status = 1;
    }
  return status;
}

int unprotect_command(const Settings& settings, const std::string& domain) {
  if (is_file(domain)) {
    const std::string before = require_file(domain);
    return show_or_write_file(settings, domain, before, unprotect(before), "no longer protected");
  }
  DomainStore store(settings.root, settings.connect);
  const auto found = require_off(store, domain);
  const auto lock = lock_definition_of(settings, found);
  const std::string before = store.inactive_xml(found.uuid);
  return show_or_define(settings, store, found, before, unprotect(before), "no longer protected");
}

static std::string read_stdin() {
  std::string text;
  char buffer[65536];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, n);
  return text;
}

/// The parts of the rewrite that need the configuration.
static std::string attached_and_protected(const Settings& settings, const Rewrite& rewrite,
                                          std::string xml) {
  const Config config = require_config(settings.root);
  const DeviceUse use{taken_devices(settings.root, parse_domain(xml).uuid), {}};
  const auto asked = std::make_shared<AskedCards>();
  xml = with_gpus(settings, config, require_requests(settings, config, rewrite.attach, asked),
                  std::move(xml), use, asked);
  xml = with_owner(xml, rewrite.owner);
  if (!rewrite.attach.empty()) {
    require_permitted(settings, config, xml);
    warn_of_viommu(settings, xml);
  }
  if (rewrite.protect) return protected_for_good(settings, config, xml);
  return requests_gpu(parse_domain(xml)) ? protected_for_attach(settings, config, xml) : xml;
}

/// No change without GPUs of gpuward, whatever the configuration is.
static std::string with_updated_uuids(const Settings& settings, const std::string& xml) {
  if (!requests_gpu(parse_domain(xml))) return xml;
  const Config config = require_config(settings.root);
  const DeviceUse use{taken_devices(settings.root, parse_domain(xml).uuid), {}};
  return with_updated_instances(settings, config, xml, use, std::make_shared<AskedCards>());
}

int rewrite_command(const Settings& settings, const Rewrite& rewrite) {
  const std::string before = read_stdin();
  std::string after = before;
  if (rewrite.detach)
    after = detach_gpus(after);
  else if (rewrite.unprotect)
    after = unprotect(after);
  else if (rewrite.attach.empty())
    after = with_updated_uuids(settings, after);
  const bool takes_away = rewrite.detach || rewrite.unprotect;
  if (rewrite.protect || !rewrite.attach.empty() ||
      (!takes_away && requests_gpu(parse_domain(after))))
    after = attached_and_protected(settings, rewrite, after);
  settings.dry_run ? print_lines(unified_diff(before, after, "domain.xml")) : print_text(after);
  return 0;
}

}  // namespace gpuward
