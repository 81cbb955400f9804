// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/snapshot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_parser.hpp"
#include "fake_host.hpp"
#include "kinds/kind.hpp"
#include "mdev/provisioned.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using State = ClaimedDevice::State;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const Uuid vm = *parse_uuid("d0000000-0000-4000-8000-000000000001");
const Uuid one = *parse_uuid("00000000-0000-5000-8000-000000000001");

// ---- GPUs

TEST(ReadGpusTest, an_empty_host_has_none) {
  const TempDir empty;
  EXPECT_THAT(read_gpus(Root{empty.path()}, {}), IsEmpty());
}

TEST(ReadGpusTest, are_mdev_parents_and_pci_display_devices_by_name) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 1);
  host.parent("0000:41:00.0").type("nvidia-256", 1).pci_id(0x10de, 0x2235).driver("nvidia");
  host.pci_gpu("0000:03:00.0").pci_id(0x1002, 0x73a5).driver("amdgpu");
  const auto gpus = read_gpus(host.root(), {});
  ASSERT_THAT(gpus, SizeIs(3));
  EXPECT_EQ(gpus[0].parent.name, "0000:03:00.0");
  EXPECT_FALSE(gpus[0].serves_mdevs());
  EXPECT_EQ(gpus[0].driver, "amdgpu");
  EXPECT_EQ(gpus[0].parent.vendor, 0x1002);
  EXPECT_EQ(gpus[1].parent.name, "0000:41:00.0");
  EXPECT_TRUE(gpus[1].serves_mdevs());
  EXPECT_EQ(gpus[1].driver, "nvidia");
  EXPECT_EQ(gpus[2].parent.name, "mtty");
  EXPECT_EQ(gpus[2].driver, "");
}

TEST(ReadGpusTest, accelerators_are_gpus_and_network_cards_are_not) {
  FakeHost host;
  host.pci_gpu("0000:01:00.0").attribute("class", "0x120000");
  host.pci_gpu("0000:02:00.0").attribute("class", "0x030200");
  host.pci_gpu("0000:03:00.0").attribute("class", "0x020000");
  host.pci_gpu("0000:04:00.0").without("class");
  EXPECT_THAT(read_gpus(host.root(), {}), SizeIs(2));
}

/// A GPU with two of four VFs.
class SriovTest : public testing::Test {
 protected:
  SriovTest() {
    pf().attribute("sriov_totalvfs", "4");
    vf(0);
    vf(1);
  }
  FakeDevice& pf() { return host_.pci_gpu(name_); }
  FakeDevice& vf(int number) {
    const std::string address = "0000:41:00." + std::to_string(4 + number);
    pf().link("virtfn" + std::to_string(number), "../" + address);
    return host_.pci_gpu(address).link("physfn", "../" + name_);
  }
  Gpu only() const {
    const auto gpus = read_gpus(host_.root(), {});
    EXPECT_EQ(gpus.size(), 1u);
    return gpus.empty() ? Gpu() : gpus[0];
  }
  GpuUse use() const {
    return use_of_gpus(host_.root(), {only()},
                       read_instances(host_.root(), claimed_devices(host_.root())))[name_];
  }
  void claim(Use use, const std::string& address) {
    const Claims claims(host_.root());
    claims.make_ready();
    ClaimedDevice device{State::claimed, "ua-gpuward-0", "p", {}, name_, "-"};
    device.use = use;
    device.address = *parse_pci_address(address);
    claims.write({vm, "vm1", {device}});
  }
  const std::string name_ = "0000:41:00.0";
  FakeHost host_;
};

TEST_F(SriovTest, vfs_are_part_of_their_gpu) {
  const Gpu gpu = only();
  EXPECT_EQ(gpu.parent.name, name_);
  EXPECT_EQ(gpu.most_vfs, 4u);
  EXPECT_THAT(gpu.vfs, SizeIs(2));
  EXPECT_THAT(kinds_of(gpu), ElementsAre(Use::vf, Use::whole));
}

