// SPDX-License-Identifier: LGPL-2.1-or-later
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <functional>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/json_schema.hpp"
#include "cli/output.hpp"
#include "cli/unknown_command.hpp"

using namespace gpuward;

/// As of a variable of a script that is not set.
std::string not_empty(const std::string& value) {
  return value.empty() ? "is empty" : "";
}

/// The command line, and what it chose to run.
struct CommandLine {
  CLI::App app{"Assign GPUs to libvirt domains."};
  Settings settings;
  std::function<int()> chosen;
  std::string name, alias, owner, reason, what = "instances", archive = "gpuward-gather.tar";
  std::string size, share, workload, request;
  bool all = false, tree = false, write = false;
  std::vector<std::string> files, parts, requests;
  ReassignWords reassign_words;
  Rewrite rewrite;
  CLI::Option* is_anyway = nullptr;

  CommandLine();

 private:
  CLI::App* add(const char* verb, const char* help, int (CommandLine::*run)());
  void choose(int (CommandLine::*run)()) {
    chosen = [this, run] { return (this->*run)(); };
  }
  void json(CLI::App* verb) {
    // No CLI::Range: CLI11 2.4 and later apply that to a flag which is not there.
    verb->add_flag_function(
        "--json{" + std::to_string(newest_schema) + "}",
        [this](int64_t schema) {
          if (schema < 1 || schema > newest_schema)
            throw CLI::ValidationError("--json", "expected a schema from 1 to " +
                                                     std::to_string(newest_schema) + ", found " +
                                                     std::to_string(schema));
          settings.json = static_cast<int>(schema);
        },
        "print JSON (docs/json.md); --json=1: with the words of gpuward 0.1.0");
  }
  void dry_run(CLI::App* verb, const char* help) {
    verb->add_flag("--dry-run", settings.dry_run, help);
  }

  int list() { return tree ? list_tree_command(settings) : list_command(settings, what); }
  int show() { return show_command(settings, name); }
  int gather() { return gather_command(settings, archive, parts); }
  int setup() { return setup_command(settings, write); }
  int verify() { return verify_command(settings, name); }
  int check() { return check_command(settings, files); }
  int plan() {
    if (!request.empty()) return defragment_command(settings, request);
    return name.empty() ? plan_command(settings) : plan_domain_command(settings, name);
  }
  int apply() { return apply_command(settings); }
  int attach() { return attach_command(settings, name, requests, owner); }
  int detach() { return detach_command(settings, name, alias); }
  int protect() { return all ? protect_all_command(settings) : protect_command(settings, name); }
  int unprotect() { return unprotect_command(settings, name); }
  int start() {
    return is_anyway->count() ? start_anyway_command(settings, name, reason)
                              : start_command(settings, name);
  }
  int reassign() { return reassign_command(settings, name, reassign_words); }
  int clear() { return clear_command(settings, name); }
  int reconcile() { return reconcile_command(settings); }
  int explain() { return explain_command(settings, name); }
  int doctor() { return doctor_command(settings); }
  int fit() { return fit_command(settings, {size, share, workload}); }
  int quota() { return quota_command(settings, name); }
  int run_rewrite() { return rewrite_command(settings, rewrite); }
};

CLI::App* CommandLine::add(const char* verb, const char* help, int (CommandLine::*run)()) {
  CLI::App* command = app.add_subcommand(verb, help);
  command->callback([this, run] { choose(run); });
  command->fallthrough();
  return command;
}

/// One line, not empty.
static std::string is_reason(const std::string& text) {
  if (trim(text).empty()) return "REASON is empty";
  return text.find('\n') == text.npos ? "" : "REASON is more than one line";
}

