// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace gpuward {

/// A tar archive in the making, in the format of GNU tar, which has no limit for names. Everything
/// belongs to root; a directory that is not added is made by whoever extracts what is below it.
class Tar {
 public:
  /// `time`: when all of it was last changed.
  explicit Tar(std::time_t time) : time_(time) {}
  void add_file(std::string_view path, std::string_view text);
  void add_link(std::string_view path, std::string_view target);
  void add_directory(std::string_view path);

  /// The archive with its end.
  std::string text() const;

 private:
  void add(std::string_view path, char type, std::string_view target, std::string_view text);
  void add_header(std::string_view path, char type, std::string_view target, size_t size);
  void add_data(std::string_view data);

  std::time_t time_;
  std::string archive_;
};

}  // namespace gpuward
