// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/qemu_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(QemuView, reads_the_state_of_qemu) {
  EXPECT_EQ(status_in(R"({"return":{"running":false,"status":"paused"},"id":"libvirt-22"})"),
            "paused");
  EXPECT_EQ(status_in(R"({"return":{"running":false,"status":"post\nmigrate"}})"), "unknown");
}

TEST(QemuView, an_answer_that_is_none_is_not_a_state) {
  for (const char* answer : {"", "[]", "{", "7", R"({"return":[]})", R"({"return":{}})",
                             R"({"return":{"status":3}})", R"({"error":{"class":"x"}})"})
    EXPECT_EQ(status_in(answer), std::nullopt) << answer;
}

TEST(QemuView, reads_the_children_of_a_folder) {
  const auto objects = objects_in(R"({"return":[
      {"name":"type","type":"string"},{"name":"dimm0","type":"child<pc-dimm>"},{"x":1},3]})");
  ASSERT_TRUE(objects);
  ASSERT_EQ(objects->size(), 1U);
  EXPECT_EQ(objects->front().name, "dimm0");
  EXPECT_EQ(objects->front().type, "pc-dimm");
}

TEST(QemuView, an_answer_that_is_none_is_not_an_empty_folder) {
  for (const char* answer : {"", "{", R"({"return":{}})", R"({"error":{"class":"x"}})"})
    EXPECT_FALSE(objects_in(answer)) << answer;
}

const std::set<std::string, std::less<>> aliases = {"hostdev0", "dimm0", "ua-gpuward-0", "shmem0"};

TEST(QemuView, what_libvirt_made_is_known) {
  EXPECT_THAT(unknown_to_libvirt({{"hostdev0", "vfio-pci"},
                                  {"ua-gpuward-0", "vfio-pci"},
                                  {"dimm0", "pc-dimm"},
                                  {"memdimm0", "memory-backend-ram"},
                                  {"pc.ram", "memory-backend-ram"},
                                  {"ram-node1", "memory-backend-memfd"},
                                  {"shmmem-shmem0", "memory-backend-file"},
                                  {"device[0]", "isa-debugcon"},
                                  {"libvirt-1-storage", "secret"},
                                  {"net7", "virtio-net-pci"}},
                                 aliases),
              IsEmpty());
}

TEST(QemuView, memory_and_gpus_that_came_past_libvirt_are_not) {
  EXPECT_THAT(unknown_to_libvirt({{"extra", "pc-dimm"},
                                  {"device[3]", "vfio-pci"},
                                  {"more", "memory-backend-ram"},
                                  {"memextra", "memory-backend-file"},
                                  {"vm0", "virtio-mem-pci"}},
                                 aliases),
              ElementsAre("pc-dimm 'extra'", "vfio-pci 'device[3]'", "memory-backend-ram 'more'",
                          "memory-backend-file 'memextra'", "virtio-mem-pci 'vm0'"));
}

TEST(QemuView, a_name_cannot_forge_a_line) {
  EXPECT_THAT(unknown_to_libvirt({{"a\n\x1b[2J", "pc-dimm"}}, aliases),
              ElementsAre("pc-dimm 'a\\x0a\\x1b[2J'"));
}

}  // namespace
}  // namespace gpuward
