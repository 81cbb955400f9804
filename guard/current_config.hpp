// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/root.hpp"
#include "config/config.hpp"

namespace gpuward {

/// The configuration as it is now: read again when one of its files has changed, by inode, size and
/// time, or when what others than root can change has, directories above the files included. One
/// with mistakes is said in the journal, once, and the last good one stays in force; when there
/// never was a good one, the defaults do, which block. Threads may ask at the same time.
class CurrentConfig {
 public:
  explicit CurrentConfig(const Root& root);
  std::shared_ptr<const Config> get();
  /// Null where the files have mistakes now: no ground to change a definition on.
  std::shared_ptr<const Config> get_valid();

 private:
  void load();

  const Root& root_;
  std::mutex mutex_;
  std::string stamp_;
  std::shared_ptr<const Config> config_;
  bool has_mistakes_ = false;
};

}  // namespace gpuward
