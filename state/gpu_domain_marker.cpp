// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/gpu_domain_marker.hpp"

#include <sys/stat.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "state/paths.hpp"
#include "state/temporary_files.hpp"

namespace gpuward {

static std::string mark_of(const Root& root, const Uuid& domain) {
  return paths::gpu_domain(root, domain);
}

static constexpr std::string_view devices_line = "devices 1";

static std::string text_of(const StartedDevices& devices) {
  std::string text(devices_line);
  text += '\n';
  for (const StartedMemory& memory : devices.memory)
    text += "memory " + memory.model + ' ' + std::to_string(memory.size) + ' ' +
            std::to_string(memory.kib) + '\n';
  for (const std::string& source : devices.hostdevs) text += "hostdev " + source + '\n';
  return text;
}

void mark_gpu_domain(const Root& root, const Uuid& domain, std::string_view name,
                     const StartedDevices* devices) {
  if (const auto directory = paths::gpu_domains(root); !exists(directory))
    make_directories(directory);
  write_file_atomically(mark_of(root, domain),
                        std::string(name) + '\n' + (devices ? text_of(*devices) : ""));
}

static bool add_device(std::string_view line, StartedDevices& devices) {
  const auto words = split(line, ' ');
  if (words.size() == 2 && words[0] == "hostdev")
    return devices.hostdevs.insert(std::string(words[1])).second;
  if (words.size() != 4 || words[0] != "memory") return false;
  const auto size = to_number<uint64_t>(words[2]), kib = to_number<uint64_t>(words[3]);
  if (!size || !kib) return false;
  devices.memory.push_back({std::string(words[1]), *size, *kib});
  return true;
}

std::optional<StartedDevices> started_devices(const Root& root, const Uuid& domain) try {
  const auto text = read_file(mark_of(root, domain));
  if (!text || !text->ends_with('\n')) return {};
  const auto lines = split(std::string_view(*text).substr(0, text->size() - 1), '\n');
  if (lines.size() < 2 || lines[1] != devices_line) return {};
  StartedDevices devices;
  for (size_t i = 2; i < lines.size(); ++i)
    if (!add_device(lines[i], devices)) return {};
  return devices;
} catch (const Error&) {
  return {};
}

void unmark_gpu_domain(const Root& root, const Uuid& domain) {
  remove_file(mark_of(root, domain));
  remove_file(paths::gpu_domain_of_0_1(root, domain));
}

std::vector<Uuid> guarded_domains(const Root& root) {
  std::set<Uuid> domains;
  for (const std::string& directory : {paths::gpu_domains(root), paths::gpu_domains_of_0_1(root)})
    for (const std::string& name : list_directory(directory))
      if (const auto domain = parse_uuid(name)) domains.insert(*domain);
  return {domains.begin(), domains.end()};
}

void sweep_marks(const Root& root) {
  sweep_temporary_files(root, paths::gpu_domains(root));
}

std::string mark_stamp(const Root& root, const Uuid& domain) {
  struct stat info;
  const std::string path = mark_of(root, domain);
  if (::stat(path.c_str(), &info) != 0) {
    if (is_absence(errno)) return {};
    throw SystemError("cannot read " + path, errno);
  }
  return std::to_string(info.st_ino) + '@' + std::to_string(info.st_mtim.tv_sec) + '.' +
         std::to_string(info.st_mtim.tv_nsec);
}

static bool is_present(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  throw SystemError(path + ": cannot be looked up", errno);
}

bool has_gpu_now(const Root& root, const Uuid& domain) {
  return is_present(mark_of(root, domain)) || is_present(paths::claim(root, domain)) ||
         is_present(paths::gpu_domain_of_0_1(root, domain));
}

bool may_have_gpu_now(const Root& root, const Uuid& domain) try {
  return has_gpu_now(root, domain);
} catch (const SystemError&) {
  return true;
}

}  // namespace gpuward
