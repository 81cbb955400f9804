// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/gpu_types.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "allocation/capacity.hpp"
#include "fake_host.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/type_names.hpp"
#include "kinds/types.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const Uuid one = *parse_uuid("00000000-0000-5000-8000-000000000001");

GpuType sized(const std::string& name, const std::string& description) {
  GpuType type{.id = "t", .name = name, .description = description};
  add_size(type);
  return type;
}

TEST(TypeSizeTest, nvidia_says_its_framebuffer) {
  const GpuType type = sized("NVIDIA A40-12Q",
                             "num_heads=4, frl_config=60, framebuffer=12288M, "
                             "max_resolution=7680x4320, max_instance=4");
  EXPECT_EQ(type.memory_mib, 12288U);
  EXPECT_EQ(type.most, 4U);
  EXPECT_THAT(type.takes, ElementsAre(0, 12288));
  EXPECT_TRUE(type.one_size);
}

TEST(TypeSizeTest, without_a_description_the_name_of_a_vgpu_says_it) {
  EXPECT_EQ(sized("NVIDIA L40S-12Q", "").memory_mib, 12288U);
  EXPECT_EQ(sized("NVIDIA RTX6000-Ada-48Q", "").memory_mib, 49152U);
  EXPECT_EQ(sized("GRID M60-0B", "").memory_mib, 512U) << "0 is 512 MiB";
  EXPECT_EQ(sized("NVIDIA H100-1-10CME", "").memory_mib, 10240U);
  for (const char* const other : {"", "12Q", "small", "A40-Q", "A40-12Qx", "A40-12X", "mtty-1",
                                  "A40-9999Q", "i915-GVTg_V5_4"})
    EXPECT_FALSE(sized(other, "").memory_mib) << other;
}

TEST(TypeSizeTest, no_memory_is_unknown_memory) {
  const GpuType type = sized("NVIDIA L40S-12Q", "framebuffer=0M, max_instance=4");
  EXPECT_FALSE(type.memory_mib);
  EXPECT_THAT(type.takes, IsEmpty());
  EXPECT_FALSE(type.one_size);
}

TEST(TypeSizeTest, a_profile_of_gpu_instances_has_slices_and_memory) {
  const GpuType type = sized("MIG 2g.10gb+gfx", "");
  EXPECT_EQ(type.memory_mib, 10240U);
  EXPECT_THAT(type.takes, ElementsAre(2, 10240));
  EXPECT_TRUE(type.of_mig);
  EXPECT_EQ(type.has_graphics, true);
  EXPECT_EQ(sized("MIG 1g.10gb", "").has_graphics, false);
  for (const char* const other : {"MIG ", "MIG g.10gb", "MIG 1.10gb", "1g.10gb", "MIG 1g.gb"})
    EXPECT_FALSE(sized(other, "").of_mig) << other;
}

TEST(TypeSizeTest, of_mig_the_slices_count_too) {
  const GpuType type = sized("GRID A100-2-10C", "framebuffer=10240M, max_instance=3");
  EXPECT_THAT(type.takes, ElementsAre(2, 10240));
  EXPECT_FALSE(type.one_size);
}

TEST(TypeSizeTest, gvt_says_low_and_high) {
  const GpuType type = sized("GVTg_V5_4",
                             "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\n"
                             "resolution: 1920x1200\nweight: 4");
  EXPECT_EQ(type.memory_mib, 640U);
  EXPECT_THAT(type.takes, ElementsAre(4, 128, 512));
}

TEST(TypeSizeTest, mbochs_says_its_video_memory) {
  const GpuType type = sized("small", "virtual display, 4 MB video memory");
  EXPECT_EQ(type.memory_mib, 4U);
  EXPECT_THAT(type.takes, ElementsAre(4));
  EXPECT_FALSE(type.one_size);
  EXPECT_FALSE(sized("vga", "virtual display, 640x480 framebuffer").memory_mib);
}

TEST(CardMemoryTest, is_that_of_the_model_in_the_name) {
  EXPECT_EQ(card_memory_of_vgpu("NVIDIA L40S-1B"), 49152U);
  EXPECT_EQ(card_memory_of_vgpu("NVIDIA RTX6000-Ada-2Q"), 49152U);
  EXPECT_EQ(card_memory_of_vgpu("GRID A100D-1-10C"), 81920U);
  EXPECT_EQ(card_memory_of_vgpu("NVIDIA A100X-10C"), 40960U);
  EXPECT_EQ(card_memory_of_vgpu("NVIDIA A100DX-10C"), 81920U);
  EXPECT_EQ(card_memory_of_vgpu("NVIDIA RTXA5500-2Q"), 24576U);
  EXPECT_EQ(card_memory_of_vgpu("NVIDIA H200X-141C"), 141U * 1024);
  EXPECT_FALSE(card_memory_of_vgpu("NVIDIA Z9-1B"));
  EXPECT_FALSE(card_memory_of_vgpu("small"));
}

