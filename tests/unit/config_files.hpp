// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "config/config_parser.hpp"

namespace gpuward {

/// A directory with configuration files, gone with the test.
class ConfigFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "gpuward-config-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    std::filesystem::create_directories(directory_ + "/etc/gpuward/conf.d");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string main_file() const { return directory_ + "/etc/gpuward/gpuward.conf"; }
  std::string drop_in(const std::string& name) const {
    return directory_ + "/etc/gpuward/conf.d/" + name;
  }
  static void write(const std::string& path, std::string_view text) {
    std::ofstream file(path, std::ios::binary);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    ASSERT_TRUE(file.flush()) << path;
  }

  LoadedConfig load_all() const { return load_config(config_files(Root{directory_})); }
  LoadedConfig load(std::string_view text) const {
    write(main_file(), text);
    return load_all();
  }

  /// Problems as people see them, but for the directory: "gpuward.conf:3: ...".
  std::vector<std::string> told(const LoadedConfig& loaded) const {
    std::vector<std::string> lines;
    for (const ConfigProblem& problem : loaded.problems) {
      std::string line = to_string(problem);
      const std::string prefix = directory_ + "/etc/gpuward/";
      for (size_t at; (at = line.find(prefix)) != std::string::npos;) line.erase(at, prefix.size());
      lines.push_back(line);
    }
    return lines;
  }
  std::vector<std::string> problems(std::string_view text) const { return told(load(text)); }

  std::string directory_;
};

}  // namespace gpuward
