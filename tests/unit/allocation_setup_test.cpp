// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/setup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/request_words.hpp"
#include "inventory/gpu_types.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A card that can be assigned as a whole.
SetupGpu card(const std::string& address, uint16_t device = 0x2236) {
  SetupGpu gpu;
  gpu.gpu.parent = {{address, *parse_pci_address(address), 0x10de, device}};
  gpu.gpu.pci_class = 0x030200;
  gpu.gpu.driver = "nvidia";
  gpu.gpu.iommu_group = 1;
  gpu.model = "A10";
  return gpu;
}

/// With mdevs of these types: name, MiB.
SetupGpu card_with_types(const std::string& address,
                         const std::vector<std::pair<std::string, unsigned>>& types) {
  SetupGpu gpu = card(address);
  gpu.gpu.mdev_parents = {address};
  for (const auto& [name, mib] : types) {
    GpuType type{.id = "nvidia-" + std::to_string(gpu.types.size()),
                 .name = name,
                 .description = "framebuffer=" + std::to_string(mib) +
                                "M, max_instance=" + std::to_string(24576 / mib)};
    add_size(type);
    type.on = {{address, 24576 / mib}};
    gpu.types.push_back(std::move(type));
  }
  gpu.room = card_room(gpu.gpu, gpu.types, {});
  gpu.memory.total_mib = 24576;
  return gpu;
}

/// Of Intel, with so many VFs that are enabled.
SetupGpu card_with_vfs(const std::string& address, unsigned count) {
  SetupGpu gpu = card(address);
  gpu.gpu.parent.vendor = 0x8086;
  gpu.gpu.driver = "xe";
  gpu.gpu.most_vfs = 24;
  gpu.sets_vfs = true;
  PciAddress vf = *parse_pci_address(address);
  for (unsigned number = 1; number <= count; ++number) {
    vf.function = static_cast<uint8_t>(number);
    gpu.gpu.vfs.push_back(vf);
  }
  return gpu;
}

std::vector<std::string> names(const Setup& setup) {
  std::vector<std::string> names;
  for (const SetupProfile& profile : setup.profiles) names.push_back(profile.name);
  return names;
}

std::vector<std::string> types(const Setup& setup) {
  std::vector<std::string> types;
  for (const SetupProfile& profile : setup.profiles) types.push_back(profile.type_name);
  return types;
}

/// What is said of the one card of the host, which is left alone.
LeftAlone left_alone(const SetupHost& host) {
  const auto setup = propose_setup(host);
  EXPECT_THAT(setup.sections, IsEmpty());
  EXPECT_THAT(setup.profiles, IsEmpty());
  if (setup.left_alone.size() != 1) return {};
  return {nullptr, setup.left_alone[0].reason, setup.left_alone[0].is_off};
}

TEST(SetupTest, a_card_with_types_has_the_smallest_half_of_it_and_the_largest) {
  const SetupHost host{.gpus = {card_with_types("0000:41:00.0", {{"NVIDIA A10-24Q", 24576},
                                                                 {"NVIDIA A10-12Q", 12288},
                                                                 {"NVIDIA A10-8Q", 8192},
                                                                 {"NVIDIA A10-1Q", 1024}})}};
  const auto setup = propose_setup(host);
  EXPECT_THAT(names(setup), ElementsAre("small", "medium", "large"));
  EXPECT_THAT(types(setup), ElementsAre("NVIDIA A10-1Q", "NVIDIA A10-12Q", "NVIDIA A10-24Q"));
  ASSERT_EQ(setup.sections.size(), 1U);
  EXPECT_EQ(setup.sections[0].use, Use::mdev);
  EXPECT_EQ(setup.profiles[1].most, 2U);
}

TEST(SetupTest, types_with_graphics_and_compute_come_before_others) {
  const SetupHost both{.gpus = {card_with_types("0000:41:00.0", {{"NVIDIA A10-1B", 1024},
                                                                 {"NVIDIA A10-4C", 4096},
                                                                 {"NVIDIA A10-8Q", 8192}})}};
  EXPECT_THAT(types(propose_setup(both)), ElementsAre("NVIDIA A10-8Q"));
  EXPECT_THAT(names(propose_setup(both)), ElementsAre("vgpu"));
  const SetupHost compute{.gpus = {card_with_types(
                              "0000:41:00.0", {{"NVIDIA A10-1B", 1024}, {"NVIDIA A10-4C", 4096}})}};
  EXPECT_THAT(types(propose_setup(compute)), ElementsAre("NVIDIA A10-4C"));
}

