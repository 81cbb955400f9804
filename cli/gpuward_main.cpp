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
#include "cli/output.hpp"

using namespace gpuward;

/// The command line, and what it chose to run.
struct CommandLine {
  CLI::App app{"GPUs for virtual machines on plain libvirt hosts."};
  Settings settings;
  std::function<int()> chosen;
  std::string name, profile, alias, reason, what = "instances";
  bool all = false;
  std::vector<std::string> files;
  Rewrite rewrite;
  CLI::Option* is_anyway = nullptr;

  CommandLine();

 private:
  CLI::App* add(const char* verb, const char* help, int (CommandLine::*run)());
  void json(CLI::App* verb) {
    verb->add_flag("--json", settings.json, "print JSON (docs/json.md)");
  }
  void dry_run(CLI::App* verb, const char* help) {
    verb->add_flag("--dry-run", settings.dry_run, help);
  }

  int list() { return list_command(settings, what); }
  int show() { return show_command(settings, name); }
  int check() { return check_command(settings, files); }
  int plan() { return plan_command(settings); }
  int apply() { return apply_command(settings); }
  int attach() { return attach_command(settings, name, profile); }
  int detach() { return detach_command(settings, name, alias); }
  int protect() {
    if (all == !name.empty()) throw Error("give a domain, or --all for all that are shut off");
    return all ? protect_all_command(settings) : protect_command(settings, name);
  }
  int unprotect() { return unprotect_command(settings, name); }
  int start() {
    return is_anyway->count() ? start_anyway_command(settings, name, reason)
                              : start_command(settings, name);
  }
  int repoint() { return repoint_command(settings, name); }
  int clear() { return clear_command(settings, name); }
  int reconcile() { return reconcile_command(settings); }
  int explain() { return explain_command(settings, name); }
  int doctor() { return doctor_command(settings); }
  int run_rewrite() { return rewrite_command(settings, rewrite); }
};

CLI::App* CommandLine::add(const char* verb, const char* help, int (CommandLine::*run)()) {
  CLI::App* command = app.add_subcommand(verb, help);
  command->callback([this, run] { chosen = [this, run] { return (this->*run)(); }; });
  command->fallthrough();
  return command;
}

/// A line that says something.
static std::string is_reason(const std::string& text) {
  if (trim(text).empty()) return "REASON is empty";
  return text.find('\n') == text.npos ? "" : "REASON is more than one line";
}

