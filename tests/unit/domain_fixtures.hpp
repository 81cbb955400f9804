// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"
#include "source_tree.hpp"

/// Domains as libvirt has them: data/domains/NAME.xml is what `virsh dumpxml --inactive
/// --security-info` of libvirt 9.0.0 said of a domain that had been defined twice (with the first
/// define libvirt adds controllers, with the second it sorts them).
/// data/domains/attached/NAME.N.xml is the same of NAME after N GPUs had been attached to it.
inline std::string domains_directory() {
  return in_source_tree("tests/unit/data/domains");
}

inline std::string fixture(const std::string& name) {
  const auto text = gpuward::read_file(domains_directory() + '/' + name + ".xml");
  if (!text) throw std::runtime_error("no fixture " + name);
  return *text;
}

/// The names of all fixtures in a directory below data/domains, without ".xml".
inline std::vector<std::string> fixtures(const std::string& directory = ".") {
  std::vector<std::string> names;
  for (const std::string& file : gpuward::list_directory(domains_directory() + '/' + directory))
    if (file.ends_with(".xml")) names.push_back(file.substr(0, file.size() - 4));
  return names;
}

/// For INSTANTIATE_TEST_SUITE_P, which wants letters and digits only.
inline std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

/// `text` with every `from` made `to`; a test that replaces nothing would prove nothing.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << "nothing to replace: " << from;
  for (; at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

/// What the Error of `body` says; "" when there is none.
template <typename Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const gpuward::Error& error) {
    return error.what();
  }
  return "";
}
