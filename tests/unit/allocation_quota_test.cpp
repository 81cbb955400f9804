// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/quota.hpp"

#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

Uuid uuid_of(unsigned number) {
  Uuid uuid;
  uuid.bytes[0] = static_cast<uint8_t>(number >> 8);
  uuid.bytes[15] = static_cast<uint8_t>(number);
  return uuid;
}

/// A claim of these GPUs, all mdevs; "-" is one written by hand.
Claim claim_of(unsigned number, const std::string& name, const std::string& owner,
               const GpuCounts& gpus) {
  Claim claim{uuid_of(number), name, {}};
  claim.owner = owner;
  unsigned alias = 0;
  for (const auto& [profile, count] : gpus)
    for (unsigned i = 0; i < count; ++i) {
      ClaimedDevice device{.alias = profile == "-" ? "-" : "ua-gpuward-" + std::to_string(alias),
                           .profile = profile,
                           .instance = name_uuid(claim.domain, std::to_string(alias)),
                           .parent = "mtty",
                           .type = "mtty-1"};
      ++alias;
      claim.devices.push_back(device);
    }
  return claim;
}

ClaimedDevice pci_device(const std::string& alias, const std::string& profile, Use use,
                         const std::string& address) {
  ClaimedDevice device{
      .alias = alias, .profile = profile, .instance = {}, .parent = address, .type = "-"};
  device.use = use;
  device.address = at(address);
  return device;
}

Quota quota_of(const std::string& pattern, std::map<std::string, unsigned> per_profile,
               std::optional<unsigned> total, int line = 1) {
  return {
      *parse_domain_pattern(pattern), std::move(per_profile), total, {}, {"gpuward.conf", line}};
}

Config with(std::vector<Quota> quotas) {
  Config config;
  config.quotas = std::move(quotas);
  return config;
}

std::string refused(const Config& config, const std::vector<Claim>& claims, const Claim& wanted) {
  const auto refusal =
      quota_refusal(config, {wanted.domain, wanted.name, wanted.owner, count_gpus(wanted)}, claims);
  return refusal ? to_string(refusal->reason) : "";
}

// ---- what is counted

TEST(CountGpus, by_profile_and_by_hand) {
  const Claim claim = claim_of(1, "web01", "", {{"small", 2}, {"big", 1}, {"-", 3}});
  EXPECT_THAT(count_gpus(claim), ElementsAre(Pair("-", 3), Pair("big", 1), Pair("small", 2)));
  EXPECT_THAT(count_gpus({uuid_of(1), "web01", {}}), IsEmpty());
}

TEST(CountGpus, a_card_is_one_with_its_companions) {
  Claim claim{uuid_of(1), "web01", {}};
  claim.devices = {pci_device("ua-gpuward-0", "card", Use::whole, "0000:41:00.0"),
                   pci_device("ua-gpuward-0-1", "card", Use::whole, "0000:41:00.1"),
                   pci_device("-", "card", Use::whole, "0000:41:00.2"),
                   pci_device("ua-audio", "card", Use::whole, "0000:41:00.3"),
                   // a function that stays with the host, which its author gave the domain too
                   pci_device("-", "-", Use::whole, "0000:41:00.4")};
  EXPECT_THAT(count_gpus(claim), ElementsAre(Pair("card", 1)));
}

TEST(CountGpus, a_card_by_hand_is_one_and_each_vf_is_one) {
  Claim claim{uuid_of(1), "web01", {}};
  claim.devices = {pci_device("-", "-", Use::whole, "0000:41:00.0"),
                   pci_device("-", "-", Use::whole, "0000:41:00.1"),
                   pci_device("ua-x", "-", Use::whole, "0000:42:00.0"),
                   pci_device("-", "-", Use::vf, "0000:43:00.1"),
                   pci_device("-", "-", Use::vf, "0000:43:00.2")};
  EXPECT_THAT(count_gpus(claim), ElementsAre(Pair("-", 4)));
}

