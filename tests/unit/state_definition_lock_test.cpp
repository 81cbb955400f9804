// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/definition_lock.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid web02 = *parse_uuid("5dea22b3-1d52-d8f3-2516-782e98ab3fa0");
constexpr std::chrono::milliseconds none{0};

TEST(DefinitionLock, keeps_others_from_the_same_domain_alone) {
  FakeHost host;
  auto lock = lock_definition(host.root(), web01, none);
  ASSERT_TRUE(lock);
  EXPECT_THROW(lock_definition(host.root(), web01, none), Error);
  EXPECT_TRUE(lock_definition(host.root(), web02, none));
  lock.reset();
  EXPECT_TRUE(lock_definition(host.root(), web01, none));
}

}  // namespace
}  // namespace gpuward
