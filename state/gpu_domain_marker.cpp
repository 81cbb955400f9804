// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/gpu_domain_marker.hpp"

#include <sys/stat.h>

#include "base/file.hpp"
#include "state/paths.hpp"

namespace gpuward {

static std::string mark_of(const Root& root, const Uuid& domain) {
  return paths::gpu_domain(root, domain);
}

void mark_guarded(const Root& root, const Uuid& domain, std::string_view name) {
  make_directories(paths::gpu_domains(root));
  write_file_atomically(mark_of(root, domain), std::string(name) + '\n');
}

void unmark_guarded(const Root& root, const Uuid& domain) {
  remove_file(mark_of(root, domain));
}

std::vector<Uuid> guarded_domains(const Root& root) {
  std::vector<Uuid> domains;
  for (const std::string& name : list_directory(paths::gpu_domains(root)))
    if (const auto domain = parse_uuid(name)) domains.push_back(*domain);
  return domains;
}

std::string mark_stamp(const Root& root, const Uuid& domain) {
  struct stat info;
  if (::stat(mark_of(root, domain).c_str(), &info) != 0) return {};
  return std::to_string(info.st_ino) + '@' + std::to_string(info.st_mtim.tv_sec) + '.' +
         std::to_string(info.st_mtim.tv_nsec);
}

bool has_gpu_now(const Root& root, const Uuid& domain) {
  return exists(mark_of(root, domain)) || exists(paths::claim(root, domain));
}

}  // namespace gpuward