TEST(CountGpus, what_is_in_quarantine_is_used_by_no_domain) {
  Claim claim = claim_of(1, "web01", "", {{"small", 2}});
  claim.devices[0].state = ClaimedDevice::State::quarantined;
  EXPECT_THAT(count_gpus(claim), ElementsAre(Pair("small", 1)));
}

// ---- memory

/// A domain with devices of so much memory; 0: not known.
Claim claim_with(unsigned number, const std::vector<unsigned>& memory) {
  Claim claim = claim_of(number, "web0" + std::to_string(number), "",
                         {{"small", static_cast<unsigned>(memory.size())}});
  for (size_t at = 0; at < memory.size(); ++at)
    if (memory[at]) claim.devices[at].memory_mib = memory[at];
  return claim;
}

Config memory_quota(unsigned mib) {
  Config config = with({quota_of("web*", {}, {}, 3)});
  config.quotas[0].memory_mib = mib;
  return config;
}

std::optional<QuotaRefusal> memory_refusal(unsigned limit, const std::vector<Claim>& claims,
                                           const Claim& wanted) {
  return quota_refusal(
      memory_quota(limit),
      {wanted.domain, wanted.name, wanted.owner, count_gpus(wanted), count_memory(wanted)}, claims);
}

TEST(MemoryQuota, is_counted_in_mebibytes_of_all_claims) {
  const std::vector<Claim> claims{claim_with(1, {4096, 2048}), claim_with(2, {1024})};
  EXPECT_FALSE(memory_refusal(8192, claims, claim_with(3, {1024})));
  EXPECT_EQ(to_string(memory_refusal(8192, claims, claim_with(3, {1024, 128}))->reason),
            "[quota web*] (gpuward.conf:3): memory = 8192MiB would be exceeded: domains 'web01', "
            "'web02' use 7168, domain 'web03' requests 1152MiB; shut one of them down or raise the "
            "limit; for what is used run: gpuward quota web03");
  EXPECT_FALSE(memory_refusal(8192, claims, claim_with(1, {4096, 2048, 1024})))
      << "its own earlier claim does not count";
  EXPECT_FALSE(memory_refusal(1024, claims, claim_with(3, {2048}))->passes);
}

TEST(MemoryQuota, what_is_not_known_is_refused) {
  const auto own = memory_refusal(8192, {}, claim_with(3, {0}));
  ASSERT_TRUE(own);
  EXPECT_FALSE(own->passes);
  EXPECT_THAT(own->reason.problem, testing::HasSubstr("domain 'web03': "));
  const auto others = memory_refusal(8192, {claim_with(1, {1024, 0})}, claim_with(3, {128}));
  ASSERT_TRUE(others);
  EXPECT_TRUE(others->passes);
  EXPECT_THAT(others->reason.problem, testing::HasSubstr("domain 'web01': "));
  const auto too_much = memory_refusal(8192, {claim_with(1, {1024, 0})}, claim_with(3, {8320}));
  ASSERT_TRUE(too_much);
  EXPECT_FALSE(too_much->passes) << "whatever the other has";
  EXPECT_THAT(too_much->reason.problem, testing::HasSubstr("would be exceeded"));
}

TEST(MemoryQuota, a_card_counts_once_and_quarantine_does_not) {
  Claim claim{uuid_of(1), "web01", {}};
  claim.devices = {pci_device("ua-gpuward-0", "card", Use::whole, "0000:41:00.0"),
                   pci_device("ua-gpuward-0-1", "card", Use::whole, "0000:41:00.1"),
                   pci_device("ua-gpuward-1", "card", Use::whole, "0000:42:00.0"),
                   // its audio function, which its author gave the domain too
                   pci_device("-", "-", Use::whole, "0000:41:00.4")};
  claim.devices[0].memory_mib = claim.devices[2].memory_mib = 16384;
  claim.devices[2].state = ClaimedDevice::State::quarantined;
  EXPECT_EQ(count_memory(claim).mib, 16384u);
  EXPECT_EQ(count_memory(claim).unknown, "");
}

