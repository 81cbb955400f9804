// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "pci/iommu_group.hpp"
#include "pci/pci_device.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Names = std::vector<std::string>;

class PoolTest : public testing::Test {
 protected:
  GpuSection& section(const std::string& selector, std::optional<Use> use) {
    GpuSection section;
    section.selector = *parse_gpu_selector(selector);
    section.use = use;
    config_.gpus.push_back(section);
    return config_.gpus.back();
  }
  static Profile profile(Use use, const Names& gpus = {}) {
    Profile profile;
    profile.name = "p";
    profile.use = use;
    for (const std::string& gpu : gpus) profile.gpus.push_back(*parse_gpu_selector(gpu));
    return profile;
  }
  Names pool(const Profile& profile) {
    Names names;
    for (const PoolDevice& device : pool_of(host_.root(), config_, profile)) {
      std::string name;
      for (const PciAddress& function : device.functions)
        name += (name.empty() ? "" : "+") + to_string(function);
      names.push_back(name + (device.exists ? "" : " coming"));
    }
    return names;
  }
  /// Why the profile does not give this one; it is of its pool exactly when there is no reason.
  std::string why_not(const Profile& profile, const std::string& address) {
    std::string why;
    const auto found = find_in_pool(host_.root(), config_, profile, at(address), why);
    EXPECT_EQ(found.has_value(), why.empty());
    bool is_listed = false;
    for (const PoolDevice& device : pool_of(host_.root(), config_, profile))
      is_listed = is_listed || device.address == at(address);
    EXPECT_EQ(found.has_value(), is_listed) << address;
    return why;
  }
  FakeHost host_;
  Config config_;
};

// ---- whole

TEST_F(PoolTest, know_what_the_host_uses_in_their_iommu_group) {
  host_.pci_gpu("0000:41:00.0").driver("nouveau");
  host_.pci_gpu("0000:41:00.1").attribute("class", "0x040300").driver("snd_hda_intel");
  host_.pci_gpu("0000:41:05.0").attribute("class", "0x020000").driver("e1000e");
  host_.iommu_group(4, {"0000:41:00.0", "0000:41:00.1", "0000:41:05.0"});
  const auto pool = pool_of(host_.root(), config_, profile(Use::whole));
  ASSERT_THAT(pool, SizeIs(1));
  EXPECT_THAT(pool[0].host_bound_members, ElementsAre(at("0000:41:05.0")));
}

TEST_F(PoolTest, whole_gpus_are_those_of_a_gpus_class) {
  host_.pci_gpu("0000:41:00.0");
  host_.pci_gpu("0000:42:00.0").attribute("class", "0x120000");
  host_.pci_gpu("0000:43:00.0").attribute("class", "0x020000");
  host_.pci_gpu("10000:44:00.0").attribute("class", "0x030200");
  EXPECT_THAT(pool(profile(Use::whole)),
              ElementsAre("0000:41:00.0", "0000:42:00.0", "10000:44:00.0"));
  EXPECT_THAT(why_not(profile(Use::whole), "0000:43:00.0"), HasSubstr("neither display"));
  section("0000:43:00.0", Use::whole);
  EXPECT_EQ(why_not(profile(Use::whole), "0000:43:00.0"), "");
}

TEST_F(PoolTest, a_section_for_all_makes_no_other_device_a_gpu) {
  host_.pci_gpu("0000:43:00.0").attribute("class", "0x020000");
  section("*", Use::whole);
  EXPECT_THAT(why_not(profile(Use::whole), "0000:43:00.0"), HasSubstr("neither display"));
}

TEST_F(PoolTest, a_bridge_is_never_given) {
  host_.pci_gpu("0000:00:01.0").attribute("class", "0x060400");
  section("0000:00:01.0", Use::whole);
  EXPECT_EQ(why_not(profile(Use::whole), "0000:00:01.0"), "PCI bridge");
}

TEST_F(PoolTest, companions_of_slot_and_group_go_along) {
  host_.pci_gpu("0000:41:00.0");
  host_.pci_gpu("0000:41:00.1").attribute("class", "0x040300");
  host_.pci_gpu("0000:41:00.2").attribute("class", "0x0c0330");
  host_.iommu_group(9, {"0000:41:00.0", "0000:41:00.1"});
  host_.iommu_group(10, {"0000:41:00.2"});
  EXPECT_THAT(pool(profile(Use::whole)), ElementsAre("0000:41:00.0+0000:41:00.1"));
}

