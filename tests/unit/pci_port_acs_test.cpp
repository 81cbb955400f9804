// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/port_acs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_host.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

void put(std::string& space, size_t offset, uint32_t value) {
  for (size_t byte = 0; byte < 4; ++byte)
    space[offset + byte] = static_cast<char>(value >> 8 * byte & 0xff);
}

/// Configuration space of a port of this type, PCI Express at 0x50 behind power management at 0x40,
/// and ACS at 0x140 behind AER at 0x100.
std::string port_space(unsigned type, uint32_t acs) {
  std::string space(0x200, '\0');
  put(space, 0, 0x12348086);
  put(space, 0x34, 0x40);
  put(space, 0x40, 0x5001);
  put(space, 0x50, 0x0010 | (type << 20));
  put(space, 0x100, 0x0001 | (0x140U << 20));
  put(space, 0x140, 0x000d);
  put(space, 0x144, acs);
  return space;
}

class PortAcsTest : public testing::Test {
 protected:
  PortAcsTest() {
    host_.pci_gpu("0000:41:00.0");
    port().attribute("power_state", "D0").attribute("power/runtime_status", "active");
    host_.move_below("0000:40:01.0", "0000:41:00.0");
  }
  FakeDevice& port() { return host_.pci_gpu("0000:40:01.0"); }
  std::vector<PortAcs> read(const std::string& space) {
    port().attribute("config", space);
    return acs_above(host_.root(), at("0000:41:00.0"));
  }
  FakeHost host_;
};

TEST_F(PortAcsTest, what_a_root_port_can_switch_and_what_is_on) {
  const auto acs = read(port_space(4, 0x000d001f));
  ASSERT_THAT(acs, SizeIs(1));
  EXPECT_EQ(acs[0].port, at("0000:40:01.0"));
  EXPECT_EQ(acs[0].able, 0x1d) << "translation blocking isolates nothing";
  EXPECT_EQ(acs[0].enabled, 0x0d);
  EXPECT_EQ(acs_text(0x1d), "SrcValid ReqRedir CmpltRedir UpstreamFwd");
  EXPECT_EQ(acs_text(0), "none");
}

TEST_F(PortAcsTest, an_upstream_port_has_none_of_its_own) {
  EXPECT_THAT(read(port_space(5, 0)), IsEmpty());
  EXPECT_THAT(read(port_space(6, 0x001f001f)), SizeIs(1));
}

TEST_F(PortAcsTest, what_cannot_be_read_is_unknown) {
  std::string without = port_space(4, 0);
  put(without, 0x100, 0x0001);
  EXPECT_EQ(read(without).at(0).unknown, "port has no ACS capability");
  EXPECT_FALSE(read(without).at(0).able);
  EXPECT_EQ(read(port_space(4, 0).substr(0, 0x100)).at(0).unknown,
            "configuration space beyond byte 64 cannot be read; run as root");
  EXPECT_EQ(read(std::string(0x200, '\xff')).at(0).unknown, "port does not answer");
  port().attribute("power_state", "D3hot");
  EXPECT_EQ(read(port_space(4, 0x001f001f)).at(0).unknown,
            "port is suspended or its power state unknown");
}

TEST_F(PortAcsTest, capabilities_that_lead_in_a_circle_end) {
  std::string space = port_space(9, 0);
  put(space, 0x40, 0x4001);
  EXPECT_EQ(read(space).at(0).unknown, "not a PCI Express port");
}

}  // namespace
}  // namespace gpuward
