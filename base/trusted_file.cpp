// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/trusted_file.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/error.hpp"
#include "base/file.hpp"

namespace gpuward {

std::string to_string(const Untrusted& untrusted) {
  return untrusted.path + ": " + untrusted.found + "; run: " + untrusted.command;
}

static uid_t owner_of_root(const Root& root) {
  struct stat info;
  const bool is_test = !root.prefix.empty() && ::stat(root.prefix.c_str(), &info) == 0;
  return is_test ? info.st_uid : 0;
}

static void check(const Root& root, uid_t owner, const std::string& path,
                  std::vector<Untrusted>& found) {
  const bool is_below = !root.prefix.empty() && path.starts_with(root.prefix);
  const std::string name = is_below ? path.substr(root.prefix.size()) : path;
  if (std::any_of(found.begin(), found.end(),
                  [&](const Untrusted& other) { return other.path == name; }))
    return;
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    if (!is_absence(errno))
      found.push_back({name, "cannot be examined: " + errno_text(errno), "ls -ld " + name});
    return;
  }
  const bool is_sticky = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;
  if (info.st_uid != 0 && info.st_uid != owner)
    found.push_back({name, "belongs to user " + std::to_string(info.st_uid) + ", not to root",
                     "chown root:root " + name});
  else if ((info.st_mode & 022) != 0 && !is_sticky)
    found.push_back({name, "others than root may write it", "chmod go-w " + name});
}

static void check_with_parents(const Root& root, uid_t owner, std::string path,
                               std::vector<Untrusted>& found) {
  while (path.size() > 1 && path != root.prefix) {
    check(root, owner, path, found);
    const size_t slash = path.rfind('/');
    if (slash == path.npos) return;
    path.resize(slash == 0 ? 1 : slash);
  }
  if (path == "/") check(root, owner, path, found);
}

std::vector<Untrusted> find_untrusted(const Root& root, const std::string& path) {
  std::vector<Untrusted> found;
  const uid_t owner = owner_of_root(root);
  check_with_parents(root, owner, path, found);
  const std::unique_ptr<char, void (*)(void*)> target(::realpath(path.c_str(), nullptr), ::free);
  if (target && path != target.get()) check_with_parents(root, owner, target.get(), found);
  return found;
}

}  // namespace gpuward