CommandLine::CommandLine() {
  app.require_subcommand(1);
  app.set_version_flag("--version", "gpuward " GPUWARD_VERSION);
  app.add_option("-c,--connect", settings.connect, "libvirt URI (default: qemu:///system)");
  app.add_option("--root", settings.root.prefix, "directory used as / (for tests)");

  CLI::App* verb =
      add("list", "List GPUs, types, instances, domains or profiles", &CommandLine::list);
  CLI::Option* of_what =
      verb->add_option("what", what, "gpus, types, instances (default), domains or profiles")
          ->check(CLI::IsMember({"gpus", "types", "instances", "domains", "profiles"}));
  json(verb);
  verb->add_flag("--tree", tree, "GPUs with their VFs, instances and domains, as a tree")
      ->excludes(verb->get_option("--json"));
  verb->callback([this, of_what] {
    if (tree && of_what->count() && what != "gpus")
      throw CLI::ValidationError("--tree", "expected no list or 'gpus' with --tree");
    choose(&CommandLine::list);
  });

  verb = add("show", "Show one GPU, instance or domain and the processes using it",
             &CommandLine::show);
  verb->add_option("name", name, "GPU, instance UUID, domain name or UUID")->required();
  json(verb);

  verb = add("gather", "Record this host's GPUs in a tar archive for a bug report",
             &CommandLine::gather);
  verb->add_option("file", archive,
                   "archive to create (default: gpuward-gather.tar), - for stdout");
  verb->add_option("--with", parts, "what else to record: config, journal, versions")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"config", "journal", "versions"}));

  verb = add("setup", "Show this host's GPUs and print a first gpuward.conf for them",
             &CommandLine::setup);
  verb->add_flag("--write", write, "install it as /etc/gpuward/gpuward.conf");
  json(verb);

  verb = add("check", "Print all errors of the configuration", &CommandLine::check);
  verb->add_option("file", files, "files to check instead of the installed configuration");
  json(verb);

  verb = add("plan",
             "Print what apply would do, which devices a domain would get, or how to make room",
             &CommandLine::plan);
  CLI::Option* of_domain = verb->add_option(
      "domain", name,
      "domain name or UUID, shut off: instead, its GPUs' devices and why not others");
  of_domain->check(not_empty);
  verb->add_option("--defragment", request,
                   "instead: which shut-off domains to reassign so that there is room for N more "
                   "GPUs of a profile")
      ->type_name("REQUEST:N")
      ->check(not_empty)
      ->excludes(of_domain);
  json(verb);

  verb = add("apply", "Set up VFs and instances as configured", &CommandLine::apply);
  dry_run(verb, "same as plan");
  json(verb);

  verb = add("attach", "Add GPUs to a shut-off domain", &CommandLine::attach);
  verb->add_option("domain", name,
                   "domain name or UUID, or a quoted pattern for names of domains, such as "
                   "'desktop-*'")
      ->required();
  verb->add_option(
      "request", requests,
      "whole (any whole GPU), vendor:device, a profile of the configuration, a type or "
      "a model of a GPU of this host; REQUEST:N for N of them. Without it the instance "
      "UUIDs of the domain's GPUs are updated, as needed after a clone");
  verb->add_option("--owner", owner, "label of the domain's GPUs, for [quota owner:PATTERN]")
      ->type_name("NAME")
      ->check(not_empty);
  dry_run(verb, "only show what would change in the domain's XML");

  verb = add("detach", "Remove GPUs from a shut-off domain", &CommandLine::detach);
  verb->add_option("domain", name, "domain name or UUID")->required();
  verb->add_option("alias", alias, "only this GPU, such as ua-gpuward-0");
  dry_run(verb, "only show what would change in the domain's XML");

  verb = add("protect", "Change a domain's XML as [guard] requires, also for a GPU written by hand",
             &CommandLine::protect);
  verb->add_option("domain", name,
                   "domain name or UUID, shut off; with a '/': a file with its definition");
  verb->add_flag("--all", all, "all shut-off domains with a GPU");
  verb->callback([this] {
    if (all == !name.empty())
      throw CLI::ValidationError("protect", "requires a domain, or --all for all shut-off domains");
    choose(&CommandLine::protect);
  });
  dry_run(verb, "only show what would change in the domain's XML");

  verb = add("unprotect", "Undo 'protect'", &CommandLine::unprotect);
  verb->add_option("domain", name,
                   "domain name or UUID, shut off; with a '/': a file with its definition")
      ->required();
  dry_run(verb, "only show what would change in the domain's XML");

  verb =
      add("start", "Assign available devices to a domain's GPUs and start it", &CommandLine::start);
  verb->add_option("domain", name, "domain name or UUID, shut off")->required();
  is_anyway = verb->add_option(
      "--anyway", reason,
      "start the domain as defined although a guard, or a configuration or XML with errors, blocks "
      "the start; REASON is logged in the journal");
  is_anyway->type_name("REASON")->check(is_reason);

  // "repoint" is the name of 0.1.0, accepted for one release.
  for (const char* const word : {"reassign", "repoint"}) {
    verb = add(word, "Assign available devices to the GPUs of shut-off domains",
               &CommandLine::reassign);
    CLI::Option* one =
        verb->add_option("domain", name, "domain name or UUID; without it all shut-off domains");
    CLI::Option* to = verb->add_option("--to", reassign_words.to,
                                       "PCI address of the device that its GPU is to have");
    to->type_name("ADDRESS")->check(not_empty)->needs(one);
    verb->add_option("--gpu", reassign_words.alias,
                     "which of its GPUs gets that device, such as ua-gpuward-0")
        ->type_name("ALIAS")
        ->check(not_empty)
        ->needs(to);
    dry_run(verb, "only show what would change in the XML");
  }
  verb->group("");  // hidden

  verb = add("clear", "Clear a PCI device from quarantine or single use", &CommandLine::clear);
  verb->add_option("device", name, "PCI address, such as 0000:41:00.0")->required();

  verb = add("rewrite", "Edit domain XML from stdin to stdout, without libvirt",
             &CommandLine::run_rewrite);
  CLI::Option* detach_flag = verb->add_flag("--detach", rewrite.detach, "remove all GPUs");
  CLI::Option* attach_option = verb->add_option(
      "--attach", rewrite.attach, "add what attach adds for this request; may be repeated");
  attach_option->excludes(detach_flag);
  verb->add_option("--owner", rewrite.owner,
                   "label of the domain's GPUs, for [quota owner:PATTERN]")
      ->type_name("NAME")
      ->check(not_empty)
      ->needs(attach_option);
  CLI::Option* protect_flag =
      verb->add_flag("--protect", rewrite.protect, "as gpuward protect; no change without a GPU");
  verb->add_flag("--unprotect", rewrite.unprotect, "as gpuward unprotect")
      ->excludes(protect_flag)
      ->excludes(attach_option)
      ->excludes(detach_flag);
  dry_run(verb, "print the changes instead of the XML");

  verb = add("reconcile", "Release GPUs whose domain no longer runs", &CommandLine::reconcile);
  dry_run(verb, "only show what would be released");
  json(verb);

  verb = add("explain", "Show which guards protect a domain with a GPU, and what remains possible",
             &CommandLine::explain);
  verb->add_option("domain", name, "domain name or UUID")->required();
  json(verb);

  verb =
      add("fit", "List which types and GPUs serve a request for a part of a GPU, and which do not",
          &CommandLine::fit);
  verb->add_option("size", size, "memory, such as 4096MiB or 4GiB, or with a share: 4096MiB/25%")
      ->required();
  verb->add_option("share", share, "of the compute units, such as 25%");
  verb->add_option("--workload", workload, "as of a profile: graphics or compute")
      ->check(CLI::IsMember({"graphics", "compute"}));
  verb->add_option("--tree", settings.root.prefix,
                   "directory with the files of another host, as gpuward gather records them")
      ->type_name("DIR")
      ->check(CLI::ExistingDirectory);
  json(verb);

  verb = add("verify",
             "Compare what kernel and driver have set for a running domain's GPUs with its claim",
             &CommandLine::verify);
  verb->add_option("domain", name, "domain name or UUID")->required();
  json(verb);

  verb = add("quota", "Show quotas and what domains use of them", &CommandLine::quota);
  verb->add_option("domain", name, "only the quotas of this domain, by name or UUID");
  json(verb);

  verb = add("doctor", "Print problems of this host and how to fix them", &CommandLine::doctor);
  json(verb);
}

