// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/commands.hpp"
#include "cli/json_schema.hpp"
#include "fake_host.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"

namespace gpuward {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const std::string instance = "00000000-0000-4000-8000-000000000001";

class ShowTest : public testing::Test {
 protected:
  ShowTest() {
    host_.parent("mtty").type("mtty-1", 4);
    host_.instance("mtty", "mtty-1", *parse_uuid(instance));
  }
  void write_unreadable_claim() {
    make_directories(host_.root().run("claims"));
    write_file_atomically(host_.root().run("claims/" + to_string(web01)), "rubbish\n");
  }
  json show(const std::string& name, int schema = newest_schema) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    status_ = show_command({host_.root(), "", schema, false}, name);
    std::fflush(stdout);
    errors_ = testing::internal::GetCapturedStderr();
    return json::parse(testing::internal::GetCapturedStdout());
  }
  FakeHost host_;
  int status_ = -1;
  std::string errors_;
};

TEST_F(ShowTest, an_instance_that_no_claim_names_is_external_if_all_claims_can_be_read) {
  EXPECT_EQ(show(instance)["state"], "external");
  EXPECT_EQ(status_, 0);
  write_unreadable_claim();
  EXPECT_EQ(show(instance)["state"], "unknown");
  EXPECT_EQ(status_, 1);
  EXPECT_THAT(errors_,
              HasSubstr("error: claim of domain " + to_string(web01) + ": cannot be read"));
  EXPECT_EQ(show("mtty")["instance " + instance], "mtty-1 (mtty-1 by name), unknown");
  EXPECT_EQ(status_, 1);
  EXPECT_THAT(errors_, HasSubstr("cannot be read"));
}

TEST_F(ShowTest, types_have_their_name_and_how_many_more_the_gpu_can_have) {
  EXPECT_EQ(show("mtty")["type mtty-1"], "mtty-1 by name, 3 available");
  EXPECT_EQ(show(instance)["type_name"], "mtty-1 by name");
  EXPECT_EQ(show("mtty", 1)["type mtty-1"], "3 available");
  EXPECT_EQ(show("mtty", 1)["instance " + instance], "mtty-1, other");
  EXPECT_FALSE(show("mtty", 1).contains("memory"));
}

TEST_F(ShowTest, a_domain_that_may_be_of_a_claim_that_cannot_be_read_is_not_found_with_a_reason) {
  write_unreadable_claim();
  testing::internal::CaptureStderr();
  EXPECT_THROW(show_command({host_.root(), "", 0, false}, "web01"), Error);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("cannot be read"));
}

/// After a restart of the host, before reconcile.
TEST_F(ShowTest, a_domain_is_shown_with_its_quarantine_that_no_claim_names) {
  host_.pci_gpu("0000:41:00.0");
  record_quarantine(host_.root(), {web01, "web01", {}}, whole_card("0000:41:00.0"));
  EXPECT_EQ(show("web01")["ua-gpuward-0"], "whole 0000:41:00.0, profile card, quarantined");
  // The domain runs with another since.
  host_.pci_gpu("0000:42:00.0");
  const Claims claims(host_.root());
  claims.make_ready();
  claims.write({web01, "web01", {whole_card("0000:42:00.0")}});
  const json both = show("web01");
  EXPECT_EQ(both["ua-gpuward-0"], "whole 0000:42:00.0, profile card");
  EXPECT_EQ(both["ua-gpuward-0 0000:41:00.0"], "whole 0000:41:00.0, profile card, quarantined");
}

}  // namespace
}  // namespace gpuward