TEST(MemoryQuota, of_a_card_by_hand_the_function_with_memory_counts) {
  Claim claim{uuid_of(1), "web01", {}};
  claim.devices = {pci_device("-", "-", Use::whole, "0000:41:00.1"),
                   pci_device("-", "-", Use::whole, "0000:41:00.0")};
  claim.devices[1].memory_mib = 16384;
  EXPECT_EQ(count_memory(claim).mib, 16384u);
  EXPECT_EQ(count_memory(claim).unknown, "");
  claim.devices[1].memory_mib.reset();
  EXPECT_EQ(count_memory(claim).unknown, "0000:41:00.1") << "none is known";
}

TEST(MemoryQuota, a_limit_of_none_refuses_all_that_has_memory) {
  EXPECT_FALSE(memory_refusal(0, {}, claim_with(3, {128}))->passes);
  EXPECT_FALSE(memory_refusal(0, {}, claim_with(3, {})));
}

TEST(MemoryQuota, is_shown_as_a_limit_of_its_section) {
  const Config config = memory_quota(8192);
  EXPECT_TRUE(limits_memory(config));
  auto uses = quota_use(config, {claim_with(1, {4096}), claim_with(2, {0})});
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].limit, "memory");
  EXPECT_EQ(uses[0].used, 4096u);
  EXPECT_EQ(uses[0].max, 8192u);
  EXPECT_THAT(uses[0].unknown, testing::HasSubstr("web02"));
}

// ---- which section counts

TEST(QuotasOf, the_first_by_name_and_the_first_by_owner) {
  const Config config = with({quota_of("web-*", {}, 1), quota_of("owner:a*", {}, 2),
                              quota_of("*", {}, 3), quota_of("owner:*", {}, 4)});
  const auto patterns = [&](const std::string& name, const std::string& owner) {
    std::vector<std::string> found;
    for (const Quota* const quota : quotas_of(config, name, owner))
      found.push_back(to_string(quota->domains));
    return found;
  };
  EXPECT_THAT(patterns("web-1", "anna"), ElementsAre("web-*", "owner:a*"));
  EXPECT_THAT(patterns("db", "bert"), ElementsAre("*", "owner:*"));
  EXPECT_THAT(patterns("db", ""), ElementsAre("*")) << "no label, no section by label";
}

TEST(QuotaUseTest, each_limit_with_the_domains_that_use_it) {
  const Config config = with({quota_of("web-*", {{"small", 4}}, 5), quota_of("*", {}, {})});
  const auto uses = quota_use(
      config, {claim_of(1, "web-1", "", {{"small", 2}, {"big", 1}}),
               claim_of(2, "web-2", "", {{"-", 1}}), claim_of(3, "db", "", {{"small", 1}})});
  ASSERT_EQ(uses.size(), 3U);
  EXPECT_EQ(uses[0].limit, "small");
  EXPECT_EQ(uses[0].used, 2U);
  EXPECT_EQ(uses[0].max, 4U);
  EXPECT_THAT(uses[0].domains, ElementsAre("web-1"));
  EXPECT_EQ(uses[1].limit, "total");
  EXPECT_EQ(uses[1].used, 4U) << "GPUs written by hand count for the total";
  EXPECT_THAT(uses[1].domains, ElementsAre("web-1", "web-2"));
  EXPECT_EQ(uses[2].limit, "");
  EXPECT_THAT(uses[2].domains, ElementsAre("db"));
}

// ---- what is refused

TEST(QuotaRefusalTest, names_the_limit_who_uses_it_and_what_to_do) {
  const Config config = with({quota_of("web-*", {{"small", 3}}, {}, 12)});
  const std::vector<Claim> claims{claim_of(1, "web-1", "", {{"small", 2}}),
                                  claim_of(2, "db", "", {{"small", 1}})};
  EXPECT_EQ(refused(config, claims, claim_of(3, "web-3", "", {{"small", 1}})), "");
  EXPECT_EQ(refused(config, claims, claim_of(3, "web-3", "", {{"small", 2}})),
            "[quota web-*] (gpuward.conf:12): small = 3 would be exceeded: domain 'web-1' uses 2, "
            "domain 'web-3' requests 2; shut one of them down or raise the limit; for what is used "
            "run: gpuward quota web-3");
}

