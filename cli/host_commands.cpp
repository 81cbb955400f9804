// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "allocation/offered_types.hpp"
#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/host_offer.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "config/config_parser.hpp"
#include "inventory/selector_check.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/mig_room.hpp"
#include "libvirt/client.hpp"
#include "libvirt/version.hpp"
#include "lifecycle/reconcile.hpp"
#include "pci/nvml.hpp"
#include "provision/provision.hpp"

namespace gpuward {

using nlohmann::json;

Config require_config(const Root& root) {
  LoadedConfig loaded = load_host_config(root);
  if (loaded.problems.empty()) return std::move(loaded.config);
  const size_t more = loaded.problems.size() - 1;
  throw Error(
      "configuration is invalid",
      to_string(loaded.problems.front()) + (more ? " (and " + std::to_string(more) + " more)" : ""),
      "run: gpuward check");
}

/// What only some versions of libvirt support. libvirt is asked only where it matters: check runs
/// also where there is none.
static bool keeps_drivers(const Config& config) {
  return std::any_of(config.profiles.begin(), config.profiles.end(),
                     [](const Profile& profile) { return traits_of(profile.use).keeps_driver; });
}

/// Programs of the profiles that root would not run.
static void add_scrub_problems(const Root& root, LoadedConfig& loaded) {
  for (const Profile& profile : loaded.config.profiles)
    if (!profile.scrub.empty())
      for (const Untrusted& untrusted : find_untrusted(root, profile.scrub))
        loaded.problems.push_back({profile.position, "scrub program " + to_string(untrusted)});
}

static void add_problems(LoadedConfig& loaded, const std::vector<ConfigProblem>& more) {
  loaded.problems.insert(loaded.problems.end(), more.begin(), more.end());
}

/// What the configuration and this host must not have together. `unclear`: GPUs of which it is not
/// known which sections speak of them.
static void add_host_problems(const Settings& settings, const UnclearGpus& unclear,
                              LoadedConfig& loaded) {
  const Config& config = loaded.config;
  if (keeps_drivers(config))
    add_problems(loaded,
                 unsupported_by(config, libvirt_version_at(settings.root, settings.connect)));
  add_problems(loaded, unclear.errors);
  const auto asked = std::make_shared<AskedCards>();
  for (const Gpu& gpu : read_gpus(settings.root, config, asked))
    if (const Reason reason = reason_not_mig(settings.root, config, gpu); !reason.problem.empty())
      loaded.problems.push_back({{}, to_string(reason)});
  if (config.profiles.empty()) return;
  const HostOffer offer = read_host_offer(settings.root, config, asked);
  add_problems(loaded, profiles_named_as_others(config, offer.types, offer.models));
}

static void print_warnings(const std::vector<ConfigProblem>& warnings) {
  for (const ConfigProblem& warning : warnings)
    std::fprintf(stderr, "warning: %s\n", to_string(warning).c_str());
}

int check_command(const Settings& settings, const std::vector<std::string>& files) {
  const auto names = files.empty() ? config_files(settings.root) : files;
  LoadedConfig loaded = files.empty() ? load_host_config(settings.root) : load_config(files);
  add_scrub_problems(settings.root, loaded);
  const UnclearGpus unclear =
      files.empty() ? unclear_gpus(settings.root, loaded.config) : UnclearGpus();
  if (files.empty()) add_host_problems(settings, unclear, loaded);
  add_problems(loaded, loaded.unsupported);
  const bool good = loaded.problems.empty();
  print_warnings(unclear.unread);
  if (files.empty()) print_warnings(unmatched_selectors(settings.root, loaded.config));
  if (settings.json) {
    json problems = json::array();
    for (const ConfigProblem& problem : loaded.problems)
      problems.push_back({{"file", problem.position.file},
                          {"line", problem.position.line},
                          {"message", problem.message}});
    print_json(settings.json, "check", json{{"problems", problems}});
  } else if (good) {
    const Config& config = loaded.config;
    print_lines("ok: " + std::to_string(names.size()) + " file(s), " +
                std::to_string(config.gpus.size()) + " gpu, " +
                std::to_string(config.profiles.size()) + " profile and " +
                std::to_string(config.quotas.size()) + " quota section(s)\n");
  } else {
    for (const ConfigProblem& problem : loaded.problems) print_error(to_string(problem));
  }
  return good ? 0 : 1;
}

static json instances_json(const std::vector<Instance>& instances) {
  json list = json::array();
  for (const Instance& instance : instances)
    list.push_back(
        {{"uuid", to_string(instance.uuid)}, {"type", instance.type}, {"gpu", instance.parent}});
  return list;
}

static std::string instance_lines(const std::vector<Instance>& instances, const char* sign) {
  std::string text;
  for (const Instance& instance : instances)
    text += std::string(sign) + to_string(instance.uuid) + "  " + instance.type + " on " +
            instance.parent + '\n';
  return text;
}

static json vfs_json(const std::vector<VfChange>& changes) {
  json list = json::array();
  for (const VfChange& change : changes)
    list.push_back(
        {{"gpu", to_string(change.pf)}, {"now", change.now}, {"wanted", change.wanted.count}});
  return list;
}

static std::string vf_lines(const std::vector<VfChange>& changes) {
  std::string text;
  for (const VfChange& change : changes) text += "+ " + to_string(change) + '\n';
  return text;
}

static std::string lines(const std::vector<std::string>& texts, const char* sign) {
  std::string result;
  for (const std::string& text : texts) result += sign + text + '\n';
  return result;
}

/// The exit status of plan.
static int report_errors(const ProvisionPlan& plan) {
  for (const std::string& line : plan.errors) print_failure({{}, line, {}});
  return plan.errors.empty() ? 0 : 1;
}

int plan_command(const Settings& settings) {
  const Config config = require_config(settings.root);
  ProvisionPlan plan = plan_host(settings.root, config);
  skip_vfs_in_use(settings.root, plan);
  if (settings.json) {
    print_json(settings.json, "plan",
               json{{"vfs", vfs_json(plan.vfs)},
                    {"create", instances_json(plan.create)},
                    {"remove", instances_json(plan.remove)},
                    {"skipped", plan.kept},
                    {"errors", plan.errors}});
    return report_errors(plan);
  }
  const std::string text = vf_lines(plan.vfs) + instance_lines(plan.remove, "- ") +
                           instance_lines(plan.create, "+ ") + lines(plan.kept, "  ");
  const bool is_as_configured = text.empty() && plan.errors.empty();
  print_lines(is_as_configured ? "No changes: the host matches the configuration.\n" : text);
  return report_errors(plan);
}

int apply_command(const Settings& settings) {
  if (settings.dry_run) return plan_command(settings);
  const Config config = require_config(settings.root);
  const Provisioned done = provision(settings.root, config, Deadlines{});
  if (settings.json)
    print_json(settings.json, "apply",
               json{{"vfs", vfs_json(done.vfs)},
                    {"created", instances_json(done.created)},
                    {"removed", instances_json(done.removed)},
                    {"skipped", done.kept},
                    {"failed", done.failed}});
  else
    print_lines(vf_lines(done.vfs) + instance_lines(done.removed, "- ") +
                instance_lines(done.created, "+ ") + lines(done.kept, "  ") +
                std::to_string(done.created.size()) + " instance(s) created, " +
                std::to_string(done.removed.size()) + " removed\n");
  for (const std::string& line : done.failed) print_failure({{}, line, {}});
  return done.failed.empty() ? 0 : 1;
}

static const char* result_word(Reconciled::Result result) {
  switch (result) {
    case Reconciled::Result::in_use:
      return "in-use";
    case Reconciled::Result::given_back:
      return "released";
    case Reconciled::Result::quarantined:
      return "quarantined";
    case Reconciled::Result::left_alone:
      return "skipped";
  }
  return "?";
}

/// Whether the claim is to be released and was not.
static bool remains(const Reconciled& result) {
  return result.result == Reconciled::Result::quarantined ||
         result.result == Reconciled::Result::left_alone;
}

/// libvirt is opened when the first claim asks for it: without claims it need not even run.
static IsActive libvirt_query(const Settings& settings, std::unique_ptr<DomainStore>& store,
                              std::optional<Reason>& trouble) {
  return [&](const Uuid& domain) -> std::optional<bool> {
    if (trouble) return {};
    try {
      if (!store) store = std::make_unique<DomainStore>(settings.root, settings.connect);
      const auto found = store->find(to_string(domain));
      return found && found->active;
    } catch (const Error& error) {
      trouble = error.reason;
      return {};
    }
  };
}

int reconcile_command(const Settings& settings) {
  require_system_libvirt(settings.root, settings.connect);
  std::unique_ptr<DomainStore> store;
  std::optional<Reason> trouble;
  const auto results = reconcile(settings.root, libvirt_query(settings, store, trouble),
                                 Deadlines{}, settings.dry_run);
  const bool is_logged = !settings.json && log::is_journal(fileno(stdout));  // as by its unit
  bool good = true;
  json claims = json::array();
  std::vector<std::vector<std::string>> rows;
  for (const Reconciled& result : results) {
    const char* word = result_word(result.result);
    good = good && !remains(result);
    claims.push_back({{"domain", result.name}, {"result", word}, {"reason", result.reason}});
    rows.push_back({result.name, word, result.reason});
    if (is_logged) log_result(result, {});
  }
  if (settings.json)
    print_json(settings.json, "reconcile", json{{"claims", claims}});
  else if (!is_logged)
    print_lines(rows.empty() ? "No claims: no domain uses a GPU.\n"
                             : format_table({"DOMAIN", "RESULT", "REASON"}, rows));
  if (!is_logged)
    for (const Reconciled& result : results)
      if (remains(result)) print_failure({result.name, result.reason, {}});
  if (trouble) print_failure(*trouble);
  return good && !trouble ? 0 : 1;
}

}  // namespace gpuward