/// What helps against a failed system call, independent of the command; "" where that is unknown.
static std::string hint_of(int code) {
  switch (code) {
    case EACCES:
    case EPERM:
      return ::geteuid() == 0 ? "" : "run the command as root";
    case ENOSPC:
    case EDQUOT:
      return "free space on that file system (df -h, df -i), then run the command again";
    case EROFS:
      return "mount that file system for writing, then run the command again";
    default:
      return "";
  }
}

/// What is wrong with the command line; CLI11 does not name a word that is no command.
static int report_usage(const CommandLine& line, const CLI::ParseError& error) {
  constexpr int usage = 2;
  const bool has_no_command = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr &&
                              line.app.get_subcommands().empty();
  if (!has_no_command) return line.app.exit(error) == 0 ? 0 : usage;
  std::vector<std::string> names;
  for (const CLI::App* verb : line.app.get_subcommands(nullptr))
    if (!verb->get_group().empty()) names.push_back(verb->get_name());
  print_failure(unknown_command(line.app.remaining(), {names.begin(), names.end()}));
  return usage;
}

// NOLINTNEXTLINE(bugprone-exception-escape): out of memory before there is anything to report
int main(int argc, char** argv) {
  set_up_signals();
  CommandLine line;
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_usage(line, error);
  }
  log::start(log::is_journal(STDERR_FILENO) ? log::To::service : log::To::terminal, "gpuward");
  try {
    const int status = line.chosen();
    errno = 0;
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      throw SystemError("cannot write to stdout", errno ? errno : EIO);
    return status;
  } catch (const SystemError& error) {
    Reason reason = error.reason;
    if (reason.remedy.empty()) reason.remedy = hint_of(error.code);
    print_failure(reason);
    return 1;
  } catch (const Error& error) {
    print_failure(error.reason);
    return 1;
  } catch (const std::exception& error) {
    print_failure({{}, error.what(), {}});
    return 1;
  }
}
