// SPDX-License-Identifier: LGPL-2.1-or-later
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "config/config_parser.hpp"
#include "provision/provision.hpp"

using namespace gpuward;

/// Waits until every GPU that the configuration names is there, at most `wait`: drivers register
/// their types well after the device itself.
static void wait_for_gpus(const Root& root, const Config& config, std::chrono::seconds wait) {
  const auto end = std::chrono::steady_clock::now() + wait;
  std::vector<std::string> missing;
  while (!(missing = missing_gpus(root, config)).empty()) {
    if (std::chrono::steady_clock::now() >= end) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  for (const std::string& name : missing)
    log::warning("GPU " + name + " is configured but does not exist");
}

static int report(const Provisioned& done) {
  for (const VfChange& change : done.vfs) log::info(to_string(change));
  for (const Instance& instance : done.created)
    log::info("created " + to_string(instance.uuid) + ": " + instance.type + " on " +
              instance.parent);
  for (const Instance& instance : done.removed)
    log::info("removed " + to_string(instance.uuid) + ": " + instance.type + " on " +
              instance.parent);
  for (const std::string& line : done.kept) log::info(line);
  for (const std::string& line : done.failed)
    log::entry(log::Severity::error, log::Message::provision_failed, line);
  return done.failed.empty() ? 0 : 1;
}

static int run(const Root& root, bool withdraw, std::chrono::seconds wait) {
  Config config;
  if (!withdraw) {
    LoadedConfig loaded = load_host_config(root);
    using log::Message, log::Severity;
    for (const ConfigProblem& problem : loaded.problems)
      log::entry(Severity::error, Message::config_invalid, to_string(problem));
    if (!loaded.problems.empty()) {
      log::entry(Severity::error, Message::config_invalid,
                 "configuration is invalid, no changes made; run: gpuward check");
      return 1;
    }
    config = std::move(loaded.config);
  }
  // What is there need not wait for what is not.
  const int status = report(provision(root, config, Deadlines{}));
  if (missing_gpus(root, config).empty() || wait.count() == 0) return status;
  wait_for_gpus(root, config, wait);
  return report(provision(root, config, Deadlines{}));
}

// NOLINTNEXTLINE(bugprone-exception-escape): out of memory before there is anything to report
int main(int argc, char** argv) {
  set_up_signals();
  CLI::App app{"Set up the VFs and instances that /etc/gpuward/gpuward.conf configures."};
  bool boot = false, withdraw = false;
  unsigned wait = 30;
  Root root;
  app.add_flag("--boot", boot, "wait for the GPUs that the configuration names");
  app.add_option("--wait", wait, "with --boot: seconds at most (default 30)")
      ->check(CLI::Range(0, 600));
  app.add_flag("--withdraw", withdraw,
               "remove all instances that gpuward created and that are not in use");
  app.add_option("--root", root.prefix, "directory used as / (for tests)");
  app.set_version_flag("--version", "gpuward-provision " GPUWARD_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  log::start(::getenv("JOURNAL_STREAM") ? log::To::service : log::To::terminal,
             "gpuward-provision");
  try {
    return run(root, withdraw, std::chrono::seconds(boot ? wait : 0));
  } catch (const std::exception& error) {
    log::error(error.what());
    return 1;
  }
}