TEST_F(PoolTest, a_second_display_function_is_no_gpu_of_its_own) {
  host_.pci_gpu("0000:41:00.0");
  host_.pci_gpu("0000:41:00.1");
  host_.iommu_group(9, {"0000:41:00.0", "0000:41:00.1"});
  EXPECT_THAT(pool(profile(Use::whole)), ElementsAre("0000:41:00.0+0000:41:00.1"));
  EXPECT_EQ(why_not(profile(Use::whole), "0000:41:00.1"), "companion of the GPU in the same slot");
}

TEST_F(PoolTest, a_gpu_behind_another_kind_of_function_is_one_of_its_own) {
  host_.pci_gpu("0000:41:00.0").attribute("class", "0x040300");
  host_.pci_gpu("0000:41:00.1");
  EXPECT_EQ(why_not(profile(Use::whole), "0000:41:00.1"), "");
}

TEST_F(PoolTest, companions_are_neither_vfs_nor_bridges) {
  host_.sriov("0000:41:00.0", 4);
  host_.set_vfs("0000:41:00.0", 1);
  host_.pci_gpu("0000:41:00.3").attribute("class", "0x060400");
  host_.pci_gpu("0000:41:00.4").attribute("class", "0x040300");
  EXPECT_THAT(companions(host_.root(), at("0000:41:00.0")), ElementsAre(at("0000:41:00.4")));
}

TEST_F(PoolTest, the_hosts_console_is_given_only_by_name) {
  host_.pci_gpu("0000:41:00.0").attribute("boot_vga", "1");
  EXPECT_THAT(why_not(profile(Use::whole), "0000:41:00.0"), HasSubstr("boot display"));
  section("*", Use::whole);
  EXPECT_THAT(why_not(profile(Use::whole), "0000:41:00.0"), HasSubstr("boot display"));
  section("0000:41:00.0", Use::whole);
  EXPECT_EQ(why_not(profile(Use::whole), "0000:41:00.0"), "");
}

TEST_F(PoolTest, a_management_controllers_display_is_given_only_by_name) {
  host_.pci_gpu("0000:03:00.0").pci_id(0x1a03, 0x2000);
  host_.pci_gpu("0000:04:00.0").pci_id(0x102b, 0x0538);
  host_.pci_gpu("0000:65:00.0").pci_id(0x10de, 0x2684);
  EXPECT_THAT(pool(profile(Use::whole)), ElementsAre("0000:65:00.0"));
  EXPECT_THAT(why_not(profile(Use::whole), "0000:03:00.0"), HasSubstr("management controller"));
  section("*", Use::whole);
  EXPECT_THAT(pool(profile(Use::whole)), ElementsAre("0000:65:00.0"));
  section("0000:03:00.0", Use::whole);
  EXPECT_EQ(why_not(profile(Use::whole), "0000:03:00.0"), "");
}

TEST_F(PoolTest, functions_in_groups_of_their_own_stay_and_are_known) {
  host_.pci_gpu("0000:03:00.0");
  host_.pci_gpu("0000:03:00.1").attribute("class", "0x040300");
  host_.iommu_group(28, {"0000:03:00.0"});
  host_.iommu_group(29, {"0000:03:00.1"});
  const auto found = pool_of(host_.root(), config_, profile(Use::whole));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].functions, ElementsAre(at("0000:03:00.0")));
  EXPECT_THAT(found[0].staying, ElementsAre(at("0000:03:00.1")));
}

/// A disk that is mounted, or a NIC that is up, below a USB controller of the card: no process of
/// the host has the device open.
TEST_F(PoolTest, a_card_with_a_disk_or_a_nic_of_the_host_at_it_is_for_profiles_alone) {
  host_.pci_gpu("0000:41:00.0");
  host_.pci_gpu("0000:41:00.2").attribute("class", "0x0c0330").driver("xhci_hcd");
  host_.iommu_group(7, {"0000:41:00.0", "0000:41:00.2"});
  Profile any = profile(Use::whole);
  any.is_configured = false;
  EXPECT_EQ(pool(any), Names{"0000:41:00.0+0000:41:00.2"});
  FakeDevice& usb = host_.pci_gpu("0000:41:00.2").attribute("class", "0x0c0330").driver("xhci_hcd");
  usb.attribute("usb5/5-1/5-1:1.0/host6/target6:0:0/6:0:0:0/block/sda/size", "1");
  EXPECT_EQ(why_not(any, "0000:41:00.0"),
            "companion 0000:41:00.2 has block device sda of the host; to assign it anyway set use "
            "= whole in [gpu 0000:41:00.0]");
  EXPECT_EQ(why_not(profile(Use::whole), "0000:41:00.0"), "");
  section("0000:41:00.0", Use::whole);
  EXPECT_EQ(why_not(any, "0000:41:00.0"), "");
}

