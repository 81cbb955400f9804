// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/qemu_version.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include "base/child_process.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "base/trusted_file.hpp"
#include "base/uuid.hpp"
#include "domain/xml_document.hpp"
#include "state/paths.hpp"

namespace gpuward {

// A busy host with cold disks may take seconds to load QEMU's libraries.
static constexpr std::chrono::seconds deadline{10};

/// What changes when another program is put there; nothing when there is none that can be run.
/// Throws Error where it is not to be run.
static std::optional<std::string> stamp_of(const Root& root, const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  // What others may replace, here or in a directory above, would be run by root's hook.
  if (const auto untrusted = find_untrusted(root, path); !untrusted.empty())
    throw Error(shown(untrusted.front().path), untrusted.front().found,
                "run: " + untrusted.front().command);
  return std::to_string(info.st_dev) + ' ' + std::to_string(info.st_ino) + ' ' +
         std::to_string(info.st_size) + ' ' + std::to_string(info.st_mtim.tv_sec) + '.' +
         std::to_string(info.st_mtim.tv_nsec);
}

/// Takes the number in front and the separator behind it off `text`.
static std::optional<unsigned> take_number(std::string_view& text) {
  const auto end = text.find_first_not_of("0123456789");
  const auto number = to_number<unsigned>(text.substr(0, end));
  text.remove_prefix(end == text.npos ? text.size() : end + (text[end] == '.' ? 1 : 0));
  return number && *number < 1000 ? number : std::nullopt;
}

/// "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"
static std::optional<unsigned> version_in(std::string_view text) {
  static constexpr std::string_view before = "QEMU emulator version ";
  const auto at = text.find(before);
  if (at == text.npos) return {};
  text.remove_prefix(at + before.size());
  const auto major = take_number(text), minor = take_number(text);
  if (!major || !minor) return {};
  return *major * 1'000'000 + *minor * 1'000 + take_number(text).value_or(0);
}

/// One file for each emulator: its stamp, its version, its path, a line each.
static std::string cache_file(const Root& root, const std::string& emulator) {
  return paths::qemu_versions(root) + '/' + to_string(name_uuid(Uuid{}, emulator));
}

static std::optional<unsigned> kept_version(const std::string& file, const std::string& stamp) {
  const auto text = read_file(file);
  if (!text) return {};
  const auto lines = split(*text, '\n');
  if (lines.size() < 2 || lines[0] != stamp) return {};
  return to_number<unsigned>(lines[1]);
}

/// Not to be able to, as someone who is not root, costs a start of QEMU the next time.
static void keep(const Root& root, const std::string& emulator, const std::string& stamp,
                 unsigned version) {
  try {
    make_directories(paths::qemu_versions(root));
    write_file_atomically(cache_file(root, emulator),
                          stamp + '\n' + std::to_string(version) + '\n' + emulator + '\n');
  } catch (const SystemError&) {
    return;
  }
}

static std::optional<unsigned> find_version(const Root& root, const std::string& emulator) {
  if (!emulator.starts_with('/')) return {};
  const std::string path = root.prefix + emulator;
  const auto stamp = stamp_of(root, path);
  if (!stamp) return {};
  if (const auto kept = kept_version(cache_file(root, emulator), *stamp)) return kept;
  const auto version = version_in(output_of(path, {"--version"}, deadline).value_or(""));
  if (version) keep(root, emulator, *stamp, *version);
  return version;
}

std::optional<unsigned> qemu_version(const Root& root, const std::string& emulator) {
  try {
    return find_version(root, emulator);
  } catch (const Error& error) {
    log::warning("cannot determine the version of QEMU: " + std::string(error.what()));
    return {};
  }
}

/// Of the program that is there now, if its stamp is the kept one.
static std::optional<unsigned> version_if_same(const Root& root, const std::string& emulator) {
  try {
    const auto stamp = stamp_of(root, root.prefix + emulator);
    return stamp ? kept_version(cache_file(root, emulator), *stamp) : std::nullopt;
  } catch (const SystemError&) {
    throw;
  } catch (const Error&) {  // others may replace it
    return {};
  }
}

std::vector<KeptQemuVersion> kept_qemu_versions(const Root& root) {
  std::vector<KeptQemuVersion> kept;
  const std::string directory = paths::qemu_versions(root);
  for (const std::string& name : list_directory(directory)) {
    const std::string text = read_file(directory + '/' + name).value_or("");
    const auto lines = split(text, '\n');  // stamp, version, path
    if (lines.size() < 3 || !lines[2].starts_with('/')) continue;
    const std::string emulator(lines[2]);
    kept.push_back({emulator, version_if_same(root, emulator)});
  }
  return kept;
}

QemuCapabilities abilities_of(std::optional<unsigned> version) {
  return {.can_disable_vfio_migration = !version || *version >= first_qemu_with_enable_migration,
          .is_known = version.has_value()};
}

std::string version_text(unsigned version) {
  return std::to_string(version / 1'000'000) + '.' + std::to_string(version / 1'000 % 1'000) + '.' +
         std::to_string(version % 1'000);
}

}  // namespace gpuward
