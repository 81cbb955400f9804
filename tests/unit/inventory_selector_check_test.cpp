// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/selector_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "inventory/snapshot.hpp"

namespace gpuward {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SelectorCheckTest : public testing::Test {
 protected:
  SelectorCheckTest() {
    for (const char* const address : {"0000:41:00.0", "0000:42:00.0"})
      host_.pci_gpu(address)
          .attribute("power_state", "D0")
          .attribute("serial_number", address[6] == '1' ? "1324" : "0777");
    host_.parent("mtty").type("mtty-1", 1);
  }
  void section(const std::string& selector, int line = 1) {
    GpuSection section;
    section.selector = parse_gpu_selector(selector).value();
    section.position = {"gpuward.conf", line};
    config_.gpus.push_back(section);
  }
  std::vector<std::string> unmatched() const {
    return texts(unmatched_selectors(host_.root(), config_));
  }
  std::vector<std::string> unclear() const {
    return texts(unclear_gpus(host_.root(), config_).errors);
  }
  std::vector<std::string> unread() const {
    return texts(unclear_gpus(host_.root(), config_).unread);
  }
  static std::vector<std::string> texts(const std::vector<ConfigProblem>& problems) {
    std::vector<std::string> texts;
    for (const ConfigProblem& problem : problems) texts.push_back(to_string(problem));
    return texts;
  }
  FakeHost host_;
  Config config_;
};

TEST_F(SelectorCheckTest, names_selectors_that_select_nothing) {
  for (const char* const selector : {"*", "mtty", "serial=1324", "0000:42:*", "0000:99:00.0"})
    section(selector);
  EXPECT_THAT(unmatched(), IsEmpty());
  section("serial=9", 7);
  section("mbochs", 8);
  Profile profile;
  profile.gpus = {parse_gpu_selector("0000:5?:*").value()};
  profile.position = {"gpuward.conf", 9};
  config_.profiles = {profile};
  EXPECT_THAT(
      unmatched(),
      ElementsAre(AllOf(HasSubstr("gpuward.conf:7: no GPU of this host is selected by "
                                  "serial=9; "),
                        HasSubstr("gpuward show ADDRESS")),
                  HasSubstr("gpuward.conf:8: no mdev parent is named 'mbochs'"),
                  HasSubstr("gpuward.conf:9: no GPU of this host is selected by 0000:5?:*")));
}

TEST_F(SelectorCheckTest, names_gpus_of_two_sections_of_one_rank) {
  section("0000:41:*", 3);
  section("serial=1324", 5);
  EXPECT_THAT(unclear(), IsEmpty());
  section("0000:*", 7);
  EXPECT_THAT(unclear(), ElementsAre(HasSubstr("device 0000:41:00.0: selected by both [gpu "
                                               "0000:41:*] (gpuward.conf:3) and [gpu 0000:*] "
                                               "(gpuward.conf:7)")));
}

TEST_F(SelectorCheckTest, looks_at_vfs_too) {
  host_.sriov("0000:41:00.0", 3);
  host_.set_vfs("0000:41:00.0", 3);
  section("0000:41:00.3*", 3);
  section("0000:41:00.4*", 4);
  EXPECT_THAT(unmatched(), ElementsAre(HasSubstr("gpuward.conf:4: ")));
  section("0000:41:*.3", 5);
  EXPECT_THAT(unclear(), ElementsAre(HasSubstr("device 0000:41:00.3: selected by both")));
}

TEST_F(SelectorCheckTest, says_once_what_is_so_of_a_card_and_its_vfs) {
  host_.sriov("0000:41:00.0", 3);
  host_.set_vfs("0000:41:00.0", 3);
  section("0000:41:*", 3);
  section("0000:41:00.*", 4);
  EXPECT_THAT(unclear(), ElementsAre(HasSubstr("device 0000:41:00.0: ")));
}

TEST_F(SelectorCheckTest, what_cannot_be_read_now_is_no_error) {
  host_.pci_gpu("0000:42:00.0")
      .attribute("serial_number", "")
      .attribute("power_state", "D3cold")
      .attribute("config", std::string(4096, '\0'));
  section("serial=1324", 3);
  EXPECT_THAT(unclear(), IsEmpty());
  EXPECT_THAT(unread(), ElementsAre(HasSubstr("device 0000:42:00.0: [gpu serial=1324] "
                                              "(gpuward.conf:3) may select the GPU, whose serial "
                                              "number cannot be read")));
}

TEST_F(SelectorCheckTest, names_cards_with_one_serial_number) {
  host_.pci_gpu("0000:42:00.0").attribute("serial_number", "1324");
  section("serial=1324", 3);
  EXPECT_THAT(unclear(),
              ElementsAre(HasSubstr("device 0000:41:00.0"), HasSubstr("device 0000:42:00.0")));
  config_.gpus.clear();
  Profile profile;
  profile.name = "big";
  profile.gpus = {parse_gpu_selector("serial=1324").value()};
  config_.profiles = {profile};
  EXPECT_THAT(unclear(),
              ElementsAre(HasSubstr("of profile 'big' may select the GPU, whose serial number is "
                                    "also that of GPU 0000:42:00.0"),
                          HasSubstr("0000:41:00.0")));
}

}  // namespace
}  // namespace gpuward