TEST_F(PoolTest, nor_with_a_nic_unless_the_companion_has_no_driver_of_the_host) {
  host_.pci_gpu("0000:41:00.0");
  host_.pci_gpu("0000:41:00.2")
      .attribute("class", "0x0c0330")
      .driver("xhci_hcd")
      .attribute("usb5/5-1/5-1:1.0/net/enx0/address", "0");
  host_.iommu_group(7, {"0000:41:00.0", "0000:41:00.2"});
  Profile any = profile(Use::whole);
  any.is_configured = false;
  EXPECT_THAT(why_not(any, "0000:41:00.0"), HasSubstr("has network interface enx0 of the host"));
}

TEST_F(PoolTest, the_console_may_be_on_a_framebuffer) {
  host_.pci_gpu("0000:41:00.0").attribute("graphics/fb0/dev", "29:0");
  EXPECT_THAT(why_not(profile(Use::whole), "0000:41:00.0"), HasSubstr("boot display"));
  host_.pci_gpu("0000:42:00.0").attribute("graphics/fb1/dev", "29:1");
  EXPECT_EQ(why_not(profile(Use::whole), "0000:42:00.0"), "");
}

TEST_F(PoolTest, a_parent_of_mdevs_is_given_whole_only_by_name) {
  host_.parent("0000:41:00.0").type("nvidia-63", 4);
  EXPECT_THAT(why_not(profile(Use::whole), "0000:41:00.0"), HasSubstr("supports mediated devices"));
  section("0000:41:00.0", Use::whole);
  EXPECT_EQ(why_not(profile(Use::whole), "0000:41:00.0"), "");
}

TEST_F(PoolTest, why_it_is_empty_is_told_device_by_device) {
  host_.pci_gpu("0000:41:00.0").attribute("boot_vga", "1");
  host_.pci_gpu("0000:42:00.0").attribute("class", "0x020000");
  EXPECT_THAT(explain_empty_pool(host_.root(), config_, profile(Use::whole)),
              HasSubstr("0000:41:00.0: boot display of the host"));
  EXPECT_THAT(explain_empty_pool(host_.root(), config_, profile(Use::whole, {"0000:42:00.0"})),
              HasSubstr("0000:42:00.0: neither"));
  EXPECT_EQ(explain_empty_pool(host_.root(), config_, profile(Use::vf)),
            "no GPU of this host is named by the profile");
}

TEST_F(PoolTest, of_many_three_are_told) {
  for (const char* bus : {"41", "42", "43", "44"})
    host_.pci_gpu("0000:" + std::string(bus) + ":00.0").attribute("boot_vga", "1");
  const std::string why = explain_empty_pool(host_.root(), config_, profile(Use::whole));
  EXPECT_THAT(why, HasSubstr("0000:43:00.0: boot display"));
  EXPECT_THAT(why, testing::EndsWith("; ..."));
  EXPECT_THAT(why, testing::Not(HasSubstr("0000:44:00.0: the host")));
}

TEST_F(PoolTest, use_and_gpu_say_which) {
  for (const char* address : {"0000:41:00.0", "0000:42:00.0", "0000:43:00.0", "0000:44:00.0"})
    host_.pci_gpu(address);
  host_.pci_gpu("0000:44:00.0").pci_id(0x10de, 0x2236);
  section("0000:41:00.0", Use::off);
  section("0000:42:00.0", Use::vf);
  EXPECT_THAT(pool(profile(Use::whole)), ElementsAre("0000:43:00.0", "0000:44:00.0"));
  EXPECT_THAT(pool(profile(Use::whole, {"10de:2236"})), ElementsAre("0000:44:00.0"));
  EXPECT_THAT(pool(profile(Use::whole, {"0000:41:00.0", "0000:43:00.0"})),
              ElementsAre("0000:43:00.0"));
  EXPECT_THAT(why_not(profile(Use::whole, {"10de:2236"}), "0000:43:00.0"),
              HasSubstr("[profile p]"));
}

