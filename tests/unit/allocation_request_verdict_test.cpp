// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/request_verdict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "base/quote.hpp"

namespace gpuward {
namespace {

using testing::HasSubstr;

const Uuid web01_uuid = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid other_uuid = *parse_uuid("00000000-1d52-d8f3-2516-782e98ab3fa0");

Hostdev mdev(const std::string& alias, const Uuid& instance) {
  Hostdev hostdev;
  hostdev.alias = alias;
  hostdev.model = "vfio-pci";
  hostdev.instance = instance;
  return hostdev;
}

/// As `gpuward attach` makes it.
Domain web01() {
  Domain domain;
  domain.uuid = web01_uuid;
  domain.name = "web01";
  for (const char* alias : {"ua-gpuward-0", "ua-gpuward-1"}) {
    domain.hostdevs.push_back(mdev(alias, instance_uuid(web01_uuid, alias)));
    domain.requests.push_back({alias, "small"});
  }
  return domain;
}

Config with_profile(const std::string& name) {
  Profile profile;
  profile.name = name;
  profile.types = {"mbochs-small"};
  profile.position = {"/etc/gpuward/gpuward.conf", 7};
  Config config;
  config.profiles.push_back(profile);
  return config;
}

const Config config = with_profile("small");

TEST(ShellWordTest, plain_words_stay) {
  for (const std::string word : {"web01", "a.b-c_D", "0"}) EXPECT_EQ(shell_word(word), word);
}

TEST(ShellWordTest, all_others_are_quoted) {
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("two words"), "'two words'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("$(reboot)"), "'$(reboot)'");
  EXPECT_EQ(shell_word("-rf"), "'-rf'");
}

TEST(ShellWordTest, a_shell_reads_back_the_same) {
  for (const std::string word :
       {"it's", "''", "a\"b", "\\", "$HOME `id` *", "Gr\u00fc\u00dfe", "x'"}) {
    FILE* const shell = ::popen(("printf %s " + shell_word(word)).c_str(), "r");
    char text[100];
    const size_t size = std::fread(text, 1, sizeof text, shell);
    ::pclose(shell);
    EXPECT_EQ(std::string(text, size), word);
  }
}

TEST(RequestVerdictTest, what_attach_made_is_allowed) {
  EXPECT_TRUE(request_verdict(config, web01()))
      << to_string(request_verdict(config, web01()).reason);
}

TEST(RequestVerdictTest, hostdevs_of_others_beside_it_do_not_matter) {
  Domain domain = web01();
  domain.hostdevs.push_back(mdev("hostdev0", other_uuid));
  EXPECT_TRUE(request_verdict(config, domain));
}

TEST(RequestVerdictTest, a_hostdev_without_metadata_is_refused) {
  Domain domain = web01();
  domain.requests.pop_back();
  const Verdict verdict = request_verdict(config, domain);
  EXPECT_FALSE(verdict);
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("ua-gpuward-1"));
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("gpuward detach web01"));
}

TEST(RequestVerdictTest, metadata_without_a_hostdev_is_refused) {
  Domain domain = web01();
  domain.hostdevs.pop_back();
  const Verdict verdict = request_verdict(config, domain);
  EXPECT_FALSE(verdict);
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("ua-gpuward-1"));
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("run: gpuward attach web01"));
}

TEST(RequestVerdictTest, a_hostdev_that_is_no_mdev_is_refused) {
  Domain domain = web01();
  domain.hostdevs[0].type = Hostdev::Type::pci;
  const Verdict verdict = request_verdict(config, domain);
  EXPECT_FALSE(verdict);
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("ua-gpuward-0"));
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("gpuward detach web01"));
}

TEST(RequestVerdictTest, a_hostdev_without_an_instance_is_refused) {
  Domain domain = web01();
  domain.hostdevs[1].instance.reset();
  EXPECT_THAT(to_string(request_verdict(config, domain).reason), HasSubstr("ua-gpuward-1"));
}

TEST(RequestVerdictTest, the_instance_of_the_domain_it_was_cloned_from_is_refused) {
  Domain clone = web01();
  clone.uuid = other_uuid;
  clone.name = "web 02";
  const Verdict verdict = request_verdict(config, clone);
  EXPECT_FALSE(verdict);
  EXPECT_THAT(to_string(verdict.reason),
              HasSubstr(to_string(instance_uuid(web01_uuid, "ua-gpuward-0"))));
  EXPECT_THAT(to_string(verdict.reason),
              HasSubstr(to_string(instance_uuid(other_uuid, "ua-gpuward-0"))));
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("run: gpuward attach 'web 02'"));
}

TEST(RequestVerdictTest, instances_of_two_aliases_mixed_up_are_refused) {
  Domain domain = web01();
  std::swap(domain.hostdevs[0].instance, domain.hostdevs[1].instance);
  EXPECT_FALSE(request_verdict(config, domain));
}

TEST(RequestVerdictTest, an_unknown_profile_is_refused) {
  const Verdict verdict = request_verdict(with_profile("large"), web01());
  EXPECT_FALSE(verdict);
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("GPU 0"));
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("'small'"));
  EXPECT_THAT(to_string(verdict.reason),
              HasSubstr("add [profile small] to /etc/gpuward/gpuward.conf"));
}

TEST(RequestVerdictTest,
     of_a_pci_device_it_is_the_profile_that_is_missing_and_not_a_mediated_device) {
  Domain domain = web01();
  domain.hostdevs[0].type = Hostdev::Type::pci;
  domain.hostdevs[0].instance.reset();
  EXPECT_THAT(to_string(request_verdict(Config{}, domain).reason),
              HasSubstr("add [profile small]"));
}

TEST(RequestVerdictTest, a_profile_by_memory_that_was_not_settled_is_refused) {
  Config by_memory = config;
  by_memory.profiles[0].types.clear();
  by_memory.profiles[0].memory_mib = 1024;
  const Verdict verdict = request_verdict(by_memory, web01());
  EXPECT_FALSE(verdict);
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("run: gpuward reassign web01"));
}

TEST(ArrivalVerdictTest, one_with_a_gpu_is_blocked_unless_the_policy_says_otherwise) {
  const Verdict verdict = check_incoming(config, "migrate");
  EXPECT_FALSE(verdict);
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("live migration"));
  EXPECT_THAT(to_string(verdict.reason), HasSubstr("migration = allow"));
  EXPECT_THAT(to_string(check_incoming(config, "restore").reason), HasSubstr("restoring"));
  for (const Policy policy : {Policy::warn, Policy::allow}) {
    Config open = config;
    open.guard.migration = policy;
    EXPECT_TRUE(check_incoming(open, "migrate"));
  }
}

TEST(RequestVerdictTest, a_profile_is_for_domains_that_it_allows) {
  Config limited = config;
  limited.profiles[0].allowed = {*parse_domain_pattern("db-*")};
  const Verdict verdict = request_verdict(limited, web01());
  EXPECT_FALSE(verdict);
  EXPECT_EQ(without_remedy(verdict.reason),
            "GPU 0: profile 'small': allow = db-* (/etc/gpuward/gpuward.conf:7) does not match "
            "domain 'web01'");
  limited.profiles[0].allowed.push_back(*parse_domain_pattern("owner:team"));
  Domain owned = web01();
  owned.owner = "team";
  EXPECT_TRUE(request_verdict(limited, owned));
}

}  // namespace
}  // namespace gpuward
