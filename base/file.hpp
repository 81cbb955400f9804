// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gpuward {

/// A file descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release();
  void reset();

 private:
  int fd_;
};

/// The whole file; nothing when there is none. Throws SystemError for any other failure,
/// Error when it is larger than `limit` bytes.
std::optional<std::string> read_file(const std::string& path, size_t limit = 1 << 20);

/// Whether a failed call means that there is no such file: ENOENT, ENOTDIR, of a device that was
/// removed ENODEV, of a process that ended ESRCH. After any other failure nothing is known.
bool is_absence(int code);

/// One attribute of sysfs or procfs, trimmed; nothing when it is absent, as it may go between
/// listing and reading. Throws SystemError when it cannot be read.
std::optional<std::string> read_attribute(const std::string& path);

/// The same where the driver may refuse to be read (EINVAL, EIO, EOPNOTSUPP, EACCES …) and nothing
/// is decided by what it says: for display only. Never throws.
std::optional<std::string> read_optional_attribute(const std::string& path);

/// Replaces `path` in one step (temporary file beside it, rename); throws SystemError.
void write_file_atomically(const std::string& path, std::string_view text, unsigned mode = 0644);

/// The same, and it is on disk with its name when this returns: a power cut does not undo it.
void write_file_durably(const std::string& path, std::string_view text);

/// remove_file, and the removal is on disk when this returns.
void remove_file_durably(const std::string& path);

/// make_directories, and all of them are on disk when this returns.
void make_directory_durably(const std::string& path);

/// Names in a directory, sorted, without "." and ".."; none when there is no such directory. Throws
/// SystemError when it cannot be read.
std::vector<std::string> list_directory(const std::string& path);

/// Where a symbolic link points, as written; nothing when there is none at `path`. Throws
/// SystemError.
std::optional<std::string> read_link(const std::string& path);

/// Throws SystemError when that cannot be known.
bool exists(const std::string& path);

/// Makes `path` and what is missing above it; throws SystemError.
void make_directories(const std::string& path, unsigned mode = 0755);

/// Removes a file; absent is well. Throws SystemError.
void remove_file(const std::string& path);

/// The part behind the last '/'.
std::string_view base_name(std::string_view path);

}  // namespace gpuward