/// A card of NVIDIA's with four VFs, of which each offers two types.
class TypesTest : public testing::Test {
 protected:
  TypesTest() {
    host_.sriov(card_, 4);
    host_.pci_gpu(card_).pci_id(0x10de, 0x2235);
    host_.set_vfs(card_, 4);
    for (int number = 1; number <= 4; ++number) {
      auto& vf = host_.parent("0000:41:00." + std::to_string(number));
      for (const auto& [id, name, most] :
           {std::tuple("nvidia-559", "NVIDIA A40-12Q", 4), {"nvidia-560", "NVIDIA A40-24Q", 2}}) {
        vf.type(id, 1);
        const std::string path = "mdev_supported_types/" + std::string(id);
        vf.attribute(path + "/name", name);
        vf.attribute(path + "/description", "framebuffer=" + std::to_string(49152 / most) +
                                                "M, max_instance=" + std::to_string(most));
      }
    }
  }
  Gpu gpu() { return read_gpus(host_.root(), {}).at(0); }
  GpuMemory memory() {
    const Host host = read_host(host_.root(), {});
    auto uses = use_of_gpus(host_.root(), host.gpus, host.instances);
    return memory_of(host_.root(), host.gpus.at(0), catalogue_of(host_.root(), host.gpus.at(0)),
                     uses[card_], host.instances);
  }
  const std::string card_ = "0000:41:00.0";
  FakeHost host_;
};

TEST_F(TypesTest, of_a_card_there_is_one_of_each_and_not_one_per_vf) {
  const auto types = types_of(host_.root(), gpu());
  ASSERT_THAT(types, SizeIs(2));
  EXPECT_EQ(types[0].id, "nvidia-559");
  EXPECT_EQ(types[0].name, "NVIDIA A40-12Q");
  ASSERT_THAT(types[0].on, SizeIs(4));
  EXPECT_EQ(types[0].on[3].parent, "0000:41:00.4");
  EXPECT_EQ(types[0].on[3].available, 1U);
}

TEST_F(TypesTest, only_those_asked_for_are_counted) {
  const std::vector<std::string> wanted{"nvidia-560"};
  const auto types = types_of(host_.root(), gpu(), &wanted);
  ASSERT_THAT(types, SizeIs(2));
  EXPECT_THAT(types[0].on, IsEmpty());
  EXPECT_THAT(types[1].on, SizeIs(4));
  EXPECT_THAT(catalogue_of(host_.root(), gpu()), SizeIs(2));
}

TEST_F(TypesTest, memory_is_that_of_what_exists) {
  EXPECT_EQ(memory().total_mib, 49152U);
  EXPECT_EQ(memory().given_mib, 0U);
  host_.instance("0000:41:00.2", "nvidia-559", one);
  EXPECT_EQ(memory().given_mib, 12288U);
}

TEST_F(TypesTest, a_part_that_is_not_known_makes_the_sum_unknown) {
  host_.instance("0000:41:00.2", "nvidia-559", one);
  host_.instance_without_type("0000:41:00.3", *parse_uuid("00000000-0000-5000-8000-000000000002"));
  EXPECT_EQ(memory().total_mib, 49152U);
  EXPECT_FALSE(memory().given_mib);
}

/// Neither does one in quarantine that is gone.
TEST_F(TypesTest, what_does_not_exist_takes_no_memory) {
  const Claims claims(host_.root());
  claims.make_ready();
  claims.write(
      {one,
       "vm1",
       {{ClaimedDevice::State::quarantined, "-", "-", one, "0000:41:00.2", "nvidia-559"}}});
  EXPECT_EQ(memory().given_mib, 0U);
  const Host host = read_host(host_.root(), {});
  auto uses = use_of_gpus(host_.root(), host.gpus, host.instances);
  EXPECT_THAT(present_types(uses[card_], host.instances), IsEmpty());
  host_.instance("0000:41:00.2", "nvidia-559", one);
  EXPECT_EQ(memory().given_mib, 12288U);
}

TEST_F(TypesTest, amdgpu_says_its_memory) {
  host_.pci_gpu("0000:03:00.0").attribute("mem_info_vram_total", "17163091968");
  const Host host = read_host(host_.root(), {});
  EXPECT_EQ(memory_of(host_.root(), host.gpus.at(0), {}, {}, {}).total_mib, 16368U);
}

TEST_F(TypesTest, an_mdev_is_named_as_its_vendor_names_it) {
  host_.instance("0000:41:00.2", "nvidia-559", one);
  TypeNames names(host_.root());
  const Host host = read_host(host_.root(), {});
  EXPECT_EQ(names.of(host.instances.at(0)), "NVIDIA A40-12Q");
}

TEST(TypeNamesTest, a_vgpu_is_named_as_free_vfs_of_its_card_list_it) {
  FakeHost host;
  host.sriov("0000:41:00.0", 2);
  host.set_vfs("0000:41:00.0", 2);
  host.pci_gpu("0000:41:00.1").attribute("nvidia/current_vgpu_type", "1153");
  host.pci_gpu("0000:41:00.2")
      .attribute("nvidia/current_vgpu_type", "0")
      .attribute("nvidia/creatable_vgpu_types", "ID : vGPU Name\n1153 : NVIDIA L40S-12Q\n");
  TypeNames names(host.root());
  GpuInstance vgpu{.instance = {{}, "0000:41:00.0", "1153"}, .use = Use::vendor_vf};
  EXPECT_EQ(names.of(vgpu), "NVIDIA L40S-12Q");
  vgpu.instance.type = "1154";
  EXPECT_EQ(names.of(vgpu), "");
  const Host read = read_host(host.root(), {});
  auto uses = use_of_gpus(host.root(), read.gpus, read.instances);
  const GpuMemory memory =
      memory_of(host.root(), read.gpus.at(0), catalogue_of(host.root(), read.gpus.at(0)),
                uses["0000:41:00.0"], read.instances);
  EXPECT_EQ(memory.total_mib, 49152U);
  EXPECT_EQ(memory.given_mib, 12288U);
}

}  // namespace
}  // namespace gpuward
