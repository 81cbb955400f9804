// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/root.hpp"

namespace gpuward {

/// A file or directory that others than root can change.
struct Untrusted {
  std::string path;  ///< without the prefix of the root
  std::string found;
  std::string command;  ///< that corrects it
};

/// "PATH: FOUND; run: COMMAND"
std::string to_string(const Untrusted& untrusted);

/// What others than root can change of `path` (with the prefix), what it links to, and the
/// directories above up to /: for a program that root runs and a file that root goes by. A
/// directory may be writable by all where it is sticky, as /tmp: there nobody can replace a file of
/// root (inode(7)). What does not exist is not in it. Below the prefix of a root its owner stands
/// for root.
std::vector<Untrusted> find_untrusted(const Root& root, const std::string& path);

}  // namespace gpuward
