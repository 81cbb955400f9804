// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/child_process.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/retried.hpp"
#include "base/tar.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "config/config_parser.hpp"
#include "inventory/host_record.hpp"
#include "inventory/stand_ins.hpp"
#include "libvirt/version.hpp"
#include "protection/qemu_version.hpp"
#include "state/paths.hpp"

namespace gpuward {

/// The directory that everything in the archive is in.
static constexpr std::string_view top = "gpuward-gather/";

static std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

// ---- what is recorded on request

static std::string line_of(std::string_view what, const std::string& version) {
  return std::string(what) + ' ' + (version.empty() ? "unknown" : version) + '\n';
}

/// Of the programs that domains run. What they answered is read, not asked again: that would be
/// written to /run/gpuward.
static std::string qemu_lines(const Root& root) {
  std::string lines;
  for (const std::string& name : list_directory(paths::qemu_versions(root))) {
    const std::string text = read_file(paths::qemu_versions(root) + '/' + name).value_or("");
    const auto parts = split(text, '\n');  // stamp, version, path
    const auto version = parts.size() > 2 ? to_number<unsigned>(parts[1]) : std::nullopt;
    if (version) lines += "qemu " + version_text(*version) + ' ' + std::string(parts[2]) + '\n';
  }
  return lines.empty() ? line_of("qemu", "") : lines;
}

static std::string versions_text(const Settings& settings) {
  const Root& root = settings.root;
  const unsigned libvirt = libvirt_version_at(root, settings.connect);
  std::string text = line_of("gpuward", GPUWARD_VERSION);
  text +=
      line_of("kernel", read_optional_attribute(root.proc("sys/kernel/osrelease")).value_or(""));
  text += line_of("libvirt", libvirt ? version_text(libvirt) : "");
  text += qemu_lines(root);
  for (const char* const module : {"nvidia", "gim", "amdgpu", "xe", "i915"})
    if (const auto version =
            read_optional_attribute(root.sys("module/") + std::string(module) + "/version"))
      text += line_of(module, *version);
  return text;
}

/// What gpuward's programs have logged since the host was started: at most the last 5,000 lines.
/// Nothing where it cannot be read: by others than root, or without journald.
static std::optional<std::string> journal_text(const Root& root) {
  return output_of(
      root.at("/usr/bin/journalctl"),
      {"--quiet", "--no-pager", "--no-hostname", "--boot", "--lines=5000", "--output=short-iso",
       "--identifier=gpuward", "--identifier=gpuward-guard", "--identifier=gpuward-polkit",
       "--identifier=gpuward-provision", "--identifier=gpuward-qemu-hook"},
      std::chrono::seconds(30), size_t{8} << 20, RunAs::ourselves);
}

// ---- the archive

static void add(Tar& tar, const std::string& path, const RecordedFile& file) {
  const std::string name = std::string(top) + path;
  if (file.kind == RecordedFile::Kind::directory)
    tar.add_directory(name);
  else if (file.kind == RecordedFile::Kind::link)
    tar.add_link(name, file.text);
  else
    tar.add_file(name, file.text);
}

static void add_config(const Root& root, StandIns& stand_ins, HostRecord& record, Tar& tar) {
  for (const std::string& file : config_files(root)) {
    const std::string path = file.substr(root.prefix.size());
    try {
      if (const auto text = read_file(file))
        tar.add_file(std::string(top) + path.substr(1), stand_ins.in_config(*text));
    } catch (const Error& error) {
      record.unreadable.push_back(path + ": " + error.reason.problem);
    }
  }
}

static void add_journal(const Root& root, StandIns& stand_ins, HostRecord& record, Tar& tar) {
  if (const auto text = journal_text(root))
    tar.add_file(std::string(top) + "journal", stand_ins.in_journal(*text));
  else
    record.unreadable.emplace_back("the journal");
}

static std::string log_text(const HostRecord& record, StandIns& stand_ins) {
  std::string text = line_of("gpuward", GPUWARD_VERSION);
  for (const std::string& line : record.unreadable)
    text += "cannot read " + stand_ins.in_text(line) + '\n';
  return text;
}

static Tar archive_of(const Settings& settings, HostRecord& record,
                      const std::vector<std::string>& parts) {
  const auto wants = [&](const char* part) {
    return std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  StandIns stand_ins(host_name());
  keep_provisioned(settings.root, stand_ins);
  Tar tar(std::time(nullptr));
  for (const auto& [path, file] : with_stand_ins(record, stand_ins)) add(tar, path, file);
  if (wants("config")) add_config(settings.root, stand_ins, record, tar);
  if (wants("journal")) add_journal(settings.root, stand_ins, record, tar);
  if (wants("versions")) tar.add_file(std::string(top) + "versions", versions_text(settings));
  tar.add_file(std::string(top) + "gather.log", log_text(record, stand_ins));
  return tar;
}

static void write_all(int file, std::string_view text, const std::string& name) {
  while (!text.empty()) {
    const ssize_t n = retried([&] { return ::write(file, text.data(), text.size()); });
    if (n < 0) throw SystemError("cannot write " + name, errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
}

/// Readable for its owner alone: a configuration and a journal may be in it.
static void create_file(const std::string& name, const std::string& text) {
  const Fd file(retried([&] {
    return ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  }));
  if (!file && errno == EEXIST)
    throw Error(name, "already exists", "remove that file, or run: gpuward gather OTHER.tar");
  if (!file) throw SystemError("cannot create " + name, errno);
  try {
    write_all(file.get(), text, name);
  } catch (const SystemError&) {
    ::unlink(name.c_str());
    throw;
  }
}

int gather_command(const Settings& settings, const std::string& file,
                   const std::vector<std::string>& parts) {
  // A mistake in the configuration is no reason not to record what there is.
  const Config config = load_config(config_files(settings.root)).config;
  HostRecord record = record_host(settings.root, config);
  const Tar tar = archive_of(settings, record, parts);
  if (file == "-") {
    print_text(tar.text());
    return 0;
  }
  create_file(file, tar.text());
  print_lines(file + ": " + std::to_string(record.files.size()) +
              " files and links recorded, serial numbers, UUIDs, names of domains and owners "
              "replaced; read the archive before you publish it\n");
  if (!record.unreadable.empty())
    print_lines(std::to_string(record.unreadable.size()) +
                " file(s) could not be read; gather.log in the archive names them\n");
  return 0;
}

}  // namespace gpuward
