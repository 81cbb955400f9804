// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/bus_path.hpp"

#include <gtest/gtest.h>

#include "fake_host.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

TEST(BusPathTest, names_the_host_bridge_and_all_ports_above_from_the_top) {
  FakeHost host;
  host.pci_gpu("0000:41:00.0");
  EXPECT_EQ(bus_path(host.root(), at("0000:41:00.0")), (BusPath{at("0000:00:00.0"), {}}));
  host.pci_gpu("0000:00:01.0");
  host.pci_gpu("0000:40:00.0");
  host.move_below("0000:00:01.0", "0000:40:00.0");
  host.move_below("0000:40:00.0", "0000:41:00.0");
  EXPECT_EQ(bus_path(host.root(), at("0000:41:00.0")),
            (BusPath{at("0000:00:00.0"), {at("0000:00:01.0"), at("0000:40:00.0")}}));
  EXPECT_EQ(bus_path(host.root(), at("0000:42:00.0")), std::nullopt);
}

}  // namespace
}  // namespace gpuward