TEST_F(PoolTest, other_hardware_than_expected_is_of_no_pool) {
  host_.pci_gpu("0000:41:00.0")
      .attribute("subsystem_vendor", "0x10de")
      .attribute("subsystem_device", "0x145a");
  section("0000:41:00.0", Use::whole).expect.subsystem = "10de:1467";
  const std::string why = why_not(profile(Use::whole), "0000:41:00.0");
  EXPECT_THAT(why, HasSubstr("10de:145a"));
  EXPECT_THAT(why, HasSubstr("10de:1467"));
}

TEST_F(PoolTest, nor_are_the_vfs_of_such_hardware) {
  host_.sriov("0000:41:00.0", 4);
  section("0000:41:00.0", Use::vf).expect.slot = "9";
  EXPECT_THAT(pool(profile(Use::vf)), IsEmpty()) << "those that are yet to be made";
  host_.set_vfs("0000:41:00.0", 1);
  EXPECT_THAT(why_not(profile(Use::vf), "0000:41:00.1"), HasSubstr("expects slot:9"));
}

// ---- virtual functions

TEST_F(PoolTest, vfs_are_those_of_a_pf_that_is_for_them) {
  host_.sriov("0000:41:00.0", 4);
  host_.pci_gpu("0000:41:00.0").attribute("class", "0x010802");
  host_.set_vfs("0000:41:00.0", 2);
  for (const char* vf : {"0000:41:00.1", "0000:41:00.2"})
    host_.pci_gpu(vf).attribute("class", "0x010802");
  EXPECT_THAT(pool(profile(Use::vf)), IsEmpty());
  EXPECT_THAT(why_not(profile(Use::vf), "0000:41:00.1"),
              HasSubstr("use = vf in [gpu 0000:41:00.0]"));
  section("0000:41:00.0", Use::vf);
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1", "0000:41:00.2"));
  EXPECT_EQ(why_not(profile(Use::vf), "0000:41:00.0"), "not a virtual function (VF)");
  EXPECT_EQ(why_not(profile(Use::whole), "0000:41:00.1"), "virtual function (VF)");
}

TEST_F(PoolTest, a_section_that_names_a_vf_counts_more_than_its_pfs) {
  host_.sriov("0000:41:00.0", 2);
  section("0000:41:00.0", Use::vf);
  section("0000:41:00.1", Use::off);
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.2 coming"));
  host_.set_vfs("0000:41:00.0", 2);
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.2"));
  EXPECT_THAT(why_not(profile(Use::vf), "0000:41:00.1"), HasSubstr("section of 0000:41:00.1"));
  config_.gpus[0].use = Use::off;
  EXPECT_THAT(pool(profile(Use::vf)), IsEmpty());
  config_.gpus[1].use = Use::vf;
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1"));
}

TEST_F(PoolTest, a_profile_may_name_single_vfs) {
  host_.sriov("0000:41:00.0", 2);
  section("0000:41:00.0", Use::vf);
  EXPECT_THAT(pool(profile(Use::vf, {"0000:41:00.2"})), ElementsAre("0000:41:00.2 coming"));
  host_.set_vfs("0000:41:00.0", 2);
  EXPECT_THAT(pool(profile(Use::vf, {"0000:41:00.2"})), ElementsAre("0000:41:00.2"));
}

TEST_F(PoolTest, what_all_sections_expect_is_expected_of_the_card) {
  host_.sriov("0000:41:00.0", 1);
  host_.set_vfs("0000:41:00.0", 1);
  host_.pci_gpu("0000:41:00.0")
      .attribute("subsystem_vendor", "0x10de")
      .attribute("subsystem_device", "0x145a");
  section("*", Use::vf).expect.subsystem = "10de:145a";
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1"));
}

TEST_F(PoolTest, vfs_of_gpus_that_somebody_made_need_no_section) {
  host_.sriov("0000:41:00.0", 4);
  host_.set_vfs("0000:41:00.0", 1);
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1"));
  section("0000:41:00.0", Use::vendor_vf);
  EXPECT_THAT(pool(profile(Use::vf)), IsEmpty());
}

