// SPDX-License-Identifier: LGPL-2.1-or-later
#include <map>
#include <regex>
#include <set>
#include <utility>

#include "base/file.hpp"
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

/// Where a part of the program that does what the key says uses its value: its file, and what in
/// it.
struct Reader {
  const char* file;
  const char* use;
};

TEST_F(ConfigKeys, EachSupportedKeyHasAReader) {
  // A new key needs a line here. What parses, copies or shows a value is no reader.
  const std::map<std::string, Reader> readers{
      {"guard migration", {"guard/service.cpp", "config\\.guard\\.migration"}},
      {"guard pause", {"guard/service.cpp", "config\\.guard\\.pause"}},
      {"guard memory-hotplug", {"guard/service.cpp", "config\\.guard\\.memory_hotplug"}},
      {"guard gpu-hotplug", {"guard/service.cpp", "config\\.guard\\.gpu_hotplug"}},
      {"guard harden", {"protection/pause.cpp", "policy\\.harden"}},
      {"gpu mtty use", {"kinds/whole.cpp", "settings\\.use\\b"}},
      {"gpu mtty vfs", {"provision/vf_plan.cpp", "settings\\.vfs\\b"}},
      {"gpu mtty instances", {"provision/plan.cpp", "settings\\.instances\\b"}},
      {"gpu mtty max", {"kinds/vendor_vf.cpp", "settings_of\\([^;]*\\)\\.max\\b"}},
      {"gpu mtty expect", {"pci/identity.cpp", "fits\\(section\\.expect"}},
      {"gpu mtty adopt", {"kinds/vendor_vf.cpp", "settings_of\\([^;]*\\)\\.adopt"}},
      {"gpu mtty exec-quantum", {"pci/virtual_functions.cpp", "quota\\.exec_quantum_ms"}},
      {"gpu mtty preempt-timeout", {"pci/virtual_functions.cpp", "quota\\.preempt_timeout_us"}},
      {"gpu mtty vf-memory", {"pci/virtual_functions.cpp", "quota\\.memory_mib"}},
      {"gpu mtty reset-method", {"kinds/whole.cpp", "settings\\.reset_method"}},
      {"profile p type", {"allocation/place_mdev.cpp", "profile\\.types"}},
      {"profile p gpu", {"allocation/pool.cpp", "profile\\.gpus"}},
      {"profile p placement", {"allocation/choose_device.cpp", "profile\\.placement"}},
      {"profile p numa", {"allocation/choose_device.cpp", "profile\\.numa"}},
      {"profile p console", {"cli/attach_requests.cpp", "profile\\.console"}},
      {"profile p use", {"allocation/pool.cpp", "profile\\.use\\b"}},
      {"profile p scrub", {"lifecycle/pci_request.cpp", "profile\\.scrub"}},
      {"profile p one-time", {"lifecycle/pci_request.cpp", "profile\\.one_time"}},
      {"profile p driver", {"kinds/pool_device.cpp", "profile\\.keep_driver"}},
      {"profile p allow", {"allocation/quota.cpp", "profile\\.allowed"}},
      {"profile p set", {"kinds/attributes.cpp", "profile\\.attributes"}},
      {"profile p memory", {"allocation/request.cpp", "profile\\.memory_mib"}},
      {"profile p compute", {"allocation/request.cpp", "profile\\.compute_percent"}},
      {"profile p workload", {"allocation/request.cpp", "profile\\.workload"}},
      {"gpu mtty isolation",
       {"allocation/fraction_host.cpp", "settings_of\\([^;]*\\)\\.isolation"}},
      {"quota web memory", {"allocation/quota.cpp", "quota\\.memory_mib"}},
      {"quota web total", {"allocation/quota.cpp", "quota\\.total"}},
  };
  std::set<std::pair<std::string, std::string>> distinct;
  for (const auto& [key, reader] : readers)
    EXPECT_TRUE(distinct.emplace(reader.file, reader.use).second) << key << ": that of another key";
  for (const std::string section : {"guard", "gpu mtty", "profile p", "quota web"}) {
    const auto keys = keys_of(section);
    ASSERT_THAT(keys, Not(IsEmpty())) << section;
    for (const std::string& key : keys) {
      const std::string name = section + " " + key;
      ASSERT_TRUE(readers.contains(name)) << name << ": a key without a reader";
      const Reader& reader = readers.at(name);
      const auto code = read_file(in_source_tree(reader.file));
      EXPECT_TRUE(code && std::regex_search(*code, std::regex(reader.use)))
          << name << ": " << reader.file << " does not read it";
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
