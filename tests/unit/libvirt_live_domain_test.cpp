// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/live_domain.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace gpuward {
namespace {

const std::string live = R"(<domain type='kvm' id='3'>
  <name>web</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <devices>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>
      <source><address uuid='4b20d080-1b54-4048-85b3-a6a62d165c01'/></source>
      <alias name='hostdev0'/>
    </hostdev>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source><address domain='0x0000' bus='0x04' slot='0x00' function='0x0'/></source>
      <alias name='hostdev1'/>
    </hostdev>
    <memory model='dimm'>
      <target><size unit='KiB'>524288</size><node>0</node></target>
      <alias name='dimm0'/>
    </memory>
    <memory model='virtio-mem'>
      <target>
        <size unit='KiB'>1048576</size>
        <block unit='KiB'>2048</block>
        <requested unit='KiB'>262144</requested>
        <current unit='KiB'>131072</current>
      </target>
      <alias name='ua-extra'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
    </memory>
  </devices>
</domain>
)";

struct LiveDomain : ::testing::Test {
  Root root{"/nonexistent"};
  DomainFacts facts = domain_facts(root, Config{}, live);
};

TEST_F(LiveDomain, knows_the_gpus_among_the_hostdevs) {
  EXPECT_TRUE(facts.has_gpu);
  EXPECT_EQ(facts.gpus, std::vector<std::string>{"hostdev0"});
  EXPECT_TRUE(facts.hostdevs.contains("hostdev1"));
}

TEST_F(LiveDomain, knows_the_sizes_of_memory_devices) {
  ASSERT_TRUE(facts.find_memory("dimm0"));
  EXPECT_EQ(facts.find_memory("dimm0")->kib, 524288u);
  EXPECT_FALSE(facts.find_memory("dimm0")->resizes);
  ASSERT_TRUE(facts.find_memory("ua-extra"));
  EXPECT_EQ(facts.find_memory("ua-extra")->kib, 262144u) << "what it is to have, not its limit";
  EXPECT_TRUE(facts.find_memory("ua-extra")->resizes);
}

TEST_F(LiveDomain, finds_memory_by_the_name_of_its_backend) {
  EXPECT_EQ(facts.find_memory("memdimm0"), facts.find_memory("dimm0"));
  EXPECT_EQ(facts.find_memory("memua-extra"), facts.find_memory("ua-extra"));
  EXPECT_EQ(facts.find_memory("mem"), nullptr);
}

TEST_F(LiveDomain, forgets_what_came_later) {
  facts.forget("memdimm0");
  facts.forget("hostdev0");
  facts.forget("of no device");
  EXPECT_FALSE(facts.find_memory("dimm0"));
  EXPECT_FALSE(facts.has_gpu_alias("hostdev0"));
  EXPECT_FALSE(facts.hostdevs.contains("hostdev0"));
  EXPECT_TRUE(facts.find_memory("ua-extra"));
}

TEST_F(LiveDomain, knows_the_aliases_of_all_devices) {
  for (const char* alias : {"hostdev0", "hostdev1", "dimm0", "ua-extra"})
    EXPECT_TRUE(facts.aliases.contains(alias)) << alias;
}

TEST_F(LiveDomain, had_at_its_start_what_the_hook_recorded) {
  StartedDevices started;
  started.memory = {{"dimm", 524288, 524288}, {"virtio-mem", 1048576, 4096}};
  started.hostdevs = {"4b20d080-1b54-4048-85b3-a6a62d165c01", "0000:04:00.0"};
  const DomainFacts first = facts_at_start(started, facts);
  EXPECT_TRUE(first.has_gpu_alias("hostdev0"));
  EXPECT_TRUE(first.hostdevs.contains("hostdev1"));
  ASSERT_TRUE(first.find_memory("dimm0"));
  ASSERT_TRUE(first.find_memory("ua-extra"));
  EXPECT_EQ(first.find_memory("ua-extra")->kib, 4096U) << "it grew since";
}

TEST_F(LiveDomain, did_not_have_at_its_start_what_was_added_since) {
  const DomainFacts first = facts_at_start(StartedDevices{}, facts);
  EXPECT_TRUE(first.memory.empty());
  EXPECT_TRUE(first.gpus.empty());
  EXPECT_TRUE(first.hostdevs.empty());
}

TEST_F(LiveDomain, one_recorded_memory_device_is_one_device) {
  const MemoryDevice second{"dimm1", 524288, false, "dimm", 524288};
  facts.memory.push_back(second);
  StartedDevices started;
  started.memory = {{"dimm", 524288, 524288}};
  const DomainFacts first = facts_at_start(started, facts);
  EXPECT_TRUE(first.find_memory("dimm0"));
  EXPECT_FALSE(first.find_memory("dimm1"));
}

TEST_F(LiveDomain, libvirt_rounds_the_recorded_size_up) {
  StartedDevices started;
  started.memory = {{"dimm", 524288 - 1000, 524288 - 1000}};
  EXPECT_TRUE(facts_at_start(started, facts).find_memory("dimm0"));
  started.memory = {{"dimm", 524288 - 3000, 524288 - 3000}, {"dimm", 524289, 524289}};
  started.memory.front().size = 100000;
  EXPECT_FALSE(facts_at_start(started, facts).find_memory("dimm0"));
}

TEST_F(LiveDomain, writes_a_memory_device_with_another_size) {
  const auto xml = memory_with_size(live, "ua-extra", 4096);
  ASSERT_TRUE(xml);
  EXPECT_EQ(xml->substr(0, 28), "<memory model='virtio-mem'>\n");
  EXPECT_NE(xml->find("<requested unit='KiB'>4096</requested>\n"), std::string::npos);
  EXPECT_EQ(xml->find("262144"), std::string::npos);
  EXPECT_NE(xml->find("<alias name='ua-extra'/>"), std::string::npos);
  EXPECT_TRUE(xml->ends_with("</memory>"));
}

TEST_F(LiveDomain, has_no_other_size_for_what_does_not_resize) {
  EXPECT_FALSE(memory_with_size(live, "dimm0", 4096));
  EXPECT_FALSE(memory_with_size(live, "gone", 4096));
}

TEST_F(LiveDomain, says_of_what_is_no_domain_that_it_is_none) {
  EXPECT_THROW(domain_facts(root, Config{}, "<domain><devices>"), Error);
}

TEST(MayConcernGuard, is_true_of_hostdevs_memory_and_names_that_users_gave) {
  for (const char* name :
       {"hostdev0", "memdimm0", "memua-x", "dimm0", "virtiomem0", "ua-gpuward-0"})
    EXPECT_TRUE(may_concern_guard(name)) << name;
  for (const char* name : {"virtio-disk1", "net0", "usb", "balloon0", ""})
    EXPECT_FALSE(may_concern_guard(name)) << name;
}

}  // namespace
}  // namespace gpuward