TEST_F(PoolTest, a_section_for_all_makes_no_vf_of_another_device_a_gpu) {
  host_.pci_gpu("0000:41:00.0").attribute("class", "0x020000");
  host_.sriov("0000:41:00.0", 4);
  section("*", Use::vf);
  EXPECT_THAT(pool(profile(Use::vf)), IsEmpty());
  host_.set_vfs("0000:41:00.0", 1);
  host_.pci_gpu("0000:41:00.1").attribute("class", "0x020000");
  EXPECT_THAT(why_not(profile(Use::vf), "0000:41:00.1"), HasSubstr("neither display"));
  section("0000:41:00.0", Use::vf);
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1"));
}

TEST_F(PoolTest, vfs_that_will_be_made_count) {
  host_.sriov("0000:41:00.0", 4);
  EXPECT_THAT(pool(profile(Use::vf)), IsEmpty());
  section("0000:41:00.0", Use::vf);
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1 coming", "0000:41:00.2 coming",
                                                  "0000:41:00.3 coming", "0000:41:00.4 coming"));
  config_.gpus[0].vfs = 1;
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1 coming"));
  EXPECT_EQ(why_not(profile(Use::vf), "0000:41:00.1"), "");
  EXPECT_EQ(why_not(profile(Use::vf), "0000:41:00.2"), "device does not exist");
}

TEST_F(PoolTest, vfs_that_will_be_made_are_as_many_as_there_can_be_and_none_beside_others) {
  host_.sriov("0000:41:00.0", 2);
  section("0000:41:00.0", Use::vf).vfs = 5;
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1 coming", "0000:41:00.2 coming"));
  EXPECT_THAT(pool(profile(Use::vf, {"0000:42:00.0"})), IsEmpty());
  host_.set_vfs("0000:41:00.0", 1);
  EXPECT_THAT(pool(profile(Use::vf)), ElementsAre("0000:41:00.1"));
}

TEST_F(PoolTest, a_vf_is_as_near_as_its_pf) {
  host_.sriov("0000:41:00.0", 2);
  host_.pci_gpu("0000:41:00.0").numa_node(1);
  section("0000:41:00.0", Use::vf);
  const auto node = [&] {
    return pool_of(host_.root(), config_, profile(Use::vf)).at(0).numa_node;
  };
  EXPECT_EQ(node(), 1) << "yet to be made";
  host_.set_vfs("0000:41:00.0", 1);
  EXPECT_EQ(node(), 1);
}

TEST_F(PoolTest, a_vf_is_plugged_in_where_its_pf_is) {
  host_.pci_gpu("0000:00:01.0").attribute("class", "0x060400");
  host_.sriov("0000:41:00.0", 2);
  host_.move_below("0000:00:01.0", "0000:41:00.0");
  section("0000:41:00.0", Use::vf);
  const auto vf = pool_of(host_.root(), config_, profile(Use::vf)).at(0);
  EXPECT_EQ(vf.bus, (BusPath{at("0000:00:00.0"), {at("0000:00:01.0")}})) << "yet to be made";
  const auto spots = spots_of(host_.root(), {at("0000:41:00.0"), at("0000:42:00.0")});
  ASSERT_THAT(spots, SizeIs(1));
  EXPECT_EQ(distance(spots[0], {vf.physical_function.value(), {}, vf.bus}), Distance::one_switch);
}

TEST_F(PoolTest, vendor_vfs_have_nvidias_directory) {
  host_.sriov("0000:41:00.0", 4);
  host_.set_vfs("0000:41:00.0", 2);
  host_.pci_gpu("0000:41:00.2").attribute("nvidia/current_vgpu_type", "0");
  EXPECT_THAT(pool(profile(Use::vendor_vf)), ElementsAre("0000:41:00.2"));
  EXPECT_THAT(why_not(profile(Use::vendor_vf), "0000:41:00.1"),
              HasSubstr("no nvidia/current_vgpu_type"));
}

// ---- driver = keep

