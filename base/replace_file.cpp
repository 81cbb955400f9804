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
#include "base/retried.hpp"

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

template <typename Call>
static void require_done(const Call& call, const char* what) {
  if (retried(call) != 0) throw SystemError(what, errno);
}

struct Attributes {
  uid_t owner;
  gid_t group;
  mode_t mode;
};

/// The mode comes last: chown(2) clears bits of it, and until then no other process can read it.
static void fill(int fd, std::string_view text, const Attributes& attributes) {
  write_whole(fd, text);
  require_done([&] { return ::fchown(fd, attributes.owner, attributes.group); },
               "cannot set the owner of the new file");
  require_done([&] { return ::fchmod(fd, attributes.mode); },
               "cannot set the mode of the new file");
  require_done([&] { return ::fsync(fd); }, "cannot sync the new file");
}

/// A file and the directory that it is in.
struct Target {
  Fd directory;
  std::string name;
};

static Target open_directory_of(const std::string& path, const std::string& shown) {
  Target target;
  target.name = base_name(path);
  const std::string above = path.substr(0, path.size() - target.name.size());
  target.directory =
      Fd(retried([&] { return ::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!target.directory) throw SystemError("cannot open the directory of " + shown, errno);
  return target;
}

/// link(2), unlike rename(2), fails where there is a file.
static void put_in_place(int directory, const std::string& temporary, const std::string& name,
                         Present present) {
  if (present == Present::yes) {
    require_done([&] { return ::renameat(directory, temporary.c_str(), directory, name.c_str()); },
                 "cannot rename the new file");
    return;
  }
  require_done([&] { return ::linkat(directory, temporary.c_str(), directory, name.c_str(), 0); },
               "cannot link the new file");
  ::unlinkat(directory, temporary.c_str(), 0);
}

/// `verb`: "replace", for the message.
static void write_beside(const Target& target, const std::string& path, std::string_view text,
                         const Attributes& attributes, Present present, const std::string& verb) {
  const int directory = target.directory.get();
  const std::string temporary = temporary_name();
  const Fd fd(retried([&] {
    return ::openat(directory, temporary.c_str(),
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  }));
  if (!fd) throw SystemError("cannot create a file next to " + path, errno);
  try {
    fill(fd.get(), text, attributes);
    put_in_place(directory, temporary, target.name, present);
  } catch (const Error& error) {
    ::unlinkat(directory, temporary.c_str(), 0);
    throw Error(path, "cannot " + verb + " the file: " + std::string(error.what()));
  }
  if (retried([&] { return ::fsync(directory); }) != 0)
    throw Error(path,
                "the file is in place, but its directory cannot be synced: " + errno_text(errno) +
                    "; after a power failure it may be as before",
                "run: sync");
}

void replace_file(const std::string& path, std::string_view text) {
  const Target target = open_directory_of(resolved(path), path);
  struct stat before;
  if (::fstatat(target.directory.get(), target.name.c_str(), &before, AT_SYMLINK_NOFOLLOW) != 0)
    throw SystemError("cannot read " + path, errno);
  if (!S_ISREG(before.st_mode)) throw SystemError(path + " is not a regular file", EINVAL);
  write_beside(target, path, text, {before.st_uid, before.st_gid, before.st_mode & 07777},
               Present::yes, "replace");
}

void install_file(const std::string& path, std::string_view text, Present present) {
  write_beside(open_directory_of(path, path), path, text, {::geteuid(), ::getegid(), 0644}, present,
               "install");
}

}  // namespace gpuward