TEST(QuotaRefusalTest, a_limit_that_never_passes_counts_more_than_one_that_may) {
  const Config config = with({quota_of("web-*", {{"small", 4}}, 1, 12)});
  const std::vector<Claim> claims{claim_of(2, "web-2", "", {{"small", 3}})};
  EXPECT_EQ(refused(config, claims, claim_of(1, "web-1", "", {{"small", 2}})),
            "[quota web-*] (gpuward.conf:12): total = 1 would be exceeded: domain 'web-1' requests "
            "2; raise the limit, or request fewer GPUs");
}

TEST(QuotaRefusalTest, more_than_the_limit_alone_never_passes) {
  const Config config = with({quota_of("web-*", {{"small", 0}}, {}, 12)});
  const Claim web = claim_of(1, "web-1", "", {{"small", 1}});
  const auto refusal = quota_refusal(config, {web.domain, web.name, "", count_gpus(web)}, {});
  ASSERT_TRUE(refusal);
  EXPECT_FALSE(refusal->passes);
  EXPECT_EQ(to_string(refusal->reason),
            "[quota web-*] (gpuward.conf:12): small = 0 would be exceeded: domain 'web-1' requests "
            "1; raise the limit, or request fewer GPUs");
}

TEST(QuotaRefusalTest, an_earlier_claim_of_its_own_does_not_count) {
  const Config config = with({quota_of("*", {}, 2)});
  const Claim web = claim_of(1, "web", "", {{"small", 2}});
  EXPECT_EQ(refused(config, {web}, web), "");
}

TEST(QuotaRefusalTest, a_limit_that_is_exceeded_already_refuses_only_who_requests_of_it) {
  const Config config = with({quota_of("*", {{"small", 1}}, {})});
  const std::vector<Claim> claims{claim_of(1, "a", "", {{"small", 3}})};
  EXPECT_EQ(refused(config, claims, claim_of(2, "b", "", {{"big", 1}})), "");
  EXPECT_THAT(refused(config, claims, claim_of(2, "b", "", {{"small", 1}})), HasSubstr("uses 3"));
}

TEST(QuotaRefusalTest, by_owner_whatever_the_domains_are_called) {
  const Config config = with({quota_of("owner:team-a", {}, 2)});
  const std::vector<Claim> claims{claim_of(1, "x", "team-a", {{"small", 1}}),
                                  claim_of(2, "y", "team-b", {{"small", 9}}),
                                  claim_of(3, "z", "team-a", {{"-", 1}})};
  EXPECT_THAT(refused(config, claims, claim_of(4, "w", "team-a", {{"small", 1}})),
              HasSubstr("domains 'x', 'z' use 2, domain 'w' requests 1"));
  EXPECT_EQ(refused(config, claims, claim_of(4, "w", "team-b", {{"small", 1}})), "");
  EXPECT_EQ(refused(config, claims, claim_of(4, "w", "", {{"small", 1}})), "");
}

// ---- random configurations, claims and requests

const std::vector<std::string> patterns{"*",       "a*",      "b*",         "[ac]*", "?1",
                                        "owner:*", "owner:x", "owner:[xy]", "zzz-*", "a1"};
const std::vector<std::string> names{"a1", "a2", "b1", "b2", "c1", "c2", "d3"};
const std::vector<std::string> owners{"", "x", "y", "z"};
const std::vector<std::string> profiles{"-", "p", "q", "r"};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  unsigned below(size_t end) { return static_cast<unsigned>(engine_() % end); }

 private:
  std::mt19937 engine_;
};

template <typename T>
const T& one_of(const std::vector<T>& all, Random& random) {
  return all[random.below(all.size())];
}

Config random_config(Random& random) {
  std::vector<Quota> quotas;
  for (unsigned i = random.below(5); i > 0; --i) {
    Quota quota = quota_of(one_of(patterns, random), {}, {});
    for (const char* const profile : {"p", "q"})
      if (random.below(2) == 0) quota.per_profile[profile] = random.below(4);
    if (random.below(2) == 0) quota.total = random.below(6);
    quotas.push_back(quota);
  }
  return with(quotas);
}