TEST_F(PoolTest, of_a_profile_that_keeps_the_driver_are_those_that_a_vfio_driver_has) {
  host_.pci_gpu("0000:41:00.0").driver("nouveau");
  host_.pci_gpu("0000:42:00.0").driver("vfio-pci");
  host_.pci_gpu("0000:42:00.1").attribute("class", "0x040300").driver("snd_hda_intel");
  host_.iommu_group(9, {"0000:42:00.0", "0000:42:00.1"});
  host_.pci_gpu("0000:43:00.0");
  host_.pci_gpu("0000:44:00.0").driver("pci-stub");
  Profile kept = profile(Use::whole);
  EXPECT_THAT(pool(kept), SizeIs(4));
  kept.keep_driver = true;
  EXPECT_THAT(pool(kept), IsEmpty());
  const std::string requires_one = ", and driver = keep in [profile p] requires a driver of VFIO's";
  EXPECT_EQ(explain_empty_pool(host_.root(), config_, kept),
            "0000:41:00.0: device is bound to nouveau" + requires_one +
                "; run: driverctl set-override 0000:41:00.0 vfio-pci; 0000:42:00.0: companion "
                "0000:42:00.1 is bound to snd_hda_intel" +
                requires_one +
                "; run: driverctl set-override 0000:42:00.1 vfio-pci; 0000:43:00.0: device is "
                "bound to no driver" +
                requires_one + "; run: driverctl set-override 0000:43:00.0 vfio-pci; ...");
  host_.pci_gpu("0000:42:00.1").driver("vfio-pci");
  host_.pci_gpu("0000:43:00.0").driver("variant").attribute("vfio-dev/vfio0/dev", "1:2");
  EXPECT_THAT(pool(kept), ElementsAre("0000:42:00.0+0000:42:00.1", "0000:43:00.0"));
}

/// Whoever binds them can only once they are there.
TEST_F(PoolTest, of_a_profile_that_keeps_the_driver_no_vf_is_to_be_enabled) {
  host_.sriov("0000:42:00.0", 2);
  section("0000:42:00.0", Use::vf);
  Profile kept = profile(Use::vf);
  EXPECT_THAT(pool(kept), SizeIs(2));
  kept.keep_driver = true;
  EXPECT_THAT(pool(kept), IsEmpty());
  EXPECT_THAT(explain_empty_pool(host_.root(), config_, kept),
              HasSubstr("0000:42:00.0: VF is not enabled, and driver = keep in [profile p]"));
  host_.set_vfs("0000:42:00.0", 2);
  host_.pci_gpu("0000:42:00.2").driver("vfio-pci");
  EXPECT_THAT(pool(kept), ElementsAre("0000:42:00.2"));
}

// ---- groups

TEST_F(PoolTest, a_group_is_viable_when_nobody_else_uses_its_members) {
  host_.pci_gpu("0000:41:00.0").driver("nouveau");
  host_.pci_gpu("0000:41:00.1").attribute("class", "0x040300").driver("snd_hda_intel");
  host_.pci_gpu("0000:40:01.0").attribute("class", "0x060400").driver("pcieport");
  host_.iommu_group(9, {"0000:41:00.1", "0000:41:00.0", "0000:40:01.0"});
  const auto group = iommu_group_of(host_.root(), at("0000:41:00.0"));
  ASSERT_TRUE(group);
  EXPECT_EQ(group->number, 9u);
  EXPECT_THAT(group->members,
              ElementsAre(at("0000:40:01.0"), at("0000:41:00.0"), at("0000:41:00.1")));
  const Verdict verdict = viability(host_.root(), *group, {at("0000:41:00.0")});
  EXPECT_EQ(without_remedy(verdict.reason),
            "IOMMU group 9 is not viable: 0000:41:00.1 is bound to host driver snd_hda_intel");
  EXPECT_TRUE(viability(host_.root(), *group, group->members));
  host_.pci_gpu("0000:41:00.1").driver("vfio-pci");
  EXPECT_TRUE(viability(host_.root(), *group, {at("0000:41:00.0")}));
  host_.pci_gpu("0000:41:00.1").driver("pci-stub");
  EXPECT_TRUE(viability(host_.root(), *group, {at("0000:41:00.0")}));
  host_.pci_gpu("0000:41:00.1").without("driver");
  EXPECT_TRUE(viability(host_.root(), *group, {at("0000:41:00.0")}));
  host_.pci_gpu("0000:41:00.1").driver("variant").attribute("vfio-dev/vfio0/dev", "1:2");
  EXPECT_TRUE(viability(host_.root(), *group, {at("0000:41:00.0")}));
  EXPECT_FALSE(iommu_group_of(host_.root(), at("0000:99:00.0")));
}

}  // namespace
}  // namespace gpuward
