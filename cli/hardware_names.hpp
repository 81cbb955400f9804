// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

struct udev_hwdb;

namespace gpuward {

/// What people call a device: "NVIDIA Corporation", "GA102GL [A40]".
struct HardwareName {
  std::string vendor;
  std::string model;

  std::string full() const;   ///< both
  std::string brief() const;  ///< what is in brackets, "A40", else the model; not too long
};

/// udev's hardware database: opened once, at the first look; each id looked up once.
class HardwareNames {
 public:
  /// Empty words where the database does not know them, or there is none.
  const HardwareName& of(uint16_t vendor, uint16_t device);

 private:
  std::unique_ptr<udev_hwdb, udev_hwdb* (*)(udev_hwdb*)> database_{nullptr, nullptr};
  bool is_open_ = false;
  std::map<std::pair<uint16_t, uint16_t>, HardwareName> known_;
};

}  // namespace gpuward
