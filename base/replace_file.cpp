// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/replace_file.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/error.hpp"
#include "base/file.hpp"

namespace gpuward {

static std::string resolved(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  if (!real) throw SystemError("cannot find " + path, errno);
  return real.get();
}

static std::string temporary_name() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number)
    throw SystemError("cannot get random bytes", errno);
  char name[40];
  std::snprintf(name, sizeof name, ".gpuward-%016llx", static_cast<unsigned long long>(number));
  return name;
}

static void write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw SystemError("cannot write the new file", errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
}

static void require_done(int result, const char* what) {
  if (result != 0) throw SystemError(what, errno);
}

/// The mode comes last: chown(2) takes bits of it away, and until then nobody else can read it.
static void fill(int fd, std::string_view text, const struct stat& before) {
  write_whole(fd, text);
  require_done(::fchown(fd, before.st_uid, before.st_gid), "cannot set the owner of the new file");
  require_done(::fchmod(fd, before.st_mode & 07777), "cannot set the mode of the new file");
  require_done(::fsync(fd), "cannot sync the new file");
}

void replace_file(const std::string& path, std::string_view text) {
  const std::string real = resolved(path);
  const std::string name(base_name(real));
  const Fd directory(::open(real.substr(0, real.size() - name.size()).c_str(),
                            O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) throw SystemError("cannot open the directory of " + path, errno);
  struct stat before;
  if (::fstatat(directory.get(), name.c_str(), &before, AT_SYMLINK_NOFOLLOW) != 0)
    throw SystemError("cannot read " + path, errno);
  if (!S_ISREG(before.st_mode)) throw SystemError(path + " is not a regular file", EINVAL);

  const std::string temporary = temporary_name();
  const Fd fd(::openat(directory.get(), temporary.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) throw SystemError("cannot create a file next to " + path, errno);
  try {
    fill(fd.get(), text, before);
    require_done(::renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()),
                 "cannot rename the new file");
    require_done(::fsync(directory.get()), "cannot sync the directory");
  } catch (const Error& error) {
    ::unlinkat(directory.get(), temporary.c_str(), 0);
    throw Error(path, "cannot replace the file: " + std::string(error.what()));
  }
}

}  // namespace gpuward
