// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config_files.hpp"

namespace gpuward {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ConfigProfile : public ConfigFiles {
 protected:
  Profile profile(const std::string& keys) {
    const LoadedConfig loaded = load("[profile p]\n" + keys);
    EXPECT_THAT(told(loaded), IsEmpty()) << keys;
    EXPECT_THAT(loaded.config.profiles, SizeIs(1));
    return loaded.config.profiles.empty() ? Profile() : loaded.config.profiles[0];
  }
  /// What is told about one line in a profile that is well but for it.
  std::string complaint(const std::string& line) {
    const auto lines = problems("[profile p]\ntype = t\n" + line);
    const std::string prefix = "gpuward.conf:3: ";
    if (lines.size() != 1 || !lines[0].starts_with(prefix)) return ::testing::PrintToString(lines);
    return lines[0].substr(prefix.size());
  }
  std::string memory_complaint(const std::string& value) {
    const auto lines = problems("[profile p]\nmemory = " + value);
    const std::string prefix =
        "gpuward.conf:2: bad value '" + value + "' for 'memory' in [profile p]; ";
    if (lines.size() != 1 || !lines[0].starts_with(prefix)) return ::testing::PrintToString(lines);
    return lines[0].substr(prefix.size());
  }
};

TEST_F(ConfigProfile, Defaults) {
  const Profile small = profile("type = mbochs-small\n");
  EXPECT_EQ(small.name, "p");
  EXPECT_THAT(small.types, ElementsAre("mbochs-small"));
  EXPECT_THAT(small.gpus, IsEmpty());
  EXPECT_EQ(small.placement, Placement::binpack);
  EXPECT_EQ(small.numa, Numa::prefer);
  EXPECT_FALSE(small.memory_mib);
  EXPECT_FALSE(small.compute_percent);
  EXPECT_TRUE(small.console);
  EXPECT_EQ(small.position.line, 1);
}

TEST_F(ConfigProfile, Find) {
  const LoadedConfig loaded = load("[profile a]\ntype = t\n[profile b]\ntype = u\n");
  ASSERT_NE(find_profile(loaded.config, "b"), nullptr);
  EXPECT_EQ(find_profile(loaded.config, "b")->types[0], "u");
  EXPECT_EQ(find_profile(loaded.config, "c"), nullptr);
}

TEST_F(ConfigProfile, Types) {
  EXPECT_THAT(profile("type = a, b_1.x+y-z ,c").types, ElementsAre("a", "b_1.x+y-z", "c"));
  EXPECT_THAT(profile("type = a,\n  b").types, ElementsAre("a", "b"));
  for (const std::string bad : {"a/b", ".", "..", "a:1", "*", "../x", "\xc3\xa4"})
    EXPECT_THAT(
        problems("[profile p]\ntype = " + bad),
        ElementsAre("gpuward.conf:2: bad value '" + bad +
                    "' for 'type' in [profile p]; expected "
                    "letters, digits and _ . + - only, 128 at most, and not just . or .. or -"));
  EXPECT_THAT(problems("[profile p]\ntype = a,a,"), SizeIs(2));
}

TEST_F(ConfigProfile, Gpus) {
  const Profile p = profile("type = t\ngpu = 0000:41:00.0, 10de:2236, mtty, *\n");
  ASSERT_THAT(p.gpus, SizeIs(4));
  EXPECT_EQ(p.gpus[0].by, GpuSelector::By::address);
  EXPECT_EQ(p.gpus[1].by, GpuSelector::By::id);
  EXPECT_EQ(p.gpus[2].by, GpuSelector::By::name);
  EXPECT_EQ(p.gpus[3].by, GpuSelector::By::any);
  EXPECT_EQ(complaint("gpu = *, 41:00.0"),
            "bad value '41:00.0' for 'gpu' in [profile p]; a PCI address starts with its PCI "
            "domain: write "
            "0000:41:00.0");
}

TEST_F(ConfigProfile, Words) {
  EXPECT_EQ(profile("type = t\nplacement = spread").placement, Placement::spread);
  EXPECT_EQ(profile("type = t\nplacement = binpack").placement, Placement::binpack);
  EXPECT_EQ(profile("type = t\nnuma = require").numa, Numa::require);
  EXPECT_EQ(profile("type = t\nnuma = prefer").numa, Numa::prefer);
  EXPECT_EQ(profile("type = t\nnuma = ignore").numa, Numa::ignore);
  EXPECT_EQ(profile("type = t\nnuma = socket").numa, Numa::socket);
  EXPECT_TRUE(profile("type = t\nconsole = on").console);
  EXPECT_FALSE(profile("type = t\nconsole = off").console);
  EXPECT_EQ(complaint("placement = bin-pack"),
            "bad value 'bin-pack' for 'placement' in [profile p]; did you mean 'binpack'?");
  EXPECT_EQ(
      complaint("numa = strict"),
      "bad value 'strict' for 'numa' in [profile p]; possible: require, prefer, ignore, socket");
  EXPECT_EQ(complaint("console = yes"),
            "bad value 'yes' for 'console' in [profile p]; possible: on, off");
  EXPECT_EQ(complaint("console = no"),
            "bad value 'no' for 'console' in [profile p]; possible: on, off")
      << "not the opposite of what was meant";
}

TEST_F(ConfigProfile, Memory) {
  EXPECT_EQ(profile("memory = 4096MiB").memory_mib, 4096U);
  EXPECT_EQ(profile("memory = 4 GiB").memory_mib, 4096U);
  EXPECT_EQ(profile("memory = 128MiB").memory_mib, 128U);
  EXPECT_EQ(profile("memory = 16384GiB").memory_mib, 16U << 20);
  const std::string unit = "expected a number and MiB or GiB, such as 4096MiB or 4GiB";
  for (const std::string bad :
       {"4096", "4096MB", "4G", "4gib", "MiB", "-128MiB", "0MiB", "0GiB", "0x80MiB", "4.5GiB",
        "16385GiB", "4194304GiB", "99999999999999MiB", "1 2MiB"})
    EXPECT_EQ(memory_complaint(bad), unit);
  EXPECT_EQ(memory_complaint("100MiB"), "expected a multiple of 128MiB, such as 128MiB");
  EXPECT_EQ(memory_complaint("192MiB"), "expected a multiple of 128MiB, such as 128MiB or 256MiB");
  EXPECT_EQ(memory_complaint("4000MiB"),
            "expected a multiple of 128MiB, such as 3968MiB or 4096MiB");
}

TEST_F(ConfigProfile, Compute) {
  EXPECT_EQ(profile("memory = 1GiB\ncompute = 5%").compute_percent, 5U);
  EXPECT_EQ(profile("compute = 100 %\nmemory = 1GiB").compute_percent, 100U);
  for (const std::string bad : {"25", "0%", "105%", "7%", "%", "-5%", "x%", "25%%"})
    EXPECT_THAT(problems("[profile p]\nmemory = 1GiB\ncompute = " + bad),
                ElementsAre(testing::StartsWith(
                    "gpuward.conf:3: bad value '" + bad +
                    "' for 'compute' in [profile p]; expected a multiple of 5% from 5% to 100%")));
  EXPECT_THAT(problems("[profile p]\nmemory = 1GiB\ncompute = 7%"),
              ElementsAre(testing::EndsWith("such as 5% or 10%")));
  EXPECT_THAT(problems("[profile p]\nmemory = 1GiB\ncompute = 104%"),
              ElementsAre(testing::EndsWith("such as 100%")));
}

/// No device is taken from a domain for another one.
TEST_F(ConfigProfile, ThereAreNoPriorities) {
  EXPECT_THAT(
      problems("[profile p]\ntype = t\npriority = 1\n"),
      ElementsAre("gpuward.conf:3: unknown key 'priority' in [profile p]; there are none: no "
                  "device is taken from a domain for another one"));
}

TEST_F(ConfigProfile, MemoryWithoutUseIsServedByAnyKind) {
  EXPECT_TRUE(profile("memory = 1GiB").any_use);
  EXPECT_FALSE(profile("memory = 1GiB\nuse = mdev").any_use);
  EXPECT_FALSE(profile("memory = 1GiB\nuse = vf").any_use);
  EXPECT_FALSE(profile("type = t").any_use);
  EXPECT_TRUE(profile("memory = 1GiB\none-time = yes").one_time) << "it may be a PCI device";
  EXPECT_EQ(profile("memory = 1GiB\nuse = whole").use, Use::whole);
  EXPECT_EQ(profile("memory = 1GiB\nworkload = graphics").workload, Workload::graphics);
}

TEST_F(ConfigProfile, WhatGoesTogether) {
  EXPECT_EQ(complaint("memory = 1GiB"),
            "'memory' in [profile p] and 'type' are mutually exclusive (set at gpuward.conf:2)");
  EXPECT_EQ(complaint("compute = 25%"), "'compute' in [profile p] requires 'memory'");
  EXPECT_EQ(complaint("workload = compute"), "'workload' in [profile p] requires 'memory'");
  EXPECT_THAT(problems("\n[profile p]\n"),
              ElementsAre("gpuward.conf:2: [profile p] requires 'type' or 'memory'"));
  EXPECT_THAT(problems("[profile p]\ncompute = 25%\n"), SizeIs(2));
  EXPECT_THAT(problems("[profile p]\ntype = -\n"), SizeIs(1));
  EXPECT_THAT(problems("[profile p]\ntype = a/b\n"),
              SizeIs(1));  // "asks for nothing" does not follow
}

TEST_F(ConfigProfile, TheHostMayBindTheDriverOfWholeGpusAndVfs) {
  for (const std::string use : {"whole", "vf"}) {
    EXPECT_TRUE(is_managed(profile("use = " + use)));
    EXPECT_TRUE(is_managed(profile("use = " + use + "\ndriver = libvirt")));
    EXPECT_FALSE(is_managed(profile("use = " + use + "\ndriver = keep")));
  }
  for (const std::string use : {"vendor-vf", "mig"})
    EXPECT_FALSE(is_managed(profile("type = t\nuse = " + use)));
}

TEST_F(ConfigProfile, NoOtherKindHasADriverToKeep) {
  EXPECT_EQ(complaint("driver = keep"),
            "'driver' in [profile p] requires use = whole or use = vf; 'use' is mdev by default");
  for (const std::string use : {"vendor-vf", "mig"})
    EXPECT_THAT(complaint("driver = keep\nuse = " + use),
                testing::HasSubstr("requires use = whole or use = vf; 'use' is " + use));
  EXPECT_THAT(problems("[profile p]\nuse = vf\ndriver = vfio-pci"),
              ElementsAre("gpuward.conf:3: bad value 'vfio-pci' for 'driver' in [profile p]; "
                          "possible: libvirt, keep"));
  for (const std::string use : {"", "use = whole\n"})
    EXPECT_THAT(problems("[profile p]\n" + use + "memory = 1GiB\ndriver = keep"),
                ElementsAre(testing::HasSubstr("'driver' in [profile p] and 'memory' are mutually "
                                               "exclusive")));
}

TEST_F(ConfigProfile, Names) {
  EXPECT_THAT(problems("[profile A-1_b.c+d]\ntype = t\n"), IsEmpty());
  for (const std::string bad : {"a/b", ".", "..", "a b", "a:b", "*", "\xc3\xa4"})
    EXPECT_THAT(problems("[profile " + bad + "]\ntype = t\n"),
                ElementsAre("gpuward.conf:1: bad name '" + bad + "' in [profile " + bad +
                            "]; expected letters, digits and _ . + - only, 128 at most, and not "
                            "just . or .. or -"));
  EXPECT_THAT(problems("[profile]\ntype = t\n"), SizeIs(1));
  EXPECT_THAT(
      problems("[profile total]\ntype = t\n"),
      ElementsAre("gpuward.conf:1: bad name 'total' in [profile total]; reserved as a key of "
                  "[quota]"));
  EXPECT_THAT(load_all().config.profiles, IsEmpty());
}

/// 0.1.0 allowed them: the other profiles stay in effect.
TEST_F(ConfigProfile, NamesThatReadAsAnotherRequestHaveNoEffect) {
  const auto unsupported = [&](const std::string& name) {
    EXPECT_THAT(problems("[profile " + name + "]\ntype = t\n[profile p]\ntype = t\n"), IsEmpty());
    const LoadedConfig loaded = load_all();
    EXPECT_THAT(loaded.config.profiles, ElementsAre(testing::Field(&Profile::name, "p"))) << name;
    if (loaded.unsupported.empty()) return std::string();
    EXPECT_EQ(loaded.unsupported.front().position.line, 1);
    return loaded.unsupported.front().message;
  };
  EXPECT_EQ(unsupported("memory"),
            "[profile memory] has no effect: 'memory' is reserved as a key of [quota]; rename the "
            "profile");
  EXPECT_EQ(unsupported("whole"),
            "[profile whole] has no effect: 'whole' is reserved as the request for "
            "any whole GPU (gpuward attach); rename the profile");
  EXPECT_THAT(unsupported("-"), testing::HasSubstr("'-' is reserved in claims"));
  for (const char* name : {"4GiB", "4096MiB"})
    EXPECT_THAT(unsupported(name),
                testing::HasSubstr("reserved as the request for a part of a GPU"));
}

TEST_F(ConfigProfile, NamesThatNeitherVersionAllowsAreRefused) {
  for (const std::string name : {"10de:2236", "small:2"})
    EXPECT_THAT(problems("[profile " + name + "]\ntype = t\n"), SizeIs(1)) << name;
  for (const std::string name : {"whole-a", "Whole", "4gib", "GiB", "10de", "4G"})
    EXPECT_THAT(problems("[profile " + name + "]\ntype = t\n"), IsEmpty()) << name;
}

TEST_F(ConfigProfile, Allow) {
  EXPECT_THAT(profile("type = t\n").allowed, IsEmpty());
  const Profile small = profile("type = t\nallow = web-*, owner:team-a\n");
  ASSERT_THAT(small.allowed, SizeIs(2));
  EXPECT_EQ(to_string(small.allowed[0]), "web-*");
  EXPECT_EQ(small.allowed[1].by, DomainPattern::By::owner);
  EXPECT_EQ(complaint("allow = owner:"),
            "bad value 'owner:' for 'allow' in [profile p]; expected a pattern for names of "
            "domains, such as web-*, or for owners, such as owner:team-*");
}

TEST_F(ConfigProfile, UnknownKey) {
  EXPECT_EQ(complaint("types = a"), "unknown key 'types' in [profile p]; did you mean 'type'?");
  EXPECT_EQ(complaint("colour = red"),
            "unknown key 'colour' in [profile p]; possible: type, gpu, placement, numa, memory, "
            "compute, workload, console, use, scrub, one-time, allow, set, driver");
}

TEST_F(ConfigProfile, Use) {
  EXPECT_EQ(profile("type = t\n").use, Use::mdev);
  const Profile whole =
      profile("use = whole\ngpu = 10de:2236\nscrub = /usr/sbin/scrub\none-time = yes\n");
  EXPECT_EQ(whole.use, Use::whole);
  EXPECT_EQ(whole.scrub, "/usr/sbin/scrub");
  EXPECT_TRUE(whole.one_time);
  EXPECT_EQ(profile("use = vf\n").use, Use::vf);
  EXPECT_THAT(profile("use = vendor-vf\ntype = 1145, NVIDIA L40S-1B\n").types,
              ElementsAre("1145", "NVIDIA L40S-1B"));
}

TEST_F(ConfigProfile, OfGpuInstances) {
  EXPECT_THAT(problems("[profile p]\nuse = mig\ntype = 1g.10gb+me, MIG 2g.20gb\n"
                       "set = nvidia/vgpu_params=a=1\nscrub = /bin/true\n"),
              IsEmpty());
  EXPECT_THAT(problems("[profile p]\nuse = mig\nmemory = 4GiB\ncompute = 10%\n"), IsEmpty());
  EXPECT_THAT(problems("[profile p]\nuse = mig\n"), SizeIs(1));
  EXPECT_THAT(problems("[profile p]\nuse = mig\ntype = 1g.10gb\nset = a=1\n"),
              ElementsAre(testing::HasSubstr("with use = mig only nvidia/vgpu_params can be set")));
}

TEST_F(ConfigProfile, UseThatGivesNothing) {
  EXPECT_THAT(problems("[profile p]\nuse = off\n"),
              ElementsAre("gpuward.conf:2: bad value 'off' for 'use' in [profile p]; possible: "
                          "mdev, vf, vendor-vf, whole, mig"));
  EXPECT_THAT(problems("[profile p]\nuse = who\nscrub = /bin/true\n"), SizeIs(1))
      << "nothing follows from it";
}

TEST_F(ConfigProfile, WhatGoesWithUse) {
  EXPECT_THAT(problems("[profile p]\nuse = vendor-vf\n"),
              ElementsAre("gpuward.conf:1: [profile p] requires 'type' or 'memory'"));
  EXPECT_THAT(
      problems("[profile p]\nuse = whole\ntype = t\n"),
      ElementsAre("gpuward.conf:3: 'type' in [profile p] requires use = mdev, vendor-vf or mig; "
                  "'use' is whole (set at gpuward.conf:2)"));
  EXPECT_THAT(problems("[profile p]\ntype = t\none-time = yes\n"),
              ElementsAre("gpuward.conf:3: 'one-time' in [profile p] requires use = whole, vf, "
                          "vendor-vf or mig; 'use' is mdev by default"));
  EXPECT_THAT(problems("[profile p]\ntype = t\nscrub = /bin/true\n"), SizeIs(1));
  EXPECT_THAT(problems("[profile p]\ntype = a b\n"),
              ElementsAre("gpuward.conf:2: 'type' in [profile p] names 'a b', which is not an "
                          "mdev type"));
}

TEST_F(ConfigProfile, ScrubIsAProgramOfThisHost) {
  for (const std::string bad : {"scrub", "./scrub", "/bin/a b"})
    EXPECT_THAT(problems("[profile p]\nuse = vf\nscrub = " + bad),
                ElementsAre("gpuward.conf:3: bad value '" + bad +
                            "' for 'scrub' in [profile p]; expected an absolute path of a program, "
                            "without spaces"));
}

TEST_F(ConfigProfile, Set) {
  using Attributes = std::vector<DeviceAttribute>;
  EXPECT_EQ(
      profile("type = t\nset = assign_adapter=5, assign_adapter = 6,assign_domain=0x4").attributes,
      (Attributes{{"assign_adapter", "5"}, {"assign_adapter", "6"}, {"assign_domain", "0x4"}}));
  EXPECT_EQ(profile("type = t\nset = nvidia/vgpu_params=\"frl_config=60, enable_uvm=1\", a-b.c=d e")
                .attributes,
            (Attributes{{"nvidia/vgpu_params", "frl_config=60, enable_uvm=1"}, {"a-b.c", "d e"}}));
  EXPECT_EQ(
      profile("use = vendor-vf\ntype = 1145\nset = nvidia/vgpu_params=enable_uvm=1").attributes,
      (Attributes{{"nvidia/vgpu_params", "enable_uvm=1"}}));
}

TEST_F(ConfigProfile, SetOfWhatIsNoAttribute) {
  for (const std::string name : {"",
                                 "..",
                                 ".",
                                 "a/..",
                                 "../a",
                                 "/a",
                                 "a/",
                                 "a//b",
                                 "a/b/c",
                                 "a b",
                                 "a\\b",
                                 "remove",
                                 "driver/unbind",
                                 "mdev_type/create",
                                 "iommu_group/type",
                                 "subsystem/drivers_probe",
                                 "power/control",
                                 "nvidia/current_vgpu_type",
                                 "uevent",
                                 "\xc3\xa4"})
    EXPECT_THAT(complaint("set = " + name + "=1"),
                HasSubstr("for 'set' in [profile p]; expected NAME=VALUE, the name being a file of "
                          "the instance's directory in sysfs"))
        << name;
  for (const std::string& value : std::vector<std::string>{"", "\"a", "a\"", "a\"b\"", "\"\"",
                                                           "\xc3\xa4", std::string(1025, 'x')})
    EXPECT_THAT(complaint("set = a=" + value), HasSubstr("expected NAME=VALUE with a value of"))
        << value;
  EXPECT_THAT(complaint("set = a"), HasSubstr("bad value 'a' for 'set'"));
  EXPECT_THAT(complaint("set = a=1,,b=2"), HasSubstr("bad value '' for 'set'"));
  EXPECT_THAT(complaint("set = a=1,"), HasSubstr("bad value '' for 'set'"));
}

TEST_F(ConfigProfile, SetGoesWithInstances) {
  EXPECT_THAT(problems("[profile p]\nuse = whole\nset = a=1\n"),
              ElementsAre("gpuward.conf:3: 'set' in [profile p] requires use = mdev, vendor-vf or "
                          "mig; 'use' is whole (set at gpuward.conf:2)"));
  EXPECT_THAT(problems("[profile p]\nuse = vendor-vf\ntype = 1\nset = assign_domain=1\n"),
              ElementsAre("gpuward.conf:4: 'set' in [profile p] has 'assign_domain'; with use = "
                          "vendor-vf only nvidia/vgpu_params can be set"));
}

TEST_F(ConfigProfile, UnifiedMemoryHasNoIsolationOfComputeUnits) {
  const std::string profile =
      "[profile p]\nuse = mdev\nmemory = 1GiB\nset = nvidia/vgpu_params=\"a=1, enable_uvm=1 \"\n";
  EXPECT_THAT(problems(profile), IsEmpty());
  EXPECT_THAT(problems(profile + "compute = 25%\n"),
              ElementsAre(HasSubstr("has no isolation of memory and compute units")));
}

TEST_F(ConfigProfile, AttributesOfAnyKindAreRefused) {
  EXPECT_THAT(problems("[profile p]\nmemory = 1GiB\nset = assign_adapter=5\n"),
              ElementsAre(HasSubstr("requires 'use' beside 'memory'")));
}

TEST_F(ConfigProfile, UnifiedMemoryCannotBeMigrated) {
  const std::string allow = "[guard]\nmigration = allow\n", block = "[guard]\nmigration = block\n";
  for (const std::string params :
       {"enable_uvm=1", "plugin0.enable_uvm=1", "\"frl_config=60, enable_uvm=1\""}) {
    const std::string profile = "[profile p]\ntype = t\nset = nvidia/vgpu_params=" + params + "\n";
    EXPECT_THAT(
        problems(allow + profile),
        ElementsAre("gpuward.conf:5: 'set' in [profile p] has enable_uvm=1, and a vGPU with "
                    "unified memory cannot be migrated; [guard] has migration = allow"));
    EXPECT_THAT(problems(block + profile), IsEmpty());
    EXPECT_THAT(problems(profile + allow), SizeIs(1)) << "in whatever order";
  }
  EXPECT_THAT(problems(allow + "[profile p]\ntype = t\nset = nvidia/vgpu_params=enable_uvm=0, "
                               "other=enable_uvm=1\n"),
              IsEmpty());
}

}  // namespace gpuward
