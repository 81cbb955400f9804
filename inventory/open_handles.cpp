// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/open_handles.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <thread>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/retried.hpp"
#include "base/text.hpp"

namespace gpuward {

namespace fs = std::filesystem;

std::string to_string(const Holder& holder) {
  return "process " + std::to_string(holder.pid) + " (" + holder.command + ")";
}

/// Whether the descriptor only names the node (O_PATH) and keeps no device: udev has one for a
/// moment while it sets the owner of a new node. The flags are octal (proc_pid_fdinfo(5)).
static bool is_path_only(const std::string& process, const std::string& fd) {
  const auto info = read_attribute(process + "/fdinfo/" + fd);
  if (!info) return false;
  for (const std::string_view line : split(*info, '\n')) {
    if (!line.starts_with("flags:")) continue;
    const std::string_view digits = trim(line.substr(line.find(':') + 1));
    unsigned flags = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), flags, 8);
    return flags & O_PATH;
  }
  return false;
}

/// A process or a descriptor that ended meanwhile is absent; any other failure is not.
static bool is_absent(int code) {
  return code == ENOENT || code == ENOTDIR || code == ESRCH;
}

/// "socket:[1]", "anon_inode:[eventfd]": an object of the kernel without a file. Only a shortcut.
static bool has_file(std::string_view target) {
  return !target.starts_with("socket:[") && !target.starts_with("pipe:[") &&
         !target.starts_with("anon_inode:");
}

struct FdLook {
  std::optional<dev_t> number;  ///< of a character device
  int error = 0;                ///< why it is not known
};

/// Of a failed call: 0 when what was checked is not there.
static int unknown_by(int code) {
  return is_absent(code) ? 0 : code;
}

/// Returns errno, 0 for success. Without AT_STATX_DONT_SYNC a file of a network filesystem whose
/// server is gone would block.
static int ask(const std::string& file, unsigned mask, struct statx& info) {
  const int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  const int failed = retried([&] { return ::statx(AT_FDCWD, file.c_str(), flags, mask, &info); });
  return failed == 0 ? 0 : errno;
}

/// Whether the file that statx failed for is on a filesystem of which nobody has a device open.
/// What any user may do to files of their own must not keep domains from starting:
/// - FUSE without allow_other answers no other user, root neither (EACCES), but who asks for no
///   attribute (fs/fuse/dir.c, fuse_getattr); a security module refuses both.
/// - FUSE has an inode whose type its program has changed (EIO, the same function); so has an
///   overlay of one.
/// - A file was removed on its NFS server, or below an overlay (ESTALE, fs/namei.c, complete_walk).
/// A device cannot be opened through the mounts of users: fusermount3 adds nodev, and a mount in a
/// user namespace has SB_I_NODEV (fs/namei.c, may_open_dev). devtmpfs, tmpfs and the filesystems of
/// disks answer from the inode in memory. Only root can have a node opened elsewhere.
static bool cannot_be_device(const std::string& file, int code) {
  struct statx none;
  return code == EIO || code == ESTALE || (code == EACCES && ask(file, 0, none) == 0);
}

/// Below a prefix the link itself leads out of it. The text of a link that is longer than PATH_MAX
/// cannot be read (ENAMETOOLONG), but followed.
static FdLook read_fd(const Root& root, const std::string& path) {
  char target[4096];
  const ssize_t size = retried([&] { return ::readlink(path.c_str(), target, sizeof target); });
  if (size < 0 && errno != ENAMETOOLONG) return {{}, unknown_by(errno)};
  const std::string_view text(target, size < 0 ? 0 : static_cast<size_t>(size));
  if (!has_file(text)) return {};
  const std::string file = root.prefix.empty() ? path : root.at(text);
  struct statx info;
  if (const int code = ask(file, STATX_TYPE, info); code != 0)
    return {{}, root.prefix.empty() && !cannot_be_device(file, code) ? unknown_by(code) : 0};
  if (!S_ISCHR(info.stx_mode)) return {};
  return {makedev(info.stx_rdev_major, info.stx_rdev_minor)};
}

void OpenHandles::add(const Root& root, const Holder& process) {
  const std::string path = root.proc(std::to_string(process.pid));
  std::error_code error;
  std::string reason;
  for (fs::directory_iterator entry(path + "/fd", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string fd = entry->path().filename();
    const FdLook look = read_fd(root, path + "/fd/" + fd);
    if (look.error != 0) reason = path + "/fd/" + fd + ": " + errno_text(look.error);
    if (look.number && !by_number_.contains(*look.number) && !is_path_only(path, fd))
      by_number_.emplace(*look.number, process);
  }
  if (error && !is_absent(error.value())) reason = path + "/fd: " + errno_text(error.value());
  if (!reason.empty()) unknown_.push_back({process, reason});
}

OpenHandles::OpenHandles(const Root& root) {
  for (const std::string& name : list_directory(root.proc("")))
    if (const auto pid = to_number<pid_t>(name))
      add(root, {*pid, read_optional_attribute(root.proc(name) + "/comm").value_or("?")});
}

std::optional<Holder> OpenHandles::of(const std::vector<dev_t>& numbers) const {
  for (const dev_t number : numbers)
    if (const auto found = by_number_.find(number); found != by_number_.end()) return found->second;
  return {};
}

std::optional<Holder> wait_until_closed(std::chrono::milliseconds deadline,
                                        const std::function<std::optional<Holder>()>& find) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  for (;;) {
    auto holder = find();
    if (!holder || std::chrono::steady_clock::now() >= end) return holder;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace gpuward