/// Of a card in MIG mode the driver lists types that need it off.
TEST(SetupTest, types_that_cannot_be_created_are_left_out_and_those_that_wait_are_not) {
  SetupHost host{.gpus = {card_with_types("0000:41:00.0",
                                          {{"NVIDIA A10-4Q", 4096}, {"NVIDIA A10-24Q", 24576}})}};
  SetupGpu& gpu = host.gpus[0];
  gpu.types[1].on[0].available = 0;
  gpu.room = card_room(gpu.gpu, gpu.types, {});
  EXPECT_THAT(types(propose_setup(host)), ElementsAre("NVIDIA A10-4Q"));
  gpu.room = card_room(gpu.gpu, gpu.types, {"nvidia-0"});
  EXPECT_THAT(types(propose_setup(host)), ElementsAre("NVIDIA A10-4Q", "NVIDIA A10-24Q"))
      << "all vGPUs of a card have one size at a time";
}

TEST(SetupTest, cards_of_one_model_share_their_profiles_and_others_have_a_prefix) {
  SetupHost host{.gpus = {card("0000:41:00.0"), card("0000:42:00.0")}};
  const auto setup = propose_setup(host);
  EXPECT_THAT(names(setup), ElementsAre("card"));
  EXPECT_EQ(setup.profiles[0].device, "10de:2236");
  EXPECT_THAT(setup.profiles[0].gpus, ElementsAre("0000:41:00.0", "0000:42:00.0"));
  host.gpus[1] = card("0000:42:00.0", 0x13f2);
  host.gpus[1].model = "Tesla M60";
  EXPECT_THAT(names(propose_setup(host)), ElementsAre("a10-card", "tesla-m60-card"));
}

TEST(SetupTest, no_profile_has_the_name_of_another_request) {
  SetupHost host{
      .gpus = {card_with_types("0000:41:00.0", {{"NVIDIA A10-4Q", 4096}, {"NVIDIA A10-8Q", 8192}})},
      .models = {"Large"}};
  host.gpus[0].types[0].id = "small";
  host.gpus[0].room.types[0].id = "small";
  EXPECT_THAT(names(propose_setup(host)), ElementsAre("small-2", "large-2"));
  for (const std::string& name : names(propose_setup(host)))
    EXPECT_TRUE(reserved_request(name).empty()) << name;
}

TEST(SetupTest, what_the_host_or_others_have_is_left_alone) {
  SetupHost host{.gpus = {card("0000:41:00.0")}};
  SetupGpu& gpu = host.gpus[0];
  gpu.not_whole = "boot display of the host";
  EXPECT_EQ(left_alone(host).reason, "boot display of the host");
  EXPECT_TRUE(left_alone(host).is_off);
  gpu.not_whole.clear();
  gpu.programs = {{812, "Xorg"}};
  EXPECT_EQ(left_alone(host).reason, "in use by process 812 (Xorg)");
  gpu.domains = {"web01"};  // whose QEMU that then is
  EXPECT_THAT(names(propose_setup(host)), ElementsAre("card"));
  gpu.domains.clear();
  gpu.programs.clear();
  gpu.unknown_programs = "/proc/1/fd: Permission denied";
  EXPECT_EQ(left_alone(host).reason,
            "which programs use it is unknown: /proc/1/fd: Permission denied");
  gpu.unknown_programs.clear();
  gpu.gpu.iommu_group.reset();
  EXPECT_THAT(left_alone(host).reason, HasSubstr("enable the IOMMU"));
}

/// use = off keeps a domain with such a hostdev from starting.
TEST(SetupTest, a_card_that_a_definition_has_by_hand_is_not_switched_off) {
  SetupHost host{.gpus = {card("0000:41:00.0")}};
  host.gpus[0].by_hand = {"db02"};
  EXPECT_EQ(left_alone(host).reason, "written by hand in the definition of domain 'db02'");
  EXPECT_FALSE(left_alone(host).is_off);
  host.gpus[0].by_hand.clear();
  host.gpus[0].programs = {{812, "Xorg"}};
  host.unknown_domains = {"libvirt", "no connection", {}};
  EXPECT_FALSE(left_alone(host).is_off);
}

