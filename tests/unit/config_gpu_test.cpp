// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/gpu_selector.hpp"
#include "config_files.hpp"

namespace gpuward {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class ConfigGpu : public ConfigFiles {
 protected:
  /// The section that these keys make, which must be without problems.
  GpuSection gpu(const std::string& keys) {
    const LoadedConfig loaded = load("[gpu mtty]\n" + keys);
    EXPECT_THAT(told(loaded), IsEmpty()) << keys;
    EXPECT_THAT(loaded.config.gpus, SizeIs(1));
    return loaded.config.gpus.empty() ? GpuSection() : loaded.config.gpus[0];
  }
  /// What is told about one line in a section, without "gpuward.conf:2: " in front.
  std::string complaint(const std::string& line) {
    const auto lines = problems("[gpu mtty]\n" + line);
    const std::string prefix = "gpuward.conf:2: ";
    if (lines.size() != 1 || !lines[0].starts_with(prefix)) return ::testing::PrintToString(lines);
    return lines[0].substr(prefix.size());
  }
};

TEST_F(ConfigGpu, EmptySectionNamesADevice) {
  const GpuSection section = gpu("");
  EXPECT_EQ(section.selector.by, GpuSelector::By::name);
  EXPECT_EQ(section.selector.name, "mtty");
  EXPECT_FALSE(section.use);
  EXPECT_FALSE(section.vfs);
  EXPECT_FALSE(section.isolation);
  EXPECT_THAT(section.instances, IsEmpty());
  EXPECT_EQ(section.reset_method, "");
  EXPECT_EQ(section.position.line, 1);
  EXPECT_EQ(section.position.file, main_file());
}

TEST_F(ConfigGpu, Selectors) {
  const LoadedConfig loaded = load("[gpu 0000:41:00.0]\n[gpu 10de:2236]\n[gpu *]\n[gpu   mtty ]\n");
  EXPECT_THAT(told(loaded), IsEmpty());
  ASSERT_THAT(loaded.config.gpus, SizeIs(4));
  EXPECT_EQ(loaded.config.gpus[0].selector.address, (PciAddress{0, 0x41, 0, 0}));
  EXPECT_EQ(loaded.config.gpus[1].selector.by, GpuSelector::By::id);
  EXPECT_EQ(loaded.config.gpus[2].selector.by, GpuSelector::By::any);
  EXPECT_EQ(loaded.config.gpus[3].selector.name, "mtty");
}

TEST_F(ConfigGpu, BadSelectors) {
  EXPECT_THAT(
      problems("[gpu 41:00.0]\n[gpu]\n[gpu a/b]\n"),
      ElementsAre(
          "gpuward.conf:1: bad name '41:00.0' in [gpu 41:00.0]; a PCI address starts with its PCI "
          "domain: write 0000:41:00.0",
          "gpuward.conf:2: bad name '' in [gpu]; " + selector_advice(""),
          "gpuward.conf:3: bad name 'a/b' in [gpu a/b]; " + selector_advice("a/b")));
  EXPECT_THAT(load_all().config.gpus, IsEmpty());
}

TEST_F(ConfigGpu, KeysBelowABadSelectorAreLookedAt) {
  EXPECT_THAT(problems("[gpu a/b]\nuse = mdve\n"), SizeIs(2));
}

TEST_F(ConfigGpu, Use) {
  EXPECT_EQ(gpu("use = mdev").use, Use::mdev);
  EXPECT_EQ(gpu("use = vf").use, Use::vf);
  EXPECT_EQ(gpu("use = vendor-vf").use, Use::vendor_vf);
  EXPECT_EQ(gpu("use = whole").use, Use::whole);
  EXPECT_EQ(gpu("use = off").use, Use::off);
  EXPECT_EQ(complaint("use = vendor_vf"),
            "bad value 'vendor_vf' for 'use' in [gpu mtty]; did you mean 'vendor-vf'?");
  EXPECT_EQ(complaint("use = passthrough"),
            "bad value 'passthrough' for 'use' in [gpu mtty]; possible: mdev, vf, vendor-vf, "
            "whole, mig, off");
}

TEST_F(ConfigGpu, Vfs) {
  EXPECT_EQ(gpu("use = vf\nvfs = 0").vfs, 0U);
  EXPECT_EQ(gpu("use = vf\nvfs = 65535").vfs, 65535U);
  EXPECT_EQ(gpu("use = vendor-vf\nvfs = max").vfs, GpuSection::max_vfs);
  for (const std::string bad : {"65536", "-1", "4.", "0x4", "all", "4 4", "99999999999999999999"})
    EXPECT_THAT(problems("[gpu *]\nuse = vf\nvfs = " + bad),
                ElementsAre("gpuward.conf:3: bad value '" + bad +
                            "' for 'vfs' in [gpu *]; expected a number from 0 to 65535, or max"));
}

TEST_F(ConfigGpu, VfsGoWithVirtualFunctionsOnly) {
  EXPECT_EQ(complaint("vfs = 4"),
            "'vfs' in [gpu mtty] requires use = vf, vendor-vf or mig; 'use' is not set");
  EXPECT_EQ(complaint("vfs = 4\nuse = mdev"),
            "'vfs' in [gpu mtty] requires use = vf, vendor-vf or mig; 'use' is mdev (set at "
            "gpuward.conf:3)");
  EXPECT_THAT(problems("[gpu *]\nuse = fv\nvfs = 4"), SizeIs(1));  // no second complaint
}

TEST_F(ConfigGpu, QuotaOfEachVf) {
  const VfQuota quota =
      gpu("use = vf\nexec-quantum = 20\npreempt-timeout = 1000\nvf-memory = 2GiB").quota;
  EXPECT_EQ(quota.exec_quantum_ms, 20U);
  EXPECT_EQ(quota.preempt_timeout_us, 1000U);
  EXPECT_EQ(quota.memory_mib, 2048U);
  EXPECT_EQ(
      complaint("exec-quantum = 20ms\nuse = vf"),
      "bad value '20ms' for 'exec-quantum' in [gpu mtty]; expected milliseconds, 0 to 100000");
  EXPECT_EQ(complaint("vf-memory = 1GiB\nuse = whole"),
            "'vf-memory' in [gpu mtty] requires use = vf; 'use' is whole (set at "
            "gpuward.conf:3)");
}

TEST_F(ConfigGpu, BadQuotas) {
  EXPECT_EQ(gpu("use = vf\nexec-quantum = 100000").quota.exec_quantum_ms, 100'000U);
  EXPECT_EQ(gpu("use = vf\npreempt-timeout = 100000000").quota.preempt_timeout_us, 100'000'000U);
  EXPECT_THAT(complaint("exec-quantum = 100001\nuse = vf"),
              EndsWith("expected milliseconds, 0 to 100000"));
  for (const std::string bad : {"100000001", "1ms", "-1"})
    EXPECT_EQ(complaint("preempt-timeout = " + bad + "\nuse = vf"),
              "bad value '" + bad +
                  "' for 'preempt-timeout' in [gpu mtty]; expected microseconds, 0 to 100000000");
  for (const std::string key : {"exec-quantum", "preempt-timeout"})
    EXPECT_THAT(complaint(key + " = 20\nuse = vendor-vf"),
                StartsWith("'" + key + "' in [gpu mtty] requires use = vf"));
}

TEST_F(ConfigGpu, Instances) {
  const GpuSection section = gpu("instances = mbochs-small:4,i915-GVTg_V5_4 : 0 , a.b+c:1024");
  ASSERT_THAT(section.instances, SizeIs(3));
  EXPECT_EQ(section.instances[0].type, "mbochs-small");
  EXPECT_EQ(section.instances[0].count, 4U);
  EXPECT_EQ(section.instances[1].type, "i915-GVTg_V5_4");
  EXPECT_EQ(section.instances[1].count, 0U);
  EXPECT_EQ(section.instances[2].count, 1024U);
  EXPECT_EQ(section.use, Use::mdev);  // nothing else can be meant
}

TEST_F(ConfigGpu, BadInstances) {
  for (const std::string bad : {"a", "a:", ":4", "a:-1", "a:1025", "a:x", "a/b:1", ".:1", "..:1",
                                "a:1:1", "a b:1", "../../x:1"})
    EXPECT_EQ(complaint("instances = " + bad),
              "bad value '" + bad +
                  "' for 'instances' in [gpu mtty]; expected TYPE:N "
                  "with N from 0 to 1024, such as nvidia-63:4");
  EXPECT_EQ(complaint("instances = a:1, a:2"),
            "bad value 'a:2' for 'instances' in [gpu mtty]; type listed twice");
  EXPECT_EQ(complaint("instances = a:1,,b:1"),
            "bad value 'a:1,,b:1' for 'instances' in [gpu mtty]; empty list item");
  EXPECT_THAT(problems("[gpu *]\ninstances = a, b:1, c:x"), SizeIs(2));  // each bad item is told
}

TEST_F(ConfigGpu, Max) {
  const GpuSection section = gpu("max = nvidia-63:2, NVIDIA A40-2Q : 0\n");
  ASSERT_THAT(section.max, SizeIs(2));
  EXPECT_EQ(section.max[0].type, "nvidia-63");
  EXPECT_EQ(section.max[0].count, 2U);
  EXPECT_EQ(section.max[1].type, "NVIDIA A40-2Q");
  EXPECT_EQ(section.max[1].count, 0U);
  EXPECT_FALSE(section.use) << "a limit is no choice of use";
  EXPECT_EQ(complaint("max = a"),
            "bad value 'a' for 'max' in [gpu mtty]; expected TYPE:N with N from 0 to 1024, such as "
            "nvidia-63:4");
  EXPECT_THAT(problems("[gpu mtty]\nuse = whole\nmax = a:1\n"),
              ElementsAre("gpuward.conf:3: 'max' in [gpu mtty] requires use = mdev, vendor-vf or "
                          "mig; 'use' is whole (set at gpuward.conf:2)"));
}

TEST_F(ConfigGpu, InstancesAreMdevsOnly) {
  EXPECT_EQ(complaint("instances = a:1\nuse = whole"),
            "'instances' in [gpu mtty] requires use = mdev; 'use' is whole (set at "
            "gpuward.conf:3)");
  EXPECT_EQ(gpu("instances = a:1\nuse = mdev").use, Use::mdev);
}

TEST_F(ConfigGpu, IsolationOfTheGpu) {
  EXPECT_EQ(gpu("isolation = memory").isolation, Isolation::memory);
  EXPECT_EQ(gpu("isolation = memory+compute").isolation, Isolation::memory_and_compute);
  EXPECT_EQ(complaint("isolation = compute"),
            "bad value 'compute' for 'isolation' in [gpu mtty]; possible: memory, memory+compute");
  EXPECT_EQ(
      complaint("isolation = memory-compute"),
      "bad value 'memory-compute' for 'isolation' in [gpu mtty]; did you mean 'memory+compute'?");
}

TEST_F(ConfigGpu, Expect) {
  const ExpectedIdentity expect =
      gpu("expect = serial:0324A=, uuid:GPU-4DEA22B3-1d52-d8f3-2516-782e98ab3fa0,\n"
          "  subsystem:10DE:145a, slot:3-1\n")
          .expect;
  EXPECT_EQ(expect.serial, "0324A=");
  EXPECT_EQ(expect.uuid, "4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
  EXPECT_EQ(expect.subsystem, "10de:145a");
  EXPECT_EQ(expect.slot, "3-1");
  EXPECT_FALSE(gpu("expect = slot:4").expect.serial);
}

TEST_F(ConfigGpu, BadExpect) {
  EXPECT_EQ(complaint("expect = serail:1"),
            "bad value 'serail:1' for 'expect' in [gpu mtty]; did you mean 'serial'?");
  EXPECT_EQ(
      complaint("expect = bios:1"),
      "bad value 'bios:1' for 'expect' in [gpu mtty]; possible: serial, uuid, subsystem, slot");
  EXPECT_EQ(complaint("expect = serial"),
            "bad value 'serial' for 'expect' in [gpu mtty]; expected serial:TEXT without spaces");
  EXPECT_EQ(complaint("expect = serial:"),
            "bad value 'serial:' for 'expect' in [gpu mtty]; expected serial:TEXT without spaces");
  EXPECT_EQ(complaint("expect = uuid:1234"),
            "bad value 'uuid:1234' for 'expect' in [gpu mtty]; expected uuid: and a UUID, such as "
            "uuid:GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
  EXPECT_EQ(
      complaint("expect = subsystem:10de"),
      "bad value 'subsystem:10de' for 'expect' in [gpu mtty]; expected subsystem:VENDOR:DEVICE in "
      "hexadecimal, such as subsystem:10de:145a");
  EXPECT_EQ(complaint("expect = slot:a b"),
            "bad value 'slot:a b' for 'expect' in [gpu mtty]; expected slot:NAME as in "
            "/sys/bus/pci/slots");
  EXPECT_EQ(complaint("expect = slot:1, slot:2"),
            "bad value 'slot:2' for 'expect' in [gpu mtty]; only one of each kind is allowed");
}

TEST_F(ConfigGpu, ResetMethod) {
  EXPECT_EQ(gpu("reset-method = flr").reset_method, "flr");
  EXPECT_EQ(gpu("reset-method = device_specific   flr bus").reset_method,
            "device_specific flr bus");
  EXPECT_EQ(gpu("reset-method = d3cold").reset_method, "d3cold");  // of a newer kernel
  EXPECT_EQ(complaint("reset-method = frl"),
            "bad value 'frl' for 'reset-method' in [gpu mtty]; did you mean 'flr'?");
  EXPECT_EQ(
      complaint("reset-method = flr,bus"),
      "bad value 'flr,bus' for 'reset-method' in [gpu mtty]; possible: default, device_specific, "
      "acpi, flr, af_flr, pm, bus, cxl_bus");
}

TEST_F(ConfigGpu, Adopt) {
  EXPECT_EQ(gpu("use = vendor-vf\nadopt = yes").adopt, true);
  EXPECT_EQ(gpu("use = vendor-vf\nadopt = no").adopt, false);
  EXPECT_EQ(gpu("use = vendor-vf").adopt, std::nullopt);
  EXPECT_THAT(complaint("use = vf\nadopt = yes"),
              testing::HasSubstr("'adopt' in [gpu mtty] requires use = vendor-vf"));
}

TEST_F(ConfigGpu, UnknownKey) {
  EXPECT_EQ(complaint("instnaces = a:1"),
            "unknown key 'instnaces' in [gpu mtty]; did you mean 'instances'?");
  EXPECT_EQ(
      complaint("pool = x"),
      "unknown key 'pool' in [gpu mtty]; possible: use, vfs, instances, max, isolation, expect, "
      "exec-quantum, preempt-timeout, vf-memory, reset-method, adopt");
}

}  // namespace gpuward
