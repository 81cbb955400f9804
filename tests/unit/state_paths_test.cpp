// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/paths.hpp"

#include <gtest/gtest.h>

#include <set>

namespace gpuward {
namespace {

const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");

TEST(LockNumberTest, two_uuids_that_differ_in_one_bit_have_locks_of_their_own) {
  std::set<uint64_t> numbers{lock_number::of_domain(web01)};
  for (size_t byte = 0; byte < web01.bytes.size(); ++byte)
    for (unsigned bit = 0; bit < 8; ++bit) {
      Uuid other = web01;
      other.bytes[byte] ^= static_cast<uint8_t>(1u << bit);
      numbers.insert(lock_number::of_domain(other));
    }
  EXPECT_EQ(numbers.size(), 1u + 128u);
}

TEST(LockNumberTest, uuids_in_a_row_have_locks_of_their_own) {
  std::set<uint64_t> numbers;
  for (unsigned number = 0; number < 0x10000; ++number) {
    Uuid uuid{};
    uuid.bytes[14] = static_cast<uint8_t>(number >> 8);
    uuid.bytes[15] = static_cast<uint8_t>(number);
    numbers.insert(lock_number::of_domain(uuid));
  }
  EXPECT_EQ(numbers.size(), 0x10000u);
}

TEST(LockNumberTest, no_kind_has_a_number_of_another) {
  constexpr uint64_t single[] = {lock_number::host, lock_number::provision,
                                 lock_number::reassignment, lock_number::guard};
  EXPECT_EQ(std::set<uint64_t>(std::begin(single), std::end(single)).size(), std::size(single));
  // What is cut off by the lock file would make two numbers one (base/lock.cpp).
  constexpr uint64_t usable = 0x3fffffffffffffff;
  for (const uint64_t number : single) EXPECT_LT(number, uint64_t{1} << 60);
  for (const PciAddress& pf :
       {PciAddress{}, PciAddress{0, 0, 0, 1}, PciAddress{0xffffffff, 0xff, 0x1f, 7}})
    EXPECT_EQ(lock_number::of_physical_function(pf) >> 60, 1u);
  for (const Uuid& uuid : {Uuid{}, web01}) {
    EXPECT_EQ(lock_number::of_domain(uuid) >> 61, 1u);
    EXPECT_LE(lock_number::of_domain(uuid), usable);
  }
}

TEST(LockNumberTest, every_physical_function_has_its_own) {
  std::set<uint64_t> numbers;
  for (const uint32_t domain : {0u, 1u, 0x10000u})
    for (unsigned id = 0; id < 0x10000; ++id)
      numbers.insert(lock_number::of_physical_function({domain, static_cast<uint8_t>(id >> 8),
                                                        static_cast<uint8_t>(id >> 3 & 0x1f),
                                                        static_cast<uint8_t>(id & 7)}));
  EXPECT_EQ(numbers.size(), 3u * 0x10000u);
}

TEST(PathsTest, lie_below_the_root) {
  const Root root{"/tmp/host"};
  EXPECT_EQ(paths::run(root), "/tmp/host/run/gpuward");
  EXPECT_EQ(paths::claim(root, web01),
            "/tmp/host/run/gpuward/claims/4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
  EXPECT_EQ(paths::locks(root), "/tmp/host/run/gpuward/lock");
  EXPECT_EQ(paths::single_use(root), "/tmp/host/var/lib/gpuward/used");
}

}  // namespace
}  // namespace gpuward
