// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "cli/commands.hpp"
#include "cli/diff.hpp"
#include "cli/output.hpp"
#include "domain/document.hpp"
#include "domain/domain.hpp"
#include "domain/protect.hpp"
#include "domain/rewrite.hpp"
#include "domain/store.hpp"
#include "hooks/gpu_domain.hpp"
#include "hooks/qemu_version.hpp"
#include "hooks/request_verdict.hpp"

namespace gpuward {

static const Profile& require_profile(const Config& config, const std::string& name) {
  if (const Profile* profile = find_profile(config, name)) return *profile;
  std::string known;
  for (const Profile& profile : config.profiles)
    known += (known.empty() ? "" : ", ") + profile.name;
  throw Error("no profile '" + name + "' in the configuration; there is " +
              (known.empty() ? "none yet: add [profile " + name + "] to /etc/gpuward/gpuward.conf"
                             : known));
}

static DomainStore::Found require_off(const DomainStore& store, const std::string& name) {
  const auto found = store.find(name);
  if (!found) throw Error("no domain '" + name + "'; see 'virsh list --all'");
  if (found->active)
    throw Error("domain " + found->name +
                " is on, and its GPUs cannot change while it is; shut it "
                "down first ('virsh shutdown " +
                shell_word(found->name) + "')");
  return *found;
}

/// Shows or defines what became of the domain's XML.
static int finish(const Settings& settings, DomainStore& store, const std::string& name,
                  const std::string& before, const std::string& after, const std::string& done) {
  if (before == after) {
    print_text(name + ": nothing to change\n");
    return 0;
  }
  if (settings.dry_run) {
    print_text(unified_diff(before, after, name + ".xml"));
    return 0;
  }
  store.define(after);
  print_text(name + ": " + done + '\n');
  return 0;
}

/// What [guard] wants of the XML, as far as the QEMU that it names can do it.
static Protection protection_for(const Settings& settings, const Config& config,
                                 std::string_view xml) {
  const std::string emulator = emulator_of(parse_document(xml));
  const auto version = qemu_version(settings.root, emulator);
  if (!version && config.guard.migration == Policy::block)
    log::warning("cannot tell the version of " + shown(emulator) +
                 " (is it installed here?): enable-migration=off is not written");
  return {config.guard, abilities_of(version), false};
}

static IsGpu gpu_test(const Settings& settings, const Config& config) {
  return [&](const Hostdev& hostdev) { return is_gpu(settings.root, config, hostdev); };
}

static std::string protected_for_attach(const Settings& settings, const Config& config,
                                        const std::string& xml) {
  return protect(xml, protection_for(settings, config, xml), gpu_test(settings, config));
}

static GpuToAttach gpu_of(const Config& config, const std::string& profile) {
  return {profile, require_profile(config, profile).console, {}};
}

int attach_command(const Settings& settings, const std::string& domain,
                   const std::string& profile) {
  const Config config = require_config(settings.root);
  if (!profile.empty()) require_profile(config, profile);
  DomainStore store(settings.connect);
  const auto found = require_off(store, domain);
  const std::string before = store.inactive_xml(found.uuid);
  const std::string after =
      profile.empty() ? mend_gpus(before) : attach_gpu(before, gpu_of(config, profile));
  return finish(settings, store, found.name, before, protected_for_attach(settings, config, after),
                profile.empty()
                    ? "its GPUs are its own again"
                    : "a GPU of profile " + profile + " is made for it at its next start");
}

int detach_command(const Settings& settings, const std::string& domain, const std::string& alias) {
  DomainStore store(settings.connect);
  const auto found = require_off(store, domain);
  const std::string before = store.inactive_xml(found.uuid);
  return finish(settings, store, found.name, before, detach_gpus(before, alias),
                alias.empty() ? "has no GPU of gpuward any more" : alias + " is taken out");
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

/// finish() for a file: replaced in one step, with the rights and the owner that it had.
static int finish_file(const Settings& settings, const std::string& path, const std::string& before,
                       const std::string& after, const std::string& done) {
  if (before == after) {
    print_text(path + ": nothing to change\n");
    return 0;
  }
  if (settings.dry_run) {
    print_text(unified_diff(before, after, path));
    return 0;
  }
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) throw SystemError("cannot read " + path, errno);
  write_file_atomically(path, after, info.st_mode & 07777);
  if (::chown(path.c_str(), info.st_uid, info.st_gid) != 0)
    throw SystemError("cannot give " + path + " back to its owner", errno);
  print_text(path + ": " + done + '\n');
  return 0;
}

static std::string require_file(const std::string& path) {
  auto text = read_file(path, 16 << 20);
  if (!text) throw Error("no file " + path);
  return std::move(*text);
}

int protect_command(const Settings& settings, const std::string& domain) {
  const Config config = require_config(settings.root);
  const std::string done = "its XML lets nothing through that [guard] blocks";
  const auto closed = [&](const std::string& xml) {
    const Domain parsed = parse_domain(xml);
    if (gpu_hostdevs(settings.root, config, parsed).empty())
      throw Error("domain " + parsed.name +
                  " has no GPU to protect: no hostdev that is a VFIO mdev, of display class on "
                  "this host, or named by a [gpu] section");
    return protected_for_good(settings, config, xml);
  };
  if (is_file(domain)) {
    const std::string before = require_file(domain);
    return finish_file(settings, domain, before, closed(before), done);
  }
  DomainStore store(settings.connect);
  const auto found = require_off(store, domain);
  const std::string before = store.inactive_xml(found.uuid);
  return finish(settings, store, found.name, before, closed(before), done);
}

int unprotect_command(const Settings& settings, const std::string& domain) {
  if (is_file(domain)) {
    const std::string before = require_file(domain);
    return finish_file(settings, domain, before, unprotect(before), "is not protected any more");
  }
  DomainStore store(settings.connect);
  const auto found = require_off(store, domain);
  const std::string before = store.inactive_xml(found.uuid);
  return finish(settings, store, found.name, before, unprotect(before),
                "its XML is not protected any more");
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
  for (const std::string& profile : rewrite.attach) xml = attach_gpu(xml, gpu_of(config, profile));
  if (rewrite.protect) return protected_for_good(settings, config, xml);
  return asks_gpuward(parse_domain(xml)) ? protected_for_attach(settings, config, xml) : xml;
}

int rewrite_command(const Settings& settings, const Rewrite& rewrite) {
  const std::string before = read_stdin();
  std::string after = before;
  if (rewrite.detach)
    after = detach_gpus(after);
  else if (rewrite.unprotect)
    after = unprotect(after);
  else if (rewrite.attach.empty())
    after = mend_gpus(after);
  const bool takes_away = rewrite.detach || rewrite.unprotect;
  if (rewrite.protect || !rewrite.attach.empty() ||
      (!takes_away && asks_gpuward(parse_domain(after))))
    after = attached_and_protected(settings, rewrite, after);
  print_text(settings.dry_run ? unified_diff(before, after, "domain.xml") : after);
  return 0;
}

}  // namespace gpuward
