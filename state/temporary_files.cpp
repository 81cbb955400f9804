// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/temporary_files.hpp"

#include <sys/types.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "state/paths.hpp"

namespace gpuward {

std::vector<TemporaryFile> temporary_files(const Root& root, const std::string& directory) {
  std::vector<TemporaryFile> files;
  for (const std::string& name : list_directory(directory)) {
    const auto mark = name.rfind(".tmp");
    if (mark == std::string::npos) continue;
    std::string_view whole = std::string_view(name).substr(0, mark);
    if (whole.starts_with(paths::reassignment_prefix))
      whole.remove_prefix(paths::reassignment_prefix.size());
    const auto domain = parse_uuid(whole);
    const auto pid = to_number<pid_t>(std::string_view(name).substr(mark + 4));
    if (pid && !exists(root.proc(std::to_string(*pid))))
      files.push_back({domain, directory + '/' + name});
  }
  return files;
}

void sweep_temporary_files(const Root& root, const std::string& directory) {
  for (const TemporaryFile& file : temporary_files(root, directory)) remove_file(file.path);
}

}  // namespace gpuward
