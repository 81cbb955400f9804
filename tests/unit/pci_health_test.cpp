// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/health.hpp"

#include <gtest/gtest.h>

#include "fake_host.hpp"

namespace gpuward {
namespace {

const std::string gpu = "0000:41:00.0";

class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    device()
        .attribute("power_state", "D0")
        .attribute("current_link_speed", "16.0 GT/s PCIe")
        .attribute("current_link_width", "8")
        .attribute("max_link_speed", "32.0 GT/s PCIe")
        .attribute("max_link_width", "16");
  }
  FakeDevice& device() { return host_.pci_gpu(gpu); }
  Health found() const { return find_health(host_.root(), *parse_pci_address(gpu)); }
  FakeHost host_;
};

TEST_F(HealthTest, tells_link_and_power) {
  const Health health = found();
  EXPECT_EQ(health.power_state, "D0");
  EXPECT_EQ(health.link_speed, "16.0 GT/s PCIe");
  EXPECT_EQ(health.link_width, "8");
  EXPECT_EQ(health.max_link_speed, "32.0 GT/s PCIe");
  EXPECT_EQ(health.max_link_width, "16");
}

TEST_F(HealthTest, reads_no_link_of_a_device_that_sleeps) {
  for (const char* state : {"D3hot", "D3cold", "unknown", "error", ""}) {
    device().attribute("power_state", state);
    const Health health = found();
    EXPECT_EQ(health.power_state, state);
    EXPECT_EQ(health.link_speed + health.link_width, "") << state;
    EXPECT_EQ(health.max_link_speed + health.max_link_width, "") << state;
  }
  device().without("power_state");
  EXPECT_EQ(found().link_speed, "");
}

TEST_F(HealthTest, tells_the_totals_of_errors) {
  device()
      .attribute("aer_dev_correctable", "RxErr 1\nBadTLP 2\nTOTAL_ERR_COR 3")
      .attribute("aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 0")
      .attribute("aer_dev_fatal", "DLP 4\nTOTAL_ERR_FATAL 4");
  EXPECT_EQ(found().errors, (ErrorTotals{3, 0, 4}));
}

TEST_F(HealthTest, without_aer_no_errors_are_told_rather_than_none) {
  EXPECT_EQ(found().errors, ErrorTotals());
  device().attribute("aer_dev_correctable", "TOTAL_ERR_COR many");
  EXPECT_FALSE(found().errors.correctable);
}

TEST_F(HealthTest, tells_the_errors_of_the_port_above) {
  EXPECT_FALSE(found().port) << "a device of the root complex has none";
  host_.pci_gpu("0000:40:01.0").attribute("aer_dev_correctable", "TOTAL_ERR_COR 7");
  host_.move_below("0000:40:01.0", gpu);
  const Health health = found();
  ASSERT_TRUE(health.port);
  EXPECT_EQ(to_string(*health.port), "0000:40:01.0");
  EXPECT_EQ(health.port_errors, (ErrorTotals{7, {}, {}}));
}

TEST_F(HealthTest, tells_how_it_can_be_reset) {
  EXPECT_FALSE(found().can_reset);
  EXPECT_EQ(found().reset_methods, "");
  device().attribute("reset", "").attribute("reset_method", "flr bus");
  EXPECT_TRUE(found().can_reset);
  EXPECT_EQ(found().reset_methods, "flr bus");
}

TEST_F(HealthTest, of_a_device_that_went_is_empty) {
  host_.parent_goes(gpu);
  const Health health = found();
  EXPECT_EQ(health.power_state, "");
  EXPECT_FALSE(health.port);
  EXPECT_FALSE(health.can_reset);
}

}  // namespace
}  // namespace gpuward
