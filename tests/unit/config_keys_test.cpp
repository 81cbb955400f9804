// SPDX-License-Identifier: LGPL-2.1-or-later
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "base/text.hpp"
#include "config_files.hpp"
#include "source_tree.hpp"

namespace gpuward {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class ConfigKeys : public ConfigFiles {
 protected:
  /// All keys of a section, as the message about an unknown one lists them.
  std::vector<std::string> keys_of(const std::string& section) const {
    const std::string list = problems("[" + section + "]\nqqqqqqqq = 1\n").back();
    const std::string mark = "possible: ";
    std::vector<std::string> keys;
    const std::string names = list.substr(list.find(mark) + mark.size());
    for (const std::string_view key : split(names, ',')) keys.emplace_back(trim(key));
    return keys;
  }
};

/// Text of all product code that may read a setting: what parses or only copies it does not count.
static std::string code_outside_config() {
  std::ostringstream text;
  const std::filesystem::path top = in_source_tree("");
  const std::set<std::string> skipped{"config", "tests", "bench", "docs"};
  for (auto at = std::filesystem::recursive_directory_iterator(top);
       at != std::filesystem::recursive_directory_iterator(); ++at) {
    const std::string name = at->path().filename();
    if (at->is_directory() && at.depth() == 0 &&
        (skipped.contains(name) || name.starts_with("build") || name.starts_with('.')))
      at.disable_recursion_pending();
    else if (at->path().extension() == ".cpp" && name != "gpu_settings.cpp")
      text << std::ifstream(at->path()).rdbuf();
  }
  return text.str();
}

TEST_F(ConfigKeys, EachSupportedKeyHasAReader) {
  // Where another part of the program uses the value. A new key needs a line here.
  const std::map<std::string, std::string> readers{
      {"guard migration", "guard\\.migration|policy\\.migration|GuardPolicy::migration"},
      {"guard pause", "policy\\.pause|guard\\.pause|GuardPolicy::pause"},
      {"guard memory-hotplug", "\\.memory_hotplug|GuardPolicy::memory_hotplug"},
      {"guard gpu-hotplug", "\\.gpu_hotplug|GuardPolicy::gpu_hotplug"},
      {"guard harden", "\\.harden"},
      {"gpu mtty use", "settings\\.use|settings_of\\([^;]*\\)\\.use"},
      {"gpu mtty vfs", "settings\\.vfs"},
      {"gpu mtty instances", "settings\\.instances|\\.instances"},
      {"gpu mtty max", "settings\\.max|settings_of\\([^;]*\\)\\.max"},
      {"gpu mtty expect", "\\.expect\\b"},
      {"gpu mtty adopt", "\\.adopt\\b"},
      {"gpu mtty exec-quantum", "exec_quantum_ms"},
      {"gpu mtty preempt-timeout", "preempt_timeout_us"},
      {"gpu mtty vf-memory", "quota\\.memory_mib"},
      {"gpu mtty reset-method", "settings\\.reset_method"},
      {"profile p type", "profile\\.types"},
      {"profile p gpu", "profile\\.gpus"},
      {"profile p placement", "profile\\.placement"},
      {"profile p numa", "profile\\.numa"},
      {"profile p console", "\\.console\\b"},
      {"profile p use", "profile\\.use"},
      {"profile p scrub", "profile\\.scrub"},
      {"profile p one-time", "profile\\.one_time"},
      {"profile p driver", "profile\\.keep_driver"},
      {"profile p allow", "profile\\.allowed"},
      {"profile p set", "profile\\.attributes"},
      {"profile p memory", "profile\\.memory_mib"},
      {"profile p compute", "profile\\.compute_percent"},
      {"profile p workload", "profile\\.workload"},
      {"gpu mtty isolation", "settings_of\\([^;]*\\)\\.isolation"},
      {"quota web memory", "quota\\.memory_mib"},
      {"quota web total", "quota\\.total"},
  };
  const std::string code = code_outside_config();
  ASSERT_THAT(code, HasSubstr("int main"));
  for (const std::string section : {"guard", "gpu mtty", "profile p", "quota web"}) {
    const auto keys = keys_of(section);
    ASSERT_THAT(keys, Not(IsEmpty())) << section;
    for (const std::string& key : keys) {
      const std::string name = section + " " + key;
      ASSERT_TRUE(readers.contains(name)) << name << ": a key without a reader";
      EXPECT_TRUE(std::regex_search(code, std::regex(readers.at(name))))
          << name << ": nothing outside config/ reads it";
    }
  }
}

TEST_F(ConfigKeys, NoKeyIsWithoutEffect) {
  const LoadedConfig loaded = load(
      "[gpu mtty]\nisolation = memory\n[profile p]\nmemory = 1GiB\ncompute = 25%\n"
      "workload = compute\n[quota web-*]\ntotal = 4\nmemory = 4GiB\n");
  EXPECT_THAT(loaded.problems, IsEmpty());
  EXPECT_THAT(loaded.unsupported, IsEmpty());
}

/// A domain that started yesterday still starts.
TEST_F(ConfigKeys, WhatHasNoEffectIsNamed) {
  const LoadedConfig loaded = load("[quota web-*]\ntotal = 4\nmemory = 4\n");
  EXPECT_THAT(loaded.problems, IsEmpty());
  ASSERT_THAT(loaded.unsupported, SizeIs(1));
  EXPECT_EQ(loaded.unsupported.front().message,
            "'memory' in [quota web-*] has no effect: '4' has no unit; write MiB or GiB, such as "
            "64GiB");
}

TEST_F(ConfigKeys, SupportedOnesAreNot) {
  EXPECT_THAT(load("[guard]\nharden = yes\n[gpu mtty]\nuse = mdev\n[profile p]\ntype = t\n[quota "
                   "*]\ntotal = 1\n")
                  .unsupported,
              IsEmpty());
}

}  // namespace gpuward