TEST_F(SriovTest, how_many_vfs_there_are_is_not_asked_of_sriov_numvfs) {
  pf().attribute("sriov_numvfs", "3");  // reading it may hang
  EXPECT_THAT(only().vfs, SizeIs(2));
}

TEST_F(SriovTest, vfs_of_a_device_that_is_no_gpu_stand_for_themselves) {
  pf().attribute("class", "0x120000");
  EXPECT_THAT(read_gpus(host_.root(), {}), SizeIs(1));
  pf().attribute("class", "0x020000");
  const auto gpus = read_gpus(host_.root(), {});
  ASSERT_THAT(gpus, SizeIs(2));
  EXPECT_THAT(kinds_of(gpus[0]), ElementsAre(Use::vf));
}

TEST_F(SriovTest, mdevs_on_vfs_are_the_gpus) {
  host_.parent("0000:41:00.4").type("nvidia-557", 1);
  host_.parent("0000:41:00.5").type("nvidia-557", 1);
  host_.instance("0000:41:00.5", "nvidia-557", one);
  EXPECT_THAT(only().mdev_parents, ElementsAre("0000:41:00.4", "0000:41:00.5"));
  EXPECT_THAT(kinds_of(only()), ElementsAre(Use::mdev, Use::whole));
  EXPECT_EQ(use().instances, 1u);
  EXPECT_THAT(use().vfs, ElementsAre("0000:41:00.5"));
}

TEST_F(SriovTest, a_vf_that_its_pf_has_no_link_to_is_part_of_it) {
  pf().without("sriov_totalvfs");
  host_.parent("0000:41:00.5").type("nvidia-557", 1);
  EXPECT_THAT(only().mdev_parents, ElementsAre("0000:41:00.5"));
}

TEST_F(SriovTest, vgpus_use_their_vfs_whoever_set_them) {
  vf(0).attribute("nvidia/current_vgpu_type", "0");
  vf(1).attribute("nvidia/current_vgpu_type", "1145");
  EXPECT_THAT(kinds_of(only()), ElementsAre(Use::vendor_vf, Use::whole));
  EXPECT_THAT(use().vfs, ElementsAre("0000:41:00.5"));
  EXPECT_THAT(use().domains, IsEmpty());
}

TEST_F(SriovTest, a_claimed_vf_is_used) {
  EXPECT_THAT(use().vfs, IsEmpty());
  claim(Use::vf, "0000:41:00.4");
  EXPECT_THAT(use().vfs, ElementsAre("0000:41:00.4"));
  EXPECT_THAT(use().domains, ElementsAre("vm1"));
}

TEST_F(SriovTest, who_has_the_whole_gpu_uses_no_vf) {
  claim(Use::whole, name_);
  EXPECT_THAT(use().vfs, IsEmpty());
  EXPECT_THAT(use().domains, ElementsAre("vm1"));
}

TEST_F(SriovTest, claimed_pci_devices_are_instances) {
  claim(Use::vf, "0000:41:00.4");
  auto views = read_instances(host_.root(), claimed_devices(host_.root()));
  ASSERT_THAT(views, SizeIs(1));
  EXPECT_EQ(views[0].name, "0000:41:00.4");
  EXPECT_EQ(views[0].use, Use::vf);
  EXPECT_EQ(views[0].instance.parent, name_);
  EXPECT_EQ(views[0].instance.type, "");
  EXPECT_EQ(views[0].state, "in-use");
  EXPECT_EQ(views[0].domain, "vm1");
  host_.parent_goes("0000:41:00.4");
  EXPECT_EQ(read_instances(host_.root(), claimed_devices(host_.root()))[0].state, "missing");
}

TEST(ReadGpusTest, companions_are_no_gpus_of_their_own) {
  FakeHost host;
  host.pci_gpu("0000:41:00.0");
  host.pci_gpu("0000:41:00.1").attribute("class", "0x038000");
  host.pci_gpu("0000:42:00.1");  // nothing before it
  const auto gpus = read_gpus(host.root(), {});
  ASSERT_THAT(gpus, SizeIs(2));
  EXPECT_EQ(gpus[0].parent.name, "0000:41:00.0");
  EXPECT_EQ(gpus[1].parent.name, "0000:42:00.1");
  EXPECT_THAT(read_details(host.root(), gpus[0]).companions, SizeIs(1));
}