/// Cards that definitions have, or may have, by hand: whatever they would be assigned as.
TEST(SetupTest, a_card_that_a_definition_may_have_is_left_alone_as_each_kind) {
  SetupHost host{.gpus = {card_with_types("0000:41:00.0", {{"NVIDIA A10-4Q", 4096}}),
                          card_with_vfs("0000:53:00.0", 2), card("0000:54:00.0")}};
  EXPECT_EQ(propose_setup(host).sections.size(), 3U);
  host.unknown_domains = {"libvirt", "no connection", {}};
  const auto unknown = propose_setup(host);
  EXPECT_THAT(unknown.sections, IsEmpty());
  ASSERT_EQ(unknown.left_alone.size(), 3U);
  for (const LeftAlone& left : unknown.left_alone) {
    EXPECT_EQ(left.reason, "which domains have it is unknown: libvirt: no connection");
    EXPECT_FALSE(left.is_off);
  }
  host.unknown_domains = {};
  for (SetupGpu& gpu : host.gpus) gpu.by_hand = {"db02"};
  const auto by_hand = propose_setup(host);
  ASSERT_EQ(by_hand.left_alone.size(), 3U);
  for (const LeftAlone& left : by_hand.left_alone)
    EXPECT_EQ(left.reason, "written by hand in the definition of domain 'db02'");
}

/// One of them may be in the pool of a profile that goes by vendor:device or type alone.
TEST(SetupTest, profiles_do_not_let_in_what_is_left_alone) {
  SetupHost host{.gpus = {card("0000:41:00.0"), card("0000:42:00.0")}};
  host.gpus[1].by_hand = {"db02"};
  auto setup = propose_setup(host);
  ASSERT_EQ(setup.profiles.size(), 1U);
  EXPECT_TRUE(setup.profiles[0].names_gpus);
  EXPECT_THAT(setup.profiles[0].gpus, ElementsAre("0000:41:00.0"));
  host = {.gpus = {card_with_types("0000:41:00.0", {{"NVIDIA A10-4Q", 4096}}),
                   card_with_types("0000:42:00.0", {{"NVIDIA A10-4Q", 4096}})}};
  EXPECT_FALSE(propose_setup(host).profiles.at(0).names_gpus);
  host.gpus[1].by_hand = {"db02"};
  setup = propose_setup(host);
  EXPECT_TRUE(setup.profiles.at(0).names_gpus);
  EXPECT_THAT(setup.profiles[0].gpus, ElementsAre("0000:41:00.0"));
}

TEST(SetupTest, a_device_at_qemus_command_line_is_written_by_hand) {
  const auto by_hand = [](const OnCommandLine& device) {
    std::vector<SetupGpu> gpus{card("0000:41:00.0"), card("0000:42:00.0")};
    gpus[0].parts = {"0000:41:00.0"};
    gpus[1].parts = {"0000:42:00.0", "0000:42:00.1", "00000000-0000-4000-8000-000000000001"};
    add_command_lines({device}, gpus);
    std::vector<std::string> found;
    for (const SetupGpu& gpu : gpus)
      if (gpu.by_hand.contains("db02")) found.push_back(gpu.gpu.parent.name);
    return found;
  };
  EXPECT_THAT(by_hand({"vfio-pci,host=42:00.0", "db02", true}), ElementsAre("0000:42:00.0"));
  EXPECT_THAT(by_hand({"vfio-pci,host=0000:42:00.1", "db02", false}), ElementsAre("0000:42:00.0"))
      << "its companion";
  EXPECT_THAT(by_hand({"vfio-pci,sysfsdev=/sys/bus/mdev/devices/"
                       "00000000-0000-4000-8000-000000000001",
                       "db02", true}),
              ElementsAre("0000:42:00.0"));
  EXPECT_THAT(by_hand({"vfio-pci,host=42:0.0", "db02", true}),
              ElementsAre("0000:41:00.0", "0000:42:00.0"))
      << "it may be either";
  EXPECT_THAT(by_hand({"vfio-pci,host=07:00.0", "db02", false}), IsEmpty()) << "a network card";
}

