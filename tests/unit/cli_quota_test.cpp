// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/quota.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.hpp"
#include "cli/commands.hpp"
#include "cli/domain_edits.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "started_log.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class QuotaCommandTest : public testing::Test {
 protected:
  QuotaCommandTest() {
    host_.config(
        "[profile small]\ntype = a\n[quota web-*]\nsmall = 2\ntotal = 3\n[quota owner:team]\n");
    claims_.make_ready();
    Claim claim{*parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0"), "web-1", {}};
    claim.owner = "team";
    claim.devices.push_back({.alias = "ua-gpuward-0",
                             .profile = "small",
                             .instance = *parse_uuid("00000000-0000-4000-8000-000000000001"),
                             .parent = "mtty",
                             .type = "a"});
    claims_.write(claim);
  }
  std::string printed(int schema) {
    testing::internal::CaptureStdout();
    status_ = quota_command({host_.root(), "", schema, false}, "");
    return testing::internal::GetCapturedStdout();
  }
  FakeHost host_;
  Claims claims_{host_.root()};
  int status_ = -1;
  std::string said_;
};

TEST_F(QuotaCommandTest, a_row_for_each_limit) {
  EXPECT_EQ(printed(0),
            "PATTERN     LIMIT  USED  MAX  DOMAINS\n"
            "web-*       small  1     2    web-1\n"
            "web-*       total  1     3    web-1\n"
            "owner:team  -      1     -    web-1\n");
  EXPECT_EQ(status_, 0);
}

TEST_F(QuotaCommandTest, the_same_as_json) {
  const json quotas = json::parse(printed(2))["quotas"];
  ASSERT_EQ(quotas.size(), 3U);
  EXPECT_EQ(quotas[0]["pattern"], "web-*");
  EXPECT_EQ(quotas[0]["line"], 3);
  EXPECT_EQ(quotas[0]["limit"], "small");
  EXPECT_EQ(quotas[0]["used"], 1);
  EXPECT_EQ(quotas[0]["max"], 2);
  EXPECT_EQ(quotas[0]["domains"], json::array({"web-1"}));
  EXPECT_TRUE(quotas[2]["limit"].is_null());
  EXPECT_TRUE(quotas[2]["max"].is_null());
}

TEST_F(QuotaCommandTest, explain_says_it_in_words) {
  const Config config = require_config(host_.root());
  const auto uses = quota_of_domain(config, claims_.all().readable, "web-7", "team");
  ASSERT_EQ(uses.size(), 3U);
  EXPECT_EQ(used_text(uses[0], true), "small: 1 of 2 used");
  EXPECT_EQ(used_text(uses[0], false), "small: 2 at most, use unknown as a claim cannot be read");
  EXPECT_EQ(used_text(uses[2], true), "no limit");
  EXPECT_TRUE(quota_of_domain(config, claims_.all().readable, "db", "").empty());
}

/// The claim does not say how much memory the device has; the host does.
TEST_F(QuotaCommandTest, memory_is_shown_in_mebibytes) {
  host_.config("[quota web-*]\nmemory = 6GiB\n");
  host_.parent("mtty").type("a", 4).attribute("mdev_supported_types/a/description",
                                              "framebuffer=4096M, max_instance=4");
  EXPECT_EQ(printed(0),
            "PATTERN  LIMIT   USED      MAX       DOMAINS\n"
            "web-*    memory  4096 MiB  6144 MiB  web-1\n");
  EXPECT_EQ(json::parse(printed(2))["quotas"][0]["used"], 4096);
  host_.parent("mtty").attribute("mdev_supported_types/a/description", "two ports");
  EXPECT_THAT(printed(0), HasSubstr("memory  -     6144 MiB  web-1\n"));
  EXPECT_TRUE(json::parse(printed(2))["quotas"][0]["used"].is_null());
}

TEST_F(QuotaCommandTest, explain_says_whose_memory_is_unknown) {
  Quota quota;
  const QuotaUse use{&quota, "memory", 6144, 4096, {}, "domain 'a': 0000:41:00.4"};
  EXPECT_EQ(used_text(use, true),
            "memory: 6144 MiB at most, domain 'a': 0000:41:00.4 (memory unknown)");
  EXPECT_EQ(used_text({&quota, "memory", 6144, 4096, {}}, true), "memory: 4096 of 6144 MiB used");
}

/// Before a domain's definition is changed.
TEST_F(QuotaCommandTest, memory_that_is_known_is_refused_beyond_the_limit) {
  const auto refusal = [&](const std::string& settled) {
    const std::string xml =
        "<domain><name>web-2</name><uuid>5dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid><metadata>"
        "<g:domain xmlns:g='urn:gpuward:domain:1'><g:gpu alias='ua-gpuward-0' profile='8GiB' " +
        settled + "/></g:domain></metadata></domain>";
    const StartedLog log(log::To::terminal);
    testing::internal::CaptureStderr();
    const std::string error = error_of([&] {
      require_permitted({host_.root(), "", 0, false}, require_config(host_.root()), xml);
    });
    said_ = testing::internal::GetCapturedStderr();
    return error;
  };
  host_.parent("mtty").type("a", 4).attribute("mdev_supported_types/a/description",
                                              "framebuffer=4096M, max_instance=4");
  host_.config("[quota web-*]\nmemory = 6GiB\n");
  EXPECT_THAT(refusal("use='mdev' type='b' memory='8192'"),
              HasSubstr("memory = 6144MiB would be exceeded: domain 'web-2' requests 8192MiB"));
  EXPECT_EQ(refusal("use='mdev' type='b'"), "") << "the start counts what is not known yet";
  EXPECT_EQ(refusal("use='mdev' type='b' memory='4096'"), "");
  EXPECT_THAT(said_, HasSubstr("no start is possible now"));
  EXPECT_EQ(refusal("use='mdev' type='b' memory='2048'"), "");
  EXPECT_EQ(said_, "");
}

TEST_F(QuotaCommandTest, what_is_used_is_unknown_while_a_claim_cannot_be_read) {
  write_file_atomically(host_.root().run("claims/00000000-1d52-d8f3-2516-782e98ab3fa0"), "x\n");
  testing::internal::CaptureStderr();
  const json quotas = json::parse(printed(2))["quotas"];
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("cannot be read"));
  EXPECT_EQ(status_, 1);
  EXPECT_TRUE(quotas[0]["used"].is_null());
  EXPECT_EQ(quotas[0]["max"], 2);
}

}  // namespace
}  // namespace gpuward