TEST(ReadGpusTest, a_section_makes_a_device_a_gpu_by_address_or_id) {
  FakeHost host;
  for (const char* address : {"0000:01:00.0", "0000:02:00.0", "10000:e1:00.0"})
    host.pci_gpu(address).attribute("class", "0x010802");
  host.pci_gpu("0000:02:00.0").pci_id(0x1b36, 0x0010);
  Config config;
  config.gpus.resize(2);
  EXPECT_THAT(read_gpus(host.root(), config), IsEmpty()) << "[gpu *] names none";
  config.gpus[0].selector = {GpuSelector::By::id, {}, 0x1b36, 0x0010, {}};
  config.gpus[1].selector = {
      GpuSelector::By::address, *parse_pci_address("10000:e1:00.0"), 0, 0, {}};
  const auto gpus = read_gpus(host.root(), config);
  ASSERT_THAT(gpus, SizeIs(2));
  EXPECT_EQ(gpus[0].parent.name, "0000:02:00.0");
  EXPECT_EQ(gpus[1].parent.name, "10000:e1:00.0");
}

/// A card in MIG mode whose GPU instances the administrator creates is left to its VFs.
TEST(ReadGpusTest, programs_are_asked_of_gpus_that_are_used_so) {
  FakeHost host;
  for (const char* card : {"0000:41:00.0", "0000:42:00.0"}) host.pci_gpu(card);
  const auto asked = [&](const std::string& text) {
    host.config(text);
    const auto gpus = read_gpus(host.root(), load_config(config_files(host.root())).config);
    return std::vector<bool>{gpus[0].asks_programs, gpus[1].asks_programs};
  };
  const std::string profile = "[profile p]\nuse = mig\ntype = 1g.10gb\n";
  EXPECT_THAT(asked(""), ElementsAre(false, false));
  EXPECT_THAT(asked("[profile p]\nuse = vendor-vf\ntype = 1153\n"), ElementsAre(false, false));
  EXPECT_THAT(asked("[gpu 0000:41:00.0]\nuse = mig\n"), ElementsAre(true, false));
  EXPECT_THAT(asked(profile), ElementsAre(true, true));
  EXPECT_THAT(asked(profile + "gpu = 0000:42:00.0\n"), ElementsAre(false, true));
  EXPECT_THAT(asked(profile + "[gpu 0000:42:00.0]\nuse = vendor-vf\n"), ElementsAre(true, false));
  host.sriov("0000:42:00.0", 2);
  host.set_vfs("0000:42:00.0", 2);
  const std::string with_vf = "[gpu 0000:42:00.1]\nuse = vendor-vf\n";
  EXPECT_THAT(asked(profile + with_vf), ElementsAre(true, true));
  EXPECT_THAT(asked(profile + with_vf + "[gpu 0000:42:00.2]\nuse = vendor-vf\n"),
              ElementsAre(true, false))
      << "no VF is left for it";
}

TEST(ReadGpusTest, tells_the_group_and_whether_it_is_viable) {
  FakeHost host;
  const std::string address = "0000:41:00.0", other = "0000:42:00.0";
  const std::string members = "/sys/kernel/iommu_groups/7/devices/";
  host.pci_gpu(address).link("iommu_group", "../../../kernel/iommu_groups/7");
  host.pci_gpu(other).attribute("class", "0x020000");
  host.file(members + address, "");
  host.file(members + other, "");
  const Gpu gpu = read_gpus(host.root(), {})[0];
  EXPECT_EQ(gpu.iommu_group, 7u);
  EXPECT_TRUE(read_details(host.root(), gpu).viable);
  host.pci_gpu(other).driver("e1000e");
  const GpuDetails details = read_details(host.root(), gpu);
  EXPECT_THAT(details.group->members, SizeIs(2));
  EXPECT_THAT(to_string(details.viable.reason), HasSubstr(other));
}

