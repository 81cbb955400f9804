// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>

#include "base/child_process.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/retried.hpp"
#include "base/tar.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "config/config_parser.hpp"
#include "inventory/config_record.hpp"
#include "inventory/host_record.hpp"
#include "inventory/journal_record.hpp"
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

static void note_unreadable(HostRecord& record, const std::string& line) {
  auto& lines = record.unreadable;  // record_host may have tried to read it too
  if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
}

/// What `read` returns; nothing, and a line in the record, when it throws: one thing that cannot be
/// read is no reason not to record the others.
template <typename Read>
static auto attempt(HostRecord& record, const std::string& path, Read read) -> decltype(read()) {
  try {
    return read();
  } catch (const SystemError& error) {
    note_unreadable(record, path + ": " + errno_text(error.code));
  } catch (const Error& error) {
    note_unreadable(record, path + ": " + error.reason.problem);
  }
  return {};
}

// ---- what is recorded on request

static std::string line_of(std::string_view what, const std::string& version) {
  return std::string(what) + ' ' + (version.empty() ? "unknown" : version) + '\n';
}

/// Of the programs that domains run. What they answered is read, not asked again: that would be
/// written to /run/gpuward.
static std::string qemu_lines(const Root& root, HostRecord& record) {
  std::string lines;
  for (const KeptQemuVersion& kept :
       attempt(record, paths::qemu_versions(Root{}), [&] { return kept_qemu_versions(root); }))
    lines += "qemu " + (kept.version ? version_text(*kept.version) : "unknown") + ' ' +
             kept.emulator + '\n';
  return lines.empty() ? line_of("qemu", "") : lines;
}

static std::string versions_text(const Settings& settings, HostRecord& record) {
  const Root& root = settings.root;
  const unsigned libvirt = libvirt_version_at(root, settings.connect);
  std::string text = line_of("gpuward", GPUWARD_VERSION);
  text +=
      line_of("kernel", read_optional_attribute(root.proc("sys/kernel/osrelease")).value_or(""));
  text += line_of("libvirt", libvirt ? version_text(libvirt) : "");
  text += qemu_lines(root, record);
  for (const char* const module : {"nvidia", "gim", "amdgpu", "xe", "i915"})
    if (const auto version =
            read_optional_attribute(root.sys("module/") + std::string(module) + "/version"))
      text += line_of(module, *version);
  return text;
}

/// What gpuward's programs have logged since the host was started: at most the last 5,000 entries.
/// Nothing where it cannot be read: by others than root, or without journald.
static std::optional<std::string> exported_journal() {
  return output_of(
      "/usr/bin/journalctl",
      {"--quiet", "--no-pager", "--boot", "--lines=5000", "--output=export",
       std::string("--output-fields=") + recorded_journal_fields, "--identifier=gpuward",
       "--identifier=gpuward-guard", "--identifier=gpuward-polkit",
       "--identifier=gpuward-provision", "--identifier=gpuward-qemu-hook"},
      std::chrono::seconds(30), size_t{16} << 20, RunAs::ourselves);
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

/// Where conf.d cannot be read the other file is all there is.
static std::vector<std::string> readable_config_files(const Root& root, HostRecord& record) {
  const auto files =
      attempt(record, "/etc/gpuward/conf.d", [&] { return std::optional(config_files(root)); });
  return files.value_or(std::vector{root.etc("gpuward/gpuward.conf")});
}

/// By their names in the archive. Each of them shows names that the journal may have, so all are
/// read in any case.
static std::map<std::string, std::string> config_texts(const Root& root,
                                                       const std::vector<std::string>& files,
                                                       StandIns& stand_ins, HostRecord& record) {
  std::map<std::string, std::string> texts;
  for (const std::string& file : files) {
    const std::string path = file.substr(root.prefix.size());
    if (const auto text = attempt(record, path, [&] { return read_file(file); }))
      texts[path.substr(1)] = config_with_stand_ins(*text, stand_ins);
  }
  return texts;
}

/// journalctl is of this host, not of the one in a directory; that one's is a file of others, which
/// root may not run.
static void add_journal(const Root& root, StandIns& stand_ins, HostRecord& record, Tar& tar) {
  const auto exported = root.prefix.empty() ? exported_journal() : std::nullopt;
  if (exported)
    tar.add_file(std::string(top) + "journal", journal_with_stand_ins(*exported, stand_ins));
  else
    note_unreadable(record, "the journal");
}

static std::string log_text(const HostRecord& record, StandIns& stand_ins) {
  std::string text = line_of("gpuward", GPUWARD_VERSION);
  for (const std::string& line : record.unreadable)
    text += "cannot read " + stand_ins.in_text(line) + '\n';
  return text;
}

static Tar archive_of(const Settings& settings, HostRecord& record,
                      const std::vector<std::string>& files,
                      const std::vector<std::string>& parts) {
  const Root& root = settings.root;
  const auto wants = [&](const char* part) {
    return std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  StandIns stand_ins(host_name());
  attempt(record, "/sys/bus/mdev/devices", [&] {
    keep_provisioned(root, stand_ins);
    return true;  // attempt wants a value
  });
  Tar tar(std::time(nullptr));
  for (const auto& [path, file] : with_stand_ins(record, stand_ins)) add(tar, path, file);
  const auto config = config_texts(root, files, stand_ins, record);
  if (wants("config"))
    for (const auto& [path, text] : config) tar.add_file(std::string(top) + path, text);
  if (wants("journal")) add_journal(root, stand_ins, record, tar);
  if (wants("versions"))
    tar.add_file(std::string(top) + "versions", versions_text(settings, record));
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
  HostRecord unread;
  const auto files = readable_config_files(settings.root, unread);
  HostRecord record = record_host(settings.root, load_config(files).config);
  for (const std::string& line : unread.unreadable) note_unreadable(record, line);
  const Tar tar = archive_of(settings, record, files, parts);
  if (file == "-") {
    print_text(tar.text());
    return 0;
  }
  create_file(file, tar.text());
  print_lines(file + ": " + std::to_string(record.files.size()) +
              " files and links recorded, serial numbers, UUIDs, names of domains and owners "
              "replaced; read the archive before you publish it\n");
  const bool wants_journal = std::find(parts.begin(), parts.end(), "journal") != parts.end();
  if (wants_journal && !settings.root.prefix.empty())
    print_lines("the journal is not recorded with --root, as journalctl reads that of this host\n");
  if (!record.unreadable.empty())
    print_lines(std::to_string(record.unreadable.size()) +
                " file(s) could not be read; gather.log in the archive names them\n");
  return 0;
}

}  // namespace gpuward