GpuCounts random_gpus(Random& random) {
  GpuCounts gpus;
  for (unsigned i = 1 + random.below(3); i > 0; --i) ++gpus[one_of(profiles, random)];
  return gpus;
}

/// Whether the section is the first of its kind that matches: written down a second time.
bool counts_for(const Config& config, size_t section, const Claim& claim) {
  const auto is_match = [&](const Quota& quota) {
    const bool is_by_owner = quota.domains.by == DomainPattern::By::owner;
    const std::string& text = is_by_owner ? claim.owner : claim.name;
    return !(is_by_owner && text.empty()) &&
           ::fnmatch(quota.domains.pattern.c_str(), text.c_str(), 0) == 0;
  };
  for (size_t i = 0; i < section; ++i)
    if (config.quotas[i].domains.by == config.quotas[section].domains.by &&
        is_match(config.quotas[i]))
      return false;
  return is_match(config.quotas[section]);
}

/// Whether what these claims use is within each limit that counts for `of`, as far as it has GPUs
/// of it.
bool is_within(const Config& config, const std::vector<Claim>& claims, const Claim& of) {
  GpuCounts own;
  for (const ClaimedDevice& device : of.devices) ++own[device.profile];
  for (size_t i = 0; i < config.quotas.size(); ++i) {
    if (!counts_for(config, i, of)) continue;
    unsigned total = 0;
    GpuCounts used;
    for (const Claim& claim : claims)
      if (counts_for(config, i, claim))
        for (const ClaimedDevice& device : claim.devices) ++used[device.profile], ++total;
    for (const auto& [profile, max] : config.quotas[i].per_profile)
      if (own[profile] > 0 && used[profile] > max) return false;
    if (config.quotas[i].total && total > *config.quotas[i].total) return false;
  }
  return true;
}

TEST(QuotaProperty, admitted_one_by_one_no_limit_is_ever_exceeded_and_none_refused_for_nothing) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    Random random(seed);
    const Config config = random_config(random);
    std::vector<Claim> claims;
    for (unsigned step = 0; step < 12; ++step) {
      if (!claims.empty() && random.below(4) == 0) claims.erase(claims.begin());
      const unsigned number = random.below(names.size());
      Claim wanted = claim_of(number, names[number], one_of(owners, random), random_gpus(random));
      std::vector<Claim> after = claims;
      std::erase_if(after, [&](const Claim& claim) { return claim.domain == wanted.domain; });
      after.push_back(wanted);
      const bool is_refused = !refused(config, claims, wanted).empty();
      EXPECT_EQ(is_refused, !is_within(config, after, wanted)) << "seed " << seed;
      if (!is_refused) claims = after;
      for (const Claim& claim : claims)
        EXPECT_TRUE(is_within(config, claims, claim)) << "seed " << seed;
    }
  }
}

// ---- who may request a profile

TEST(AccessRefusalTest, a_profile_without_allow_is_for_all) {
  EXPECT_FALSE(access_refusal(Profile(), "web", ""));
}

TEST(AccessRefusalTest, by_name_or_by_owner) {
  Profile profile;
  profile.name = "card";
  profile.position = {"gpuward.conf", 7};
  profile.allowed = {*parse_domain_pattern("db-*"), *parse_domain_pattern("owner:ml*")};
  EXPECT_FALSE(access_refusal(profile, "db-1", ""));
  EXPECT_FALSE(access_refusal(profile, "web", "ml-team"));
  const auto refusal = access_refusal(profile, "web", "team-a");
  ASSERT_TRUE(refusal);
  EXPECT_EQ(to_string(*refusal),
            "profile 'card': allow = db-*, owner:ml* (gpuward.conf:7) does not match domain 'web' "
            "with owner 'team-a'; request another profile, or change allow in [profile card]");
  EXPECT_THAT(to_string(*access_refusal(profile, "owner:ml", "")), HasSubstr("domain 'owner:ml'"));
}

}  // namespace
}  // namespace gpuward
