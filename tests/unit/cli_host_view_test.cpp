// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/host_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_host.hpp"
#include "udev-rules/provision.hpp"

namespace gpuward {
namespace {

using State = ClaimedDevice::State;
using testing::IsEmpty;
using testing::SizeIs;

const Uuid vm = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const Uuid one = *parse_uuid("00000000-0000-5000-8000-000000000001");

// ---- GPUs

TEST(ViewGpusTest, an_empty_host_has_none) {
  const TempDir empty;
  EXPECT_THAT(view_gpus(Root{empty.path()}), IsEmpty());
}

TEST(ViewGpusTest, are_mdev_parents_and_pci_display_devices_by_name) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 1);
  host.parent("0000:41:00.0").type("nvidia-256", 1).pci_id(0x10de, 0x2235).driver("nvidia");
  host.pci_gpu("0000:03:00.0").pci_id(0x1002, 0x73a5).driver("amdgpu");
  const auto gpus = view_gpus(host.root());
  ASSERT_THAT(gpus, SizeIs(3));
  EXPECT_EQ(gpus[0].parent.name, "0000:03:00.0");
  EXPECT_FALSE(gpus[0].serves_mdevs);
  EXPECT_EQ(gpus[0].driver, "amdgpu");
  EXPECT_EQ(gpus[0].parent.vendor, 0x1002);
  EXPECT_EQ(gpus[1].parent.name, "0000:41:00.0");
  EXPECT_TRUE(gpus[1].serves_mdevs);
  EXPECT_EQ(gpus[1].driver, "nvidia");
  EXPECT_EQ(gpus[2].parent.name, "mtty");
  EXPECT_EQ(gpus[2].driver, "");
}

TEST(ViewGpusTest, accelerators_are_gpus_and_network_cards_are_not) {
  FakeHost host;
  host.pci_gpu("0000:01:00.0").attribute("class", "0x120000");
  host.pci_gpu("0000:02:00.0").attribute("class", "0x030200");
  host.pci_gpu("0000:03:00.0").attribute("class", "0x020000");
  host.pci_gpu("0000:04:00.0").without("class");
  EXPECT_THAT(view_gpus(host.root()), SizeIs(2));
}

// ---- instances

class ViewInstancesTest : public testing::Test {
 protected:
  ViewInstancesTest() {
    host_.parent("mbochs").type("mbochs-small", 8);
    claims_.make_ready();
  }
  void claim(State state, const Uuid& instance = one) {
    claims_.write(
        {vm, "vm1", {{state, "ua-gpuward-0", "small", instance, "mbochs", "mbochs-small"}}});
  }
  InstanceView only() {
    const auto views = view_instances(host_.root());
    EXPECT_EQ(views.size(), 1u);
    return views.empty() ? InstanceView() : views[0];
  }
  FakeHost host_;
  Claims claims_{host_.root()};
};

TEST_F(ViewInstancesTest, there_are_none) {
  EXPECT_THAT(view_instances(host_.root()), IsEmpty());
}

TEST_F(ViewInstancesTest, one_of_somebody_else_is_other) {
  host_.instance("mbochs", "mbochs-small", one);
  const InstanceView view = only();
  EXPECT_EQ(view.state, "other");
  EXPECT_EQ(view.instance.uuid, one);
  EXPECT_EQ(view.instance.parent, "mbochs");
  EXPECT_EQ(view.instance.type, "mbochs-small");
  EXPECT_EQ(view.domain, "");
  EXPECT_FALSE(view.device);
}

TEST_F(ViewInstancesTest, one_that_gpuward_keeps_is_ready) {
  host_.instance("mbochs", "mbochs-small", provisioned_uuid("mbochs", "mbochs-small", 5));
  EXPECT_EQ(only().state, "ready");
}

TEST_F(ViewInstancesTest, one_that_a_domain_holds_names_it) {
  host_.instance("mbochs", "mbochs-small", one);
  claim(State::claimed);
  const InstanceView view = only();
  EXPECT_EQ(view.state, "held");
  EXPECT_EQ(view.domain, "vm1");
  EXPECT_EQ(view.domain_uuid, vm);
  ASSERT_TRUE(view.device);
  EXPECT_EQ(view.device->profile, "small");
}

TEST_F(ViewInstancesTest, one_of_its_uuid_on_another_parent_is_not_what_was_claimed) {
  host_.parent("mtty").type("mtty-1", 1);
  host_.instance("mtty", "mtty-1", one);
  claim(State::claimed);
  EXPECT_EQ(only().state, "other");
  EXPECT_EQ(only().domain, "");
}

TEST_F(ViewInstancesTest, one_that_is_claimed_and_not_there_is_missing) {
  claim(State::claimed);
  const InstanceView view = only();
  EXPECT_EQ(view.state, "missing");
  EXPECT_EQ(view.instance.uuid, one);
  EXPECT_EQ(view.instance.parent, "mbochs");
}

TEST_F(ViewInstancesTest, one_that_does_not_go_is_quarantined_there_or_not) {
  claim(State::quarantined);
  EXPECT_EQ(only().state, "quarantined");
  host_.instance("mbochs", "mbochs-small", one);
  EXPECT_EQ(only().state, "quarantined");
}

TEST_F(ViewInstancesTest, a_ready_one_that_a_domain_holds_is_held) {
  const Uuid ready = provisioned_uuid("mbochs", "mbochs-small", 0);
  host_.instance("mbochs", "mbochs-small", ready);
  claim(State::claimed, ready);
  EXPECT_EQ(only().state, "held");
}

TEST_F(ViewInstancesTest, one_that_is_still_being_made_is_other) {
  host_.instance_without_type("mbochs", one);
  EXPECT_EQ(only().state, "other");
}

}  // namespace
}  // namespace gpuward
