// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config_files.hpp"

namespace gpuward {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

using ConfigQuota = ConfigFiles;

TEST_F(ConfigQuota, Limits) {
  const LoadedConfig loaded = load(
      "[quota web-*]\nsmall = 4\ntotal = 65535\n"
      "[quota db [0-9] #1]\nbig = 0\n[quota *]\n"
      "[profile small]\ntype = t\n[profile big]\ntype = t\n");
  EXPECT_THAT(told(loaded), IsEmpty());
  ASSERT_THAT(loaded.config.quotas, SizeIs(3));
  EXPECT_EQ(loaded.config.quotas[0].domains.pattern, "web-*");
  EXPECT_THAT(loaded.config.quotas[0].per_profile, ElementsAre(Pair("small", 4)));
  EXPECT_EQ(loaded.config.quotas[0].total, 65535U);
  EXPECT_EQ(loaded.config.quotas[0].position.line, 1);
  EXPECT_EQ(loaded.config.quotas[1].domains.pattern, "db [0-9] #1");
  EXPECT_THAT(loaded.config.quotas[1].per_profile, ElementsAre(Pair("big", 0)));
  EXPECT_FALSE(loaded.config.quotas[1].total);
  EXPECT_EQ(loaded.config.quotas[2].domains.pattern, "*");  // no limit for all others
}

TEST_F(ConfigQuota, BadLimits) {
  for (const std::string bad : {"65536", "-1", "many", "1.5", "1,2"})
    EXPECT_THAT(problems("[quota *]\ntotal = " + bad),
                ElementsAre("gpuward.conf:2: bad value '" + bad +
                            "' for 'total' in [quota *]; expected a number from 0 to 65535"));
}

TEST_F(ConfigQuota, UnknownProfiles) {
  EXPECT_THAT(
      problems("[quota *]\nsmal = 1\nlarge = 1\ntotl = 1\n[profile small]\ntype = t\n"),
      ElementsAre(
          "gpuward.conf:2: unknown profile 'smal' in [quota *]; did you mean 'small'?",
          "gpuward.conf:3: unknown profile 'large' in [quota *]; possible: small, total, memory",
          "gpuward.conf:4: unknown profile 'totl' in [quota *]; did you mean 'total'?"));
  EXPECT_THAT(load_all().config.quotas[0].per_profile, IsEmpty());
}

TEST_F(ConfigQuota, ProfileOfAnyFileWillDo) {
  write(main_file(), "[quota *]\nsmall = 1\n");
  write(drop_in("a.conf"), "[profile small]\ntype = t\n");
  EXPECT_THAT(told(load_all()), IsEmpty());
}

TEST_F(ConfigQuota, LongProfileName) {
  const std::string name(128, 'n');
  const LoadedConfig loaded =
      load("[profile " + name + "]\ntype = t\n[quota *]\n" + name + "  = 3\n");
  EXPECT_THAT(told(loaded), IsEmpty());
  ASSERT_THAT(loaded.config.quotas, SizeIs(1));
  EXPECT_THAT(loaded.config.quotas[0].per_profile, ElementsAre(Pair(name, 3)));
}

TEST_F(ConfigQuota, PatternIsNeeded) {
  const std::string expected =
      "; expected a pattern for names of domains, such as web-*, or for owners, such as "
      "owner:team-*";
  EXPECT_THAT(problems("[quota]\ntotal = 1\n[quota owner: ]\n"),
              ElementsAre("gpuward.conf:1: bad name '' in [quota]" + expected,
                          "gpuward.conf:3: bad name 'owner:' in [quota owner:]" + expected));
}

TEST_F(ConfigQuota, ByOwner) {
  const LoadedConfig loaded = load("[quota owner:team-*]\ntotal = 4\n[quota [o]wner:x]\n");
  EXPECT_THAT(told(loaded), IsEmpty());
  ASSERT_THAT(loaded.config.quotas, SizeIs(2));
  EXPECT_EQ(loaded.config.quotas[0].domains.by, DomainPattern::By::owner);
  EXPECT_EQ(loaded.config.quotas[0].domains.pattern, "team-*");
  EXPECT_EQ(loaded.config.quotas[1].domains.by, DomainPattern::By::name);
  EXPECT_EQ(to_string(loaded.config.quotas[0].domains), "owner:team-*");
}

TEST_F(ConfigQuota, PatternsMatchNamesAndOwners) {
  const DomainPattern name = *parse_domain_pattern("web-*"),
                      owner = *parse_domain_pattern("owner:*");
  EXPECT_TRUE(matches(name, "web-1", "team"));
  EXPECT_FALSE(matches(name, "Web-1", "web-1"));
  EXPECT_TRUE(matches(owner, "web-1", "team"));
  EXPECT_FALSE(matches(owner, "web-1", "")) << "no label is no label that * matches";
  EXPECT_TRUE(matches(*parse_domain_pattern("[o]wner:x"), "owner:x", ""));
}

TEST_F(ConfigQuota, MemoryIsInMebibytes) {
  EXPECT_THAT(problems("[quota *]\nmemory = 64GiB\n"), IsEmpty());
  EXPECT_EQ(load_all().config.quotas.front().memory_mib, 65536u);
  EXPECT_THAT(problems("[quota *]\nmemory = 4G\n"),
              ElementsAre(testing::HasSubstr("expected a number and MiB or GiB")));
}

/// 0.1.0 read it as a limit of a profile of that name: that refuses no domain now.
TEST_F(ConfigQuota, MemoryWithoutUnitHasNoEffect) {
  EXPECT_THAT(problems("[quota *]\nmemory = 4\n"), IsEmpty());
  EXPECT_EQ(load_all().unsupported.size(), 1u);
  EXPECT_FALSE(load_all().config.quotas.front().memory_mib);
}

TEST_F(ConfigQuota, MemoryWithoutUnitLeavesTheEarlierLimit) {
  write(main_file(), "[quota *]\nmemory = 64GiB\n");
  write(drop_in("a.conf"), "[quota *]\nmemory = 32\n");
  EXPECT_EQ(load_all().config.quotas.front().memory_mib, 65536u);
  write(drop_in("a.conf"), "[quota *]\nmemory = 32GiB\n");
  EXPECT_EQ(load_all().config.quotas.front().memory_mib, 32768u);
}

TEST_F(ConfigQuota, NoMemoryIsALimit) {
  for (const std::string none : {"0MiB", "0 GiB"}) {
    EXPECT_THAT(problems("[quota *]\nmemory = " + none + "\n"), IsEmpty());
    EXPECT_EQ(load_all().config.quotas.front().memory_mib, 0u);
  }
}

}  // namespace gpuward