CommandLine::CommandLine() {
  app.require_subcommand(1);
  app.set_version_flag("--version", "gpuward " GPUWARD_VERSION);
  app.add_option("-c,--connect", settings.connect, "libvirt URI (default: the system's own)");
  app.add_option("--root", settings.root.prefix, "directory that stands for / (for tests)");

  CLI::App* verb =
      add("list", "What there is: gpus, types, instances, domains or profiles", &CommandLine::list);
  verb->add_option("what", what, "gpus, types, instances (default), domains or profiles")
      ->check(CLI::IsMember({"gpus", "types", "instances", "domains", "profiles"}));
  json(verb);

  verb = add("show", "One GPU, instance or domain, with who has it open", &CommandLine::show);
  verb->add_option("name", name, "GPU, instance UUID, domain name or UUID")->required();
  json(verb);

  verb = add("check", "All mistakes of the configuration", &CommandLine::check);
  verb->add_option("file", files, "files to check instead of the installed configuration");
  json(verb);

  verb = add("plan", "What apply would do", &CommandLine::plan);
  json(verb);

  verb = add("apply", "Bring the GPUs to what the configuration wants", &CommandLine::apply);
  dry_run(verb, "as plan");
  json(verb);

  verb = add("attach", "Give a domain that is off a GPU", &CommandLine::attach);
  verb->add_option("domain", name, "domain name or UUID")->required();
  verb->add_option("profile", profile,
                   "profile of the configuration; without it the GPUs that the domain asks for "
                   "are made its own again, after a clone");
  dry_run(verb, "only show what would change in the domain's XML");

  verb = add("detach", "Give a domain that is off its XML back as it was", &CommandLine::detach);
  verb->add_option("domain", name, "domain name or UUID")->required();
  verb->add_option("alias", alias, "only this GPU, such as ua-gpuward-0");
  dry_run(verb, "only show what would change in the domain's XML");

  verb =
      add("protect", "Close in a domain's XML what [guard] blocks, also for a GPU written by hand",
          &CommandLine::protect);
  verb->add_option("domain", name,
                   "domain name or UUID, off; with a '/' in it: a file with its definition");
  verb->add_flag("--all", all, "all shut-off domains with a GPU");
  dry_run(verb, "only show what would change in the domain's XML");

  verb = add("unprotect", "Undo that", &CommandLine::unprotect);
  verb->add_option("domain", name,
                   "domain name or UUID, off; with a '/' in it: a file with its definition")
      ->required();
  dry_run(verb, "only show what would change in the domain's XML");

  verb = add("start", "Point a domain's GPUs at free devices of their pools and start it",
             &CommandLine::start);
  verb->add_option("domain", name, "domain name or UUID, off")->required();
  is_anyway = verb->add_option(
      "--anyway", reason,
      "start it as it is defined although a guard, or a configuration or XML with errors, refuses "
      "that; REASON goes into the journal");
  is_anyway->type_name("REASON")->check(is_reason);

  verb = add("repoint", "Point GPUs of domains that are off at free devices of their pools",
             &CommandLine::repoint);
  verb->add_option("domain", name, "domain name or UUID; without it all that are off");
  dry_run(verb, "only show what would change in the XML");

  verb = add("clear", "Let a PCI device be given again: after its one time, or out of quarantine",
             &CommandLine::clear);
  verb->add_option("device", name, "PCI address, such as 0000:41:00.0")->required();

  verb = add("rewrite", "The same as a filter: domain XML in, domain XML out, no libvirt",
             &CommandLine::run_rewrite);
  CLI::Option* detach_flag = verb->add_flag("--detach", rewrite.detach, "take all GPUs out");
  CLI::Option* attach_option =
      verb->add_option("--attach", rewrite.attach, "add a GPU of this profile; may be repeated");
  attach_option->excludes(detach_flag);
  CLI::Option* protect_flag =
      verb->add_flag("--protect", rewrite.protect, "as gpuward protect; nothing without a GPU");
  verb->add_flag("--unprotect", rewrite.unprotect, "as gpuward unprotect")
      ->excludes(protect_flag)
      ->excludes(attach_option)
      ->excludes(detach_flag);
  dry_run(verb, "print the changes instead of the XML");

  verb =
      add("reconcile", "Give back what is claimed and provably nobody's", &CommandLine::reconcile);
  dry_run(verb, "only show what would be given back");
  json(verb);

  verb = add("explain", "What guards a domain with a GPU on this host right now, and what is left",
             &CommandLine::explain);
  verb->add_option("domain", name, "domain name or UUID")->required();
  json(verb);

  verb = add("doctor", "What is wrong on this host, and how to mend it", &CommandLine::doctor);
  json(verb);
}

/// What helps against a failed system call whoever made it; "" where that is not known.
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

// NOLINTNEXTLINE(bugprone-exception-escape): out of memory before there is anything to tell
int main(int argc, char** argv) {
  set_up_signals();
  CommandLine line;
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return line.app.exit(error) == 0 ? 0 : 2;
  }
  log::start(log::To::terminal, "gpuward");
  try {
    const int status = line.chosen();
    errno = 0;
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
      throw SystemError("cannot write to stdout", errno ? errno : EIO);
    return status;
  } catch (const SystemError& error) {
    print_error(std::string("error: ") + error.what());
    if (const std::string hint = hint_of(error.code); !hint.empty()) print_error("hint: " + hint);
    return 1;
  } catch (const std::exception& error) {
    print_error(std::string("gpuward: ") + error.what());
    return 1;
  }
}
