// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <cstdio>
#include <iterator>

#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/diff.hpp"
#include "cli/output.hpp"
#include "domain/domain.hpp"
#include "domain/rewrite.hpp"
#include "domain/store.hpp"
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

int attach_command(const Settings& settings, const std::string& domain,
                   const std::string& profile) {
  const Config config = require_config(settings.root);
  if (!profile.empty()) require_profile(config, profile);
  DomainStore store(settings.connect);
  const auto found = require_off(store, domain);
  const std::string before = store.inactive_xml(found.uuid);
  if (profile.empty())
    return finish(settings, store, found.name, before, mend_gpus(before),
                  "its GPUs are its own again");
  return finish(settings, store, found.name, before, attach_gpu(before, {profile}),
                "a GPU of profile " + profile + " is made for it at its next start");
}

int detach_command(const Settings& settings, const std::string& domain, const std::string& alias) {
  DomainStore store(settings.connect);
  const auto found = require_off(store, domain);
  const std::string before = store.inactive_xml(found.uuid);
  return finish(settings, store, found.name, before, detach_gpus(before, alias),
                alias.empty() ? "has no GPU of gpuward any more" : alias + " is taken out");
}

static std::string read_stdin() {
  std::string text;
  char buffer[65536];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, n);
  return text;
}

int rewrite_command(const Settings& settings, const Rewrite& rewrite) {
  const std::string before = read_stdin();
  std::string after = before;
  if (rewrite.detach)
    after = detach_gpus(after);
  else if (rewrite.attach.empty())
    after = mend_gpus(after);
  if (!rewrite.attach.empty()) {
    const Config config = require_config(settings.root);
    for (const std::string& profile : rewrite.attach) {
      require_profile(config, profile);
      after = attach_gpu(after, {profile});
    }
  }
  print_text(settings.dry_run ? unified_diff(before, after, "domain.xml") : after);
  return 0;
}

}  // namespace gpuward