TEST(ReadGpusTest, of_what_is_no_pci_device_nothing_more_is_told) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 1);
  const Gpu gpu = read_gpus(host.root(), {})[0];
  EXPECT_THAT(kinds_of(gpu), ElementsAre(Use::mdev));
  EXPECT_FALSE(read_details(host.root(), gpu).group);
}

// ---- instances

class ReadInstancesTest : public testing::Test {
 protected:
  ReadInstancesTest() {
    host_.parent("mbochs").type("mbochs-small", 8);
    claims_.make_ready();
  }
  void claim(State state, const Uuid& instance = one) {
    claims_.write(
        {vm, "vm1", {{state, "ua-gpuward-0", "small", instance, "mbochs", "mbochs-small"}}});
  }
  GpuInstance only() {
    const auto views = read_instances(host_.root(), claimed_devices(host_.root()));
    EXPECT_EQ(views.size(), 1u);
    return views.empty() ? GpuInstance() : views[0];
  }
  FakeHost host_;
  Claims claims_{host_.root()};
};

TEST_F(ReadInstancesTest, there_are_none) {
  EXPECT_THAT(read_instances(host_.root(), claimed_devices(host_.root())), IsEmpty());
}

TEST_F(ReadInstancesTest, one_of_somebody_else_is_other) {
  host_.instance("mbochs", "mbochs-small", one);
  const GpuInstance view = only();
  EXPECT_EQ(view.state, "external");
  EXPECT_EQ(view.instance.uuid, one);
  EXPECT_EQ(view.instance.parent, "mbochs");
  EXPECT_EQ(view.instance.type, "mbochs-small");
  EXPECT_EQ(view.domain, "");
  EXPECT_FALSE(view.device);
}

TEST_F(ReadInstancesTest, one_that_gpuward_keeps_is_ready) {
  host_.instance("mbochs", "mbochs-small", provisioned_uuid("mbochs", "mbochs-small", 5));
  EXPECT_EQ(only().state, "provisioned");
}

TEST_F(ReadInstancesTest, one_that_a_domain_holds_names_it) {
  host_.instance("mbochs", "mbochs-small", one);
  claim(State::claimed);
  const GpuInstance view = only();
  EXPECT_EQ(view.state, "in-use");
  EXPECT_EQ(view.domain, "vm1");
  EXPECT_EQ(view.domain_uuid, vm);
  ASSERT_TRUE(view.device);
  EXPECT_EQ(view.device->profile, "small");
}

TEST_F(ReadInstancesTest, one_of_its_uuid_on_another_parent_is_not_what_was_claimed) {
  host_.parent("mtty").type("mtty-1", 1);
  host_.instance("mtty", "mtty-1", one);
  claim(State::claimed);
  EXPECT_EQ(only().state, "external");
  EXPECT_EQ(only().domain, "");
}

TEST_F(ReadInstancesTest, one_that_is_claimed_and_not_there_is_missing) {
  claim(State::claimed);
  const GpuInstance view = only();
  EXPECT_EQ(view.state, "missing");
  EXPECT_EQ(view.instance.uuid, one);
  EXPECT_EQ(view.instance.parent, "mbochs");
}

TEST_F(ReadInstancesTest, one_that_does_not_go_is_quarantined_there_or_not) {
  claim(State::quarantined);
  EXPECT_EQ(only().state, "quarantined");
  host_.instance("mbochs", "mbochs-small", one);
  EXPECT_EQ(only().state, "quarantined");
}

TEST_F(ReadInstancesTest, a_ready_one_that_a_domain_holds_is_held) {
  const Uuid ready = provisioned_uuid("mbochs", "mbochs-small", 0);
  host_.instance("mbochs", "mbochs-small", ready);
  claim(State::claimed, ready);
  EXPECT_EQ(only().state, "in-use");
}

TEST_F(ReadInstancesTest, one_that_is_still_being_made_is_other) {
  host_.instance_without_type("mbochs", one);
  EXPECT_EQ(only().state, "external");
}

}  // namespace
}  // namespace gpuward