/// The hook would refuse a domain that is shut off now.
TEST(SetupTest, a_card_that_an_absent_device_may_be_on_is_not_switched_off) {
  const auto is_off = [](SetupGpu gpu, bool is_mdev) {
    SetupHost host{.gpus = {std::move(gpu)}};
    host.gpus[0].programs = {{812, "Xorg"}};
    for (GpuType& type : host.gpus[0].types) type.on.clear();
    host.gpus[0].room = card_room(host.gpus[0].gpu, host.gpus[0].types, {});
    add_absent({{is_mdev, {"web01"}}}, host.gpus);
    return left_alone(host).is_off;
  };
  EXPECT_TRUE(is_off(card("0000:41:00.0"), true)) << "it has neither mdevs nor VFs";
  EXPECT_FALSE(is_off(card_with_types("0000:41:00.0", {{"NVIDIA A10-4Q", 4096}}), true));
  EXPECT_TRUE(is_off(card_with_types("0000:41:00.0", {{"NVIDIA A10-4Q", 4096}}), false));
  EXPECT_FALSE(is_off(card_with_vfs("0000:41:00.0", 0), false));
  EXPECT_FALSE(is_off(card_with_vfs("0000:41:00.0", 0), true));
}

/// The domain is shut off: nothing of it is in use.
TEST(SetupTest, a_card_that_gpuward_attached_as_a_whole_stays_whole) {
  SetupHost host{.gpus = {card("0000:53:00.0")}};
  SetupGpu& gpu = host.gpus[0];
  gpu.gpu.most_vfs = 31;
  gpu.gpu.parent.vendor = 0x8086;
  gpu.gpu.driver = "i915";
  EXPECT_EQ(propose_setup(host).sections[0].use, Use::vf);
  gpu.attached = gpu.attached_whole = {"web01"};
  EXPECT_EQ(propose_setup(host).sections[0].use, Use::whole);
  gpu.programs = {{812, "Xorg"}};
  EXPECT_EQ(left_alone(host).reason, "in use by process 812 (Xorg)");
  EXPECT_FALSE(left_alone(host).is_off) << "which would keep web01 from starting";
}

TEST(SetupTest, vfs_that_are_enabled_are_enabled_again_where_the_kernel_can) {
  SetupHost host{.gpus = {card_with_vfs("0000:53:00.0", 2)}};
  EXPECT_EQ(propose_setup(host).sections.at(0).vfs, 2U);
  host.gpus[0].sets_vfs = false;
  EXPECT_FALSE(propose_setup(host).sections.at(0).vfs);
  host.gpus[0].gpu.iommu_group.reset();
  EXPECT_THAT(left_alone(host).reason, HasSubstr("enable the IOMMU"));
}

TEST(SetupTest, vfs_are_enabled_where_the_driver_gives_them_a_part) {
  SetupHost host{.gpus = {card("0000:53:00.0")}};
  SetupGpu& gpu = host.gpus[0];
  gpu.gpu.most_vfs = 31;
  EXPECT_EQ(propose_setup(host).sections[0].use, Use::whole) << "NVIDIA's need its vGPU driver";
  gpu.gpu.parent.vendor = 0x8086;
  gpu.gpu.driver = "i915";
  EXPECT_EQ(propose_setup(host).sections[0].use, Use::vf);
  EXPECT_EQ(propose_setup(host).sections[0].vfs, 4U);
  gpu.programs = {{812, "Xorg"}};
  EXPECT_EQ(left_alone(host).reason, "in use by process 812 (Xorg)");
  gpu.shows_console = true;
  EXPECT_THAT(left_alone(host).reason, HasSubstr("boot display"));
  gpu.gpu.vfs = {*parse_pci_address("0000:53:00.1")};
  EXPECT_EQ(propose_setup(host).sections[0].use, Use::vf) << "the host keeps its PF";
  EXPECT_FALSE(propose_setup(host).sections[0].vfs);
}

TEST(SetupTest, vgpus_on_vfs_need_a_libvirt_that_takes_them) {
  SetupHost host{.gpus = {card_with_types("0000:41:00.0", {{"NVIDIA A10-4Q", 4096}})}};
  host.gpus[0].gpu.mdev_parents.clear();
  host.gpus[0].gpu.offers_vgpus = true;
  host.gpus[0].types[0].use = Use::vendor_vf;
  EXPECT_EQ(propose_setup(host).profiles.at(0).type, "NVIDIA A10-4Q");
  host.no_vendor_vfs = "upgrade libvirt";
  EXPECT_EQ(left_alone(host).reason, "upgrade libvirt");
}

TEST(SetupTest, a_type_that_the_configuration_cannot_name_is_left_out) {
  SetupHost host{.gpus = {card_with_types("0000:41:00.0", {{"NVIDIA A10-4Q", 4096}})}};
  host.gpus[0].types[0].id = "x\ny";
  host.gpus[0].room.types[0].id = "x\ny";
  EXPECT_EQ(left_alone(host).reason, "no type of it can be created");
}

}  // namespace
}  // namespace gpuward
