// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <utility>

#include "base/error.hpp"
#include "base/retried.hpp"
#include "base/text.hpp"

namespace gpuward {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Fd::release() {
  return std::exchange(fd_, -1);
}

void Fd::reset() {
  if (fd_ >= 0) ::close(release());
}

bool is_absence(int code) {
  return code == ENOENT || code == ENOTDIR || code == ENODEV || code == ESRCH;
}

/// Where the filesystem of `path` is mounted: the last directory above it that is of the same
/// device.
static std::string mount_point_of(std::string path) {
  struct stat info, above;
  while (path.size() > 1 && ::lstat(path.c_str(), &info) != 0) path.resize(path.rfind('/'));
  while (path.size() > 1) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) break;
    const std::string parent = slash == 0 ? "/" : path.substr(0, slash);
    if (::lstat(parent.c_str(), &above) != 0 || above.st_dev != info.st_dev) break;
    path = parent;
  }
  return path;
}

/// A full filesystem is the administrator's to make room on, so it is named.
static SystemError write_error(const std::string& path, int code) {
  if (code != ENOSPC && code != EDQUOT) return {"cannot write " + path, code};
  const std::string mount_point = mount_point_of(path);
  return {"cannot write " + path + ": filesystem " + mount_point + " is full", code,
          "run: df -h -i " + mount_point};
}

static void write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw write_error(path, errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
}

std::optional<std::string> read_file(const std::string& path, size_t limit) {
  // Without waiting: in place of a file may be a pipe that no process writes to.
  const Fd fd(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (!fd && is_absence(errno)) return {};
  if (!fd) throw SystemError("cannot open " + path, errno);
  struct stat info;
  if (retried([&] { return ::fstat(fd.get(), &info); }) != 0)
    throw SystemError("cannot read " + path, errno);
  if (S_ISDIR(info.st_mode)) throw SystemError("cannot read " + path, EISDIR);
  if (!S_ISREG(info.st_mode)) throw SystemError(path + " is not a regular file", EINVAL);
  if (info.st_size > static_cast<off_t>(limit))
    throw Error(path, "larger than " + std::to_string(limit) + " bytes");
  // One byte of room more than its size: then the end is found without another buffer.
  std::string text(static_cast<size_t>(info.st_size) + 1, '\0');
  size_t size = 0;
  for (;;) {
    if (size > limit) throw Error(path, "larger than " + std::to_string(limit) + " bytes");
    if (size == text.size()) text.resize(2 * size);  // it grows, or is of a kind without a size
    const ssize_t n = ::read(fd.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw SystemError("cannot read " + path, errno);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  return text;
}

std::optional<std::string> read_attribute(const std::string& path) {
  const Fd fd(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW); }));
  char buffer[4096];  // sysfs hands out one page at most
  const ssize_t n = fd ? retried([&] { return ::read(fd.get(), buffer, sizeof buffer); }) : -1;
  if (n >= 0) return std::string(trim({buffer, static_cast<size_t>(n)}));
  if (is_absence(errno)) return {};
  throw SystemError("cannot read " + path, errno);
}

std::optional<std::string> read_optional_attribute(const std::string& path) {
  try {
    return read_attribute(path);
  } catch (const SystemError&) {
    return {};
  }
}

static void sync_file(int fd, const std::string& path) {
  if (retried([&] { return ::fsync(fd); }) != 0)
    throw SystemError("cannot write " + path + " to disk", errno);
}

static void sync_directory(const std::string& path) {
  const Fd fd(retried([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!fd) throw SystemError("cannot open directory " + path, errno);
  sync_file(fd.get(), path);
}

static std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

static void replace(const std::string& path, std::string_view text, unsigned mode, bool sync) {
  const std::string temporary = path + ".tmp" + std::to_string(::getpid());
  try {
    const Fd fd(retried([&] {
      return ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    }));
    if (!fd) throw write_error(temporary, errno);
    write_all(fd.get(), text, temporary);
    if (sync) sync_file(fd.get(), temporary);
    if (retried([&] { return ::rename(temporary.c_str(), path.c_str()); }) != 0)
      throw SystemError("cannot replace " + path, errno);
  } catch (const SystemError&) {
    ::unlink(temporary.c_str());
    throw;
  }
  if (sync) sync_directory(directory_of(path));
}

void write_file_atomically(const std::string& path, std::string_view text, unsigned mode) {
  replace(path, text, mode, false);
}

void write_file_durably(const std::string& path, std::string_view text) {
  replace(path, text, 0644, true);
}

void remove_file_durably(const std::string& path) {
  remove_file(path);
  sync_directory(directory_of(path));
}

void make_directory_durably(const std::string& path) {
  if (exists(path)) return;
  make_directories(path);
  // Every directory that may be new is an entry of the one above it.
  for (std::string part = path; part.size() > 1; part = directory_of(part))
    sync_directory(directory_of(part));
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> names;
  DIR* opened = ::opendir(path.c_str());
  while (!opened && errno == EINTR) opened = ::opendir(path.c_str());
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opened, ::closedir);
  if (!directory && is_absence(errno)) return names;
  if (!directory) throw SystemError("cannot read directory " + path, errno);
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(directory.get());
    if (!entry && errno == EINTR) continue;
    if (!entry && errno != 0 && !is_absence(errno))
      throw SystemError("cannot read directory " + path, errno);
    if (!entry) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string> read_link(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t n = retried([&] { return ::readlink(path.c_str(), target, sizeof target); });
  if (n < 0 && (is_absence(errno) || errno == EINVAL)) return {};  // EINVAL: no link
  if (n < 0) throw SystemError("cannot read link " + path, errno);
  if (n == static_cast<ssize_t>(sizeof target))
    throw SystemError("cannot read link " + path, ENAMETOOLONG);
  return std::string(target, static_cast<size_t>(n));
}

bool exists(const std::string& path) {
  struct stat info;
  if (retried([&] { return ::lstat(path.c_str(), &info); }) == 0) return true;
  if (is_absence(errno)) return false;
  throw SystemError("cannot find " + path, errno);
}

void make_directories(const std::string& path, unsigned mode) {
  for (size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (retried([&] { return ::mkdir(part.c_str(), mode); }) != 0 && errno != EEXIST)
      throw SystemError("cannot create directory " + part + " (is another file in its place?)",
                        errno);
  }
}

void remove_file(const std::string& path) {
  if (retried([&] { return ::unlink(path.c_str()); }) != 0 && !is_absence(errno))
    throw SystemError("cannot remove " + path, errno);
}

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace gpuward
