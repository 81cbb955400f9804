// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/current_config.hpp"

#include <sys/stat.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "config/config_parser.hpp"

namespace gpuward {

static std::string stamp_of(const std::vector<std::string>& files) {
  std::string stamp;
  for (const std::string& file : files) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) info = {};
    stamp += file + ' ' + std::to_string(info.st_ino) + ' ' + std::to_string(info.st_size) + ' ' +
             std::to_string(info.st_uid) + ' ' + std::to_string(info.st_mode) + ' ' +
             std::to_string(info.st_mtim.tv_sec) + '.' + std::to_string(info.st_mtim.tv_nsec) +
             '\n';
  }
  return stamp;
}

/// load_host_config refuses on these too, and a directory's owner and mode are in no file's stamp.
static std::string stamp_of(const std::vector<Untrusted>& all) {
  std::string stamp;
  for (const Untrusted& untrusted : all) stamp += to_string(untrusted) + '\n';
  return stamp;
}

/// Never empty: without files the configuration is read once too. Where it is unknown which
/// files there are, the reason stands for them.
static std::string stamp_of(const Root& root) try {
  return "of " + stamp_of(config_files(root)) + stamp_of(untrusted_config(root));
} catch (const Error& error) {
  return error.what();
}

CurrentConfig::CurrentConfig(const Root& root)
    : root_(root), config_(std::make_shared<const Config>()) {
  load();
}

std::shared_ptr<const Config> CurrentConfig::get() {
  const std::scoped_lock lock(mutex_);
  load();
  return config_;
}

std::shared_ptr<const Config> CurrentConfig::get_valid() {
  const std::scoped_lock lock(mutex_);
  load();
  return has_mistakes_ ? nullptr : config_;
}

void CurrentConfig::load() {
  std::string stamp = stamp_of(root_);
  if (stamp == stamp_) return;
  stamp_ = std::move(stamp);
  LoadedConfig loaded = load_host_config(root_);
  has_mistakes_ = !loaded.problems.empty();
  if (!has_mistakes_) {
    config_ = std::make_shared<const Config>(std::move(loaded.config));
    return;
  }
  using log::Message, log::Severity;
  for (const ConfigProblem& problem : loaded.problems)
    log::entry(Severity::error, Message::config_invalid, to_string(problem));
  log::entry(Severity::error, Message::config_invalid,
             "configuration is invalid, keeping the previous one; run: gpuward check");
}

}  // namespace gpuward
