// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/use.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpuward {
namespace {

TEST(UseTest, each_word_is_read_back) {
  for (const UseTraits& kind : use_traits) EXPECT_EQ(use_of(use_word(kind.use)), kind.use);
  EXPECT_EQ(use_word(Use::vendor_vf), "vendor-vf");
  EXPECT_FALSE(use_of("vendor_vf"));
  EXPECT_FALSE(use_of(""));
}

TEST(UseTest, the_kinds_with_a_trait_are_listed_for_messages) {
  EXPECT_EQ(list_uses(&UseTraits::has_instances), "mdev");
  EXPECT_EQ(list_uses(&UseTraits::has_types), "mdev, vendor-vf or mig");
  EXPECT_EQ(list_uses(&UseTraits::outlives_domain), "whole, vf, vendor-vf or mig");
}

TEST(UseTest, the_key_stands_before_each_of_two_and_once_before_more) {
  EXPECT_EQ(list_uses(&UseTraits::has_vf_quota, "use = "), "use = vf");
  EXPECT_EQ(list_uses(&UseTraits::is_vf, "use = "), "use = vf, vendor-vf or mig");
  EXPECT_EQ(list_uses(&UseTraits::outlives_domain, "use = "), "use = whole, vf, vendor-vf or mig");
}

TEST(UseTest, two_are_listed_with_what_stands_before_each) {
  EXPECT_EQ(list_uses(&UseTraits::can_be_adopted), "vendor-vf or mig");
  EXPECT_EQ(list_uses(&UseTraits::can_be_adopted, "use = "), "use = vendor-vf or use = mig");
}

TEST(UseTest, a_device_is_mediated_or_on_the_pci_bus) {
  EXPECT_TRUE(is_mediated(Use::mdev));
  for (const Use use : {Use::vf, Use::vendor_vf, Use::whole, Use::mig}) EXPECT_TRUE(is_pci(use));
  EXPECT_TRUE(is_typed_vf(Use::vendor_vf));
  EXPECT_TRUE(is_typed_vf(Use::mig));
  for (const Use use : {Use::mdev, Use::vf, Use::whole}) EXPECT_FALSE(is_typed_vf(use));
}

TEST(UseTest, traits_go_together) {
  for (const UseTraits& kind : use_traits) {
    SCOPED_TRACE(kind.word);
    EXPECT_LE(kind.has_named_types, kind.has_types);
    EXPECT_LE(kind.has_vf_quota, kind.is_vf);
    EXPECT_FALSE(kind.is_mediated && kind.outlives_domain);
    EXPECT_FALSE(kind.can_keep_driver && (kind.is_mediated || kind.keeps_driver));
    EXPECT_FALSE(kind.is_mediated && kind.is_vf);
    EXPECT_FALSE(kind.is_whole_card && kind.has_types);
  }
}

TEST(UseTest, off_has_no_trait) {
  const UseTraits& off = traits_of(Use::off);
  for (bool UseTraits::*const trait :
       {&UseTraits::is_mediated, &UseTraits::has_types, &UseTraits::has_named_types,
        &UseTraits::has_instances, &UseTraits::is_vf, &UseTraits::has_vf_quota,
        &UseTraits::keeps_driver, &UseTraits::can_keep_driver, &UseTraits::can_be_adopted,
        &UseTraits::is_whole_card, &UseTraits::outlives_domain, &UseTraits::is_requestable})
    EXPECT_FALSE(off.*trait);
  EXPECT_TRUE(is_off(Use::off));
  EXPECT_FALSE(is_off(Use::whole));
  EXPECT_FALSE(is_off({}));
}

}  // namespace
}  // namespace gpuward
