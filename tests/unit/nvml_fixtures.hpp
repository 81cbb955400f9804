// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.hpp"
#include "base/root.hpp"
#include "fake_host.hpp"

namespace gpuward {

/// gpuward-nvml and the stand-in for NVIDIA's library (tests/nvml) below the root of a test.
class NvmlDouble {
 public:
  explicit NvmlDouble(const Root& root) : root_(root) {
    namespace fs = std::filesystem;
    ::setenv("GPUWARD_RUN_PROGRAM_OF_ROOT", "yes", 1);
    fs::create_directories(root.at("/usr/sbin"));
    fs::create_directories(root.at("/usr/lib"));
    const auto all = fs::copy_options::overwrite_existing;
    fs::copy_file(GPUWARD_NVML, root.at("/usr/sbin/gpuward-nvml"), all);
    fs::copy_file(GPUWARD_NVML_DOUBLE, library(), all);
    // gpuward-nvml runs as nobody there (pci/nvml.cpp).
    ::chmod(root.prefix.c_str(), 0755);
    set("mig on\n");
  }
  void set(const std::string& state) const {
    write_file_atomically(file(), state);
    ::chmod(file().c_str(), 0666);
  }
  void add(const std::string& line) const { set(state() + line + '\n'); }
  void without(const std::string& line) const {
    std::string text = state();
    const auto at = text.find(line + '\n');
    if (at != text.npos) text.erase(at, line.size() + 1);
    set(text);
  }
  std::string state() const { return read_file(file()).value_or(""); }
  /// Its lines of GPU instances: "instance 1 19 6 1 1\n".
  std::string instances() const {
    std::string found, text = state();
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      if (text.compare(at, 9, "instance ") == 0) found += text.substr(at, end - at + 1);
      at = end + 1;
    }
    return found;
  }
  /// As of a driver before NVLink.
  void replace_library_by_one_without_nvlink() const {
    std::filesystem::copy_file(GPUWARD_NVML_DOUBLE_WITHOUT_NVLINK, library(),
                               std::filesystem::copy_options::overwrite_existing);
  }
  void remove_library() const { std::filesystem::remove(library()); }
  /// Moves it and returns the command that runs it where it is then, for NvmlWatch.
  std::string moved_program() const {
    const std::string moved = root_.at("/usr/sbin/moved-nvml");
    std::filesystem::rename(root_.at("/usr/sbin/gpuward-nvml"), moved);
    return "exec " + moved + " \"$@\"";
  }
  void remove_program() const { std::filesystem::remove(root_.at("/usr/sbin/gpuward-nvml")); }

 private:
  std::string library() const { return root_.at("/usr/lib/libnvidia-ml.so.1"); }
  std::string file() const { return root_.at("/usr/lib/nvml-state"); }

  Root root_;
};

/// In place of gpuward-nvml: notes each question, and answers as `then` does.
class NvmlWatch {
 public:
  explicit NvmlWatch(const Root& root, const std::string& then = "exit 1")
      : mark_(root.at("/usr/lib/asked")) {
    write_file_atomically(mark_, "");
    ::chmod(mark_.c_str(), 0666);
    write_file_atomically(root.at("/usr/sbin/gpuward-nvml"),
                          "#!/bin/sh\necho \"$3\" >> " + mark_ + '\n' + then + '\n', 0755);
  }
  std::string asked() const { return read_file(mark_).value_or("?"); }

 private:
  std::string mark_;
};

}  // namespace gpuward
