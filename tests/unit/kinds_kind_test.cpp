// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kinds/kind.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_host.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/types.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(KindTest, each_kind_has_a_row_with_what_its_traits_promise) {
  for (const UseTraits& traits : use_traits) {
    SCOPED_TRACE(traits.word);
    const Kind& kind = kind_of(traits.use);
    EXPECT_EQ(kind.use, traits.use);
    if (is_off(traits.use)) continue;
    EXPECT_TRUE(kind.is_offered);
    EXPECT_EQ(kind.types != nullptr, traits.has_types);
    EXPECT_EQ(kind.type_name != nullptr, traits.has_types);
    EXPECT_EQ(kind.parts != nullptr, traits.has_types || traits.is_vf);
    EXPECT_EQ(kind.to_be_enabled != nullptr, traits.is_vf);
    EXPECT_EQ(kind.require_adoptable != nullptr, traits.can_be_adopted);
    EXPECT_EQ(kind.remove_unclaimed != nullptr, traits.can_be_adopted);
    // prepare sets PCI devices up one by one; release always tears mdevs down.
    EXPECT_EQ(kind.find != nullptr, is_pci(traits.use));
    EXPECT_EQ(kind.is_of_kind != nullptr, is_pci(traits.use));
    EXPECT_EQ(kind.set_up != nullptr, is_pci(traits.use));
    EXPECT_EQ(kind.require_set_up != nullptr, is_mediated(traits.use));
    EXPECT_EQ(kind.tear_down != nullptr, is_mediated(traits.use) || traits.has_types);
  }
}

TEST(KindTest, off_has_a_row_without_functions) {
  const Kind& off = kind_of(Use::off);
  EXPECT_FALSE(off.is_offered);
  EXPECT_FALSE(off.types);
  EXPECT_FALSE(off.find);
  EXPECT_FALSE(off.set_up);
  EXPECT_FALSE(off.tear_down);
}

/// A PF with a VF.
class VfTest : public testing::Test {
 protected:
  VfTest() {
    host_.pci_gpu("0000:41:00.0")
        .attribute("sriov_totalvfs", "4")
        .link("virtfn0", "../0000:41:00.4");
    vf().link("physfn", "../0000:41:00.0");
  }
  FakeDevice& vf() { return host_.pci_gpu("0000:41:00.4"); }
  void add_vgpu_driver(const std::string& creatable) {
    vf().attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types", creatable);
  }
  PciDevice device(const std::string& address) const {
    return *find_pci_device(host_.root(), at(address));
  }
  Use use_of(const std::string& address) const {
    return use_of_device(host_.root(), device(address));
  }
  Gpu gpu() const { return read_gpus(host_.root(), {}).at(0); }
  FakeHost host_;
};

TEST_F(VfTest, a_device_is_of_the_kind_that_its_driver_makes_it) {
  EXPECT_EQ(use_of("0000:41:00.0"), Use::whole);
  EXPECT_EQ(use_of("0000:41:00.4"), Use::vf);
  add_vgpu_driver("1145 : NVIDIA L40S-1B");
  EXPECT_EQ(use_of("0000:41:00.0"), Use::whole);
  EXPECT_EQ(use_of("0000:41:00.4"), Use::vendor_vf);
}

TEST_F(VfTest, by_hand_what_the_driver_offers_is_left_alone) {
  add_vgpu_driver("1145 : NVIDIA L40S-1B");
  EXPECT_EQ(use_by_hand(device("0000:41:00.4")), Use::vf);
  EXPECT_EQ(use_by_hand(device("0000:41:00.0")), Use::whole);
}

TEST_F(VfTest, what_a_gpu_is_offered_as_is_in_the_order_of_list_gpus) {
  EXPECT_THAT(kinds_of(gpu()), ElementsAre(Use::vf, Use::whole));
  add_vgpu_driver("1145 : NVIDIA L40S-1B");
  EXPECT_THAT(kinds_of(gpu()), ElementsAre(Use::vendor_vf, Use::whole));
}

TEST_F(VfTest, types_are_those_of_the_kind_that_the_gpu_offers) {
  EXPECT_THAT(types_of(host_.root(), gpu()), IsEmpty());
  add_vgpu_driver("1145 : NVIDIA L40S-1B");
  const auto types = types_of(host_.root(), gpu());
  ASSERT_EQ(types.size(), 1U);
  EXPECT_EQ(types[0].use, Use::vendor_vf);
  EXPECT_EQ(types[0].id, "1145");
}

TEST_F(VfTest, a_vgpu_that_no_claim_names_is_named_as_the_vfs_list_it) {
  add_vgpu_driver("1145 : NVIDIA L40S-1B");
  TypeNames names(host_.root());
  EXPECT_EQ(names.of(unclaimed_vgpu("0000:41:00.0", 1145)), "NVIDIA L40S-1B");
  EXPECT_EQ(names.of(unclaimed_vgpu("0000:41:00.0", 1146)), "");
}

TEST_F(VfTest, of_a_kind_without_types_there_is_no_name) {
  add_vgpu_driver("1145 : NVIDIA L40S-1B");
  TypeNames names(host_.root());
  GpuInstance card = unclaimed_vgpu("0000:41:00.0", 1145);
  card.use = Use::whole;
  EXPECT_EQ(names.of(card), "");
}

}  // namespace
}  // namespace gpuward
