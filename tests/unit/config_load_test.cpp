// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "config_files.hpp"
#include "source_tree.hpp"

namespace gpuward {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

using ConfigLoad = ConfigFiles;

TEST_F(ConfigLoad, FilesInOrder) {
  EXPECT_THAT(config_files(Root{directory_}), IsEmpty());
  for (const char* name : {"b.conf", "10-a.conf", "a.conf.bak", "README", ".hidden.conf", "9.conf"})
    write(drop_in(name), "");
  EXPECT_THAT(config_files(Root{directory_}),
              ElementsAre(drop_in("10-a.conf"), drop_in("9.conf"), drop_in("b.conf")));
  write(main_file(), "");
  EXPECT_THAT(config_files(Root{directory_}), SizeIs(4));
  EXPECT_EQ(config_files(Root{directory_})[0], main_file());
  EXPECT_THAT(config_files(Root{directory_ + "/nowhere"}), IsEmpty());
}

TEST_F(ConfigLoad, LaterFileWins) {
  write(main_file(),
        "[guard]\npause = warn\nmigration = warn\n"
        "[gpu *]\nuse = mdev\ninstances = a:1, b:2\nexpect = slot:1\n"
        "[profile p]\ntype = t\nnuma = require\n"
        "[quota *]\np = 1\n");
  write(drop_in("1.conf"),
        "[guard]\npause = allow\n[gpu *]\ninstances = c:3\nexpect = serial:x\n"
        "[profile p]\ntype = u, v\n[profile q]\nmemory = 1GiB\n[quota *]\np = 2\nq = 3\n");
  write(drop_in("2.conf"), "[guard]\npause = block\n[quota *]\ntotal = 9\n");
  const LoadedConfig loaded = load_all();
  EXPECT_THAT(told(loaded), IsEmpty());
  EXPECT_EQ(loaded.config.guard.pause, Policy::block);
  EXPECT_EQ(loaded.config.guard.migration, Policy::warn);
  ASSERT_THAT(loaded.config.gpus, SizeIs(1));
  ASSERT_THAT(loaded.config.gpus[0].instances, SizeIs(1));
  EXPECT_EQ(loaded.config.gpus[0].instances[0].type, "c");
  EXPECT_EQ(loaded.config.gpus[0].use, Use::mdev);
  EXPECT_EQ(loaded.config.gpus[0].expect.serial, "x");
  EXPECT_FALSE(loaded.config.gpus[0].expect.slot);
  EXPECT_EQ(loaded.config.gpus[0].position.file, main_file());
  ASSERT_THAT(loaded.config.profiles, SizeIs(2));
  EXPECT_THAT(loaded.config.profiles[0].types, ElementsAre("u", "v"));
  EXPECT_EQ(loaded.config.profiles[0].numa, Numa::require);
  ASSERT_THAT(loaded.config.quotas, SizeIs(1));
  EXPECT_EQ(loaded.config.quotas[0].per_profile.at("p"), 2U);
  EXPECT_EQ(loaded.config.quotas[0].per_profile.at("q"), 3U);
  EXPECT_EQ(loaded.config.quotas[0].total, 9U);
}

TEST_F(ConfigLoad, SameDeviceWrittenInTwoWaysIsOneSection) {
  write(main_file(), "[gpu 0000:c1:00.0]\nuse = mdev\n");
  write(drop_in("a.conf"), "[gpu 0000:C1:00.0]\nuse = whole\n");
  const LoadedConfig loaded = load_all();
  EXPECT_THAT(told(loaded), IsEmpty());
  ASSERT_THAT(loaded.config.gpus, SizeIs(1));
  EXPECT_EQ(loaded.config.gpus[0].use, Use::whole);
}

TEST_F(ConfigLoad, KeysOfTwoFilesThatDoNotGoTogether) {
  write(main_file(), "[profile p]\ntype = t\n[gpu *]\ninstances = a:1\n");
  write(drop_in("a.conf"), "[profile p]\nmemory = 1GiB\n[gpu *]\nuse = vf\n");
  EXPECT_THAT(
      told(load_all()),
      ElementsAre(
          "gpuward.conf:4: 'instances' in [gpu *] requires use = mdev; 'use' is vf "
          "(set at conf.d/a.conf:4)",
          "conf.d/a.conf:2: 'memory' in [profile p] and 'type' are mutually exclusive (set at "
          "gpuward.conf:2)"));
}

TEST_F(ConfigLoad, Duplicates) {
  EXPECT_THAT(
      problems(
          "[gpu *]\nuse = mdev\nuse = vf\n[guard]\n[gpu *]\nuse = whole\n[guard]\nharden = yes\n"),
      ElementsAre("gpuward.conf:3: 'use' in [gpu *] is already set at line 2",
                  "gpuward.conf:5: [gpu *] already exists at line 1",
                  "gpuward.conf:7: [guard] already exists at line 4"));
}

TEST_F(ConfigLoad, UnknownSections) {
  EXPECT_THAT(
      problems("[profil small]\nanything = 1\n[vm x]\n[]\n[gpuward]\n[Guard]\n"),
      ElementsAre(
          "gpuward.conf:1: unknown section '[profil small]'; did you mean 'profile'?",
          "gpuward.conf:3: unknown section '[vm x]'; possible: guard, gpu, profile, quota",
          "gpuward.conf:4: unknown section '[]'; possible: guard, gpu, profile, quota",
          "gpuward.conf:5: unknown section '[gpuward]'; possible: guard, gpu, profile, quota",
          "gpuward.conf:6: unknown section '[Guard]'; did you mean 'guard'?"));
}

TEST_F(ConfigLoad, AllErrorsOfAllFilesAtOnceFromTheTop) {
  write(main_file(),
        "stray = 1\n"
        "[gpu mtty]\n"
        "instnaces = a:1\n"
        "use = mdve\n"
        "\n"
        "[profile small]  ; asks for nothing\n"
        "rubbish\n"
        "[quota *]\n"
        "smal = 1\n"
        "[broken\n"
        "ignored = 1\n"
        "[gpu 41:00.0]\n");
  write(drop_in("a.conf"), "[profile x]\nmemory = 1GB\n[gpu mtty]\nvfs = 4\n");
  write(drop_in("b.conf"), "[nonsense]\n");
  const LoadedConfig loaded = load_all();
  EXPECT_THAT(
      told(loaded),
      ElementsAre(
          StartsWith("gpuward.conf:1: 'stray' is set before"),
          "gpuward.conf:3: unknown key 'instnaces' in [gpu mtty]; did you mean 'instances'?",
          StartsWith("gpuward.conf:4: bad value 'mdve' for 'use'"),
          StartsWith("gpuward.conf:6: [profile small] requires"),
          StartsWith("gpuward.conf:7: found 'rubbish'"),
          StartsWith("gpuward.conf:9: unknown profile 'smal'"),
          StartsWith("gpuward.conf:10: section header '[broken'"),
          StartsWith("gpuward.conf:12: bad name '41:00.0'"),
          StartsWith("conf.d/a.conf:2: bad value '1GB' for 'memory'"),
          StartsWith("conf.d/b.conf:1: unknown section '[nonsense]'")));
  EXPECT_EQ(loaded.problems[1].position.file, main_file());
  EXPECT_EQ(loaded.problems[1].position.line, 3);
}

TEST_F(ConfigLoad, FilesThatCannotBeRead) {
  std::filesystem::create_directory(drop_in("a.conf"));
  std::filesystem::create_symlink("/nonexistent", drop_in("b.conf"));
  std::filesystem::create_symlink("c.conf", drop_in("c.conf"));
  write(drop_in("d.conf"), "[profile p]\ntype = t\n");
  const LoadedConfig loaded = load_all();
  EXPECT_THAT(told(loaded),
              ElementsAre("conf.d/a.conf: cannot be read: Is a directory",
                          "conf.d/b.conf: cannot be read: No such file or directory",
                          "conf.d/c.conf: cannot be read: Too many levels of symbolic links"));
  EXPECT_THAT(loaded.config.profiles, SizeIs(1));
  EXPECT_THAT(load_config({"/nonexistent/gpuward.conf"}).problems, SizeIs(1));
}

/// Root may read everything: while this lives, the test is an ordinary user.
struct OrdinaryUser {
  OrdinaryUser() { set(::getuid() == 0 ? 65534 : ::getuid()); }
  ~OrdinaryUser() { set(::getuid()); }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;
  static void set(uid_t user) { EXPECT_EQ(::seteuid(user), 0); }
};

TEST_F(ConfigLoad, FileWithoutPermission) {
  write(main_file(), "");
  ASSERT_EQ(::chmod(main_file().c_str(), 0), 0);
  ASSERT_EQ(::chmod(directory_.c_str(), 0711), 0);
  const OrdinaryUser user;
  EXPECT_THAT(told(load_all()), ElementsAre("gpuward.conf: cannot be read: Permission denied"));
}

TEST_F(ConfigLoad, FileThatHasNoEnd) {
  std::filesystem::create_symlink("/dev/zero", main_file());
  EXPECT_THAT(told(load_all()), ElementsAre("gpuward.conf: cannot be read: not a regular file"));
}

TEST_F(ConfigLoad, FileThatIsTooLarge) {
  write(main_file(), "");
  std::filesystem::resize_file(main_file(), 17u << 20);
  EXPECT_THAT(told(load_all()), ElementsAre("gpuward.conf: cannot be read: larger than 16 MiB"));
}

TEST_F(ConfigLoad, PipeThatNobodyWritesTo) {
  ASSERT_EQ(::mkfifo(main_file().c_str(), 0600), 0);
  EXPECT_THAT(told(load_all()), ElementsAre("gpuward.conf: cannot be read: not a regular file"));
}

TEST_F(ConfigLoad, NothingIsLostOfALongValue) {
  std::string types = "t0";
  for (int i = 1; i < 100'000; ++i) types += ", type-" + std::to_string(i);
  const LoadedConfig loaded =
      load("[profile p]\ntype = " + types.substr(0, 10'000) + "x\nnuma = require\n");
  EXPECT_THAT(told(loaded), IsEmpty());
  ASSERT_THAT(loaded.config.profiles, SizeIs(1));
  EXPECT_TRUE(types.starts_with(loaded.config.profiles[0].types[0] + ", type-1, type-2"));
  EXPECT_EQ(loaded.config.profiles[0].numa, Numa::require);
  const LoadedConfig huge = load("[profile p]\ntype = " + types + "\nnuma = require\n");
  EXPECT_THAT(told(huge), IsEmpty());
  ASSERT_THAT(huge.config.profiles, SizeIs(1));
  ASSERT_THAT(huge.config.profiles[0].types, SizeIs(100'000));
  EXPECT_EQ(huge.config.profiles[0].types.back(), "type-99999");
}

TEST_F(ConfigLoad, WhatOthersThanRootCanChangeIsAProblem) {
  ::umask(022);
  const Root root{directory_};
  write(drop_in("a.conf"), "");
  ::chmod(drop_in("a.conf").c_str(), 0644);
  for (const char* part : {"/etc", "/etc/gpuward", "/etc/gpuward/conf.d"})
    ::chmod((directory_ + part).c_str(), 0755);
  EXPECT_THAT(told(load_host_config(root)), IsEmpty());
  ::chmod(drop_in("a.conf").c_str(), 0664);
  ::chmod((directory_ + "/etc/gpuward").c_str(), 0777);
  EXPECT_THAT(told(load_host_config(root)),
              ElementsAre("/etc/gpuward/conf.d/a.conf: others than root may write it; run: chmod "
                          "go-w /etc/gpuward/conf.d/a.conf",
                          "/etc/gpuward: others than root may write it; run: chmod go-w "
                          "/etc/gpuward"));
  EXPECT_THAT(told(load_all()), IsEmpty()) << "files that are named are looked at as they are";
}

TEST_F(ConfigLoad, WhereAFileCouldBePutIsLookedAtToo) {
  const Root root{directory_};
  std::filesystem::remove_all(directory_ + "/etc/gpuward/conf.d");
  ::chmod((directory_ + "/etc").c_str(), 0755);
  ::chmod((directory_ + "/etc/gpuward").c_str(), 0777);
  const std::string problem =
      "/etc/gpuward: others than root may write it; run: chmod go-w /etc/gpuward";
  EXPECT_THAT(told(load_host_config(root)), ElementsAre(problem));
  write(main_file(), "");
  ::chmod(main_file().c_str(), 0644);
  EXPECT_THAT(told(load_host_config(root)), ElementsAre(problem));
}

TEST_F(ConfigLoad, FileFromWindows) {
  const LoadedConfig loaded =
      load("\xef\xbb\xbf[profile p]\r\ntype = t,\r\n  u\r\n\r\n[quota web-[0-9]*] ; note\r\np = 1");
  EXPECT_THAT(told(loaded), IsEmpty());
  ASSERT_THAT(loaded.config.profiles, SizeIs(1));
  EXPECT_THAT(loaded.config.profiles[0].types, ElementsAre("t", "u"));
  ASSERT_THAT(loaded.config.quotas, SizeIs(1));
  EXPECT_EQ(loaded.config.quotas[0].domains.pattern, "web-[0-9]*");
}

TEST_F(ConfigLoad, ExampleOfTheDesign) {
  const LoadedConfig loaded = load(R"([guard]
migration = block            ; block | warn | allow

[gpu 0000:41:00.0]           ; PCI address | vendor:device | mdev parent name | *
use = mdev                   ; mdev | vf | vendor-vf | whole | off
instances = mbochs-small:4   ; mdevs to keep ready
isolation = memory           ; memory | memory+compute, one per GPU
expect = serial:0324         ; refuse when other hardware sits at this address

[profile small]
type = mbochs-small          ; one or more alternatives, first fit
gpu = *                      ; which GPUs may serve it
placement = binpack          ; binpack | spread
numa = prefer                ; require | prefer | ignore

[profile quarter]
memory = 4096MiB             ; n x 128 MiB
compute = 25%                ; multiple of 5

[quota web-*]                ; domain name pattern; first match
small = 4
total = 8
)");
  EXPECT_THAT(told(loaded), IsEmpty());
  EXPECT_THAT(loaded.config.gpus, SizeIs(1));
  EXPECT_THAT(loaded.config.profiles, SizeIs(2));
  EXPECT_THAT(loaded.config.quotas, SizeIs(1));
}

static std::string source_text(const std::string& name) {
  std::ifstream file(in_source_tree(name));
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

TEST_F(ConfigLoad, InstalledFileSetsNothing) {
  const LoadedConfig loaded = load(source_text("config/gpuward.conf"));
  EXPECT_THAT(told(loaded), IsEmpty());
  EXPECT_THAT(loaded.config.gpus, IsEmpty());
  EXPECT_THAT(loaded.config.profiles, IsEmpty());
  EXPECT_THAT(loaded.config.quotas, IsEmpty());
}

TEST_F(ConfigLoad, InstalledFileWithItsExamplesSwitchedOn) {
  std::stringstream lines(source_text("config/gpuward.conf"));
  std::string text;
  for (std::string line; std::getline(lines, line);)
    text += (line.starts_with('#') && !line.starts_with("# ") ? line.substr(1) : line) + "\n";
  const LoadedConfig loaded = load(text);
  EXPECT_THAT(told(loaded), IsEmpty());
  EXPECT_THAT(loaded.config.gpus, SizeIs(2));
  EXPECT_THAT(loaded.config.profiles, SizeIs(3));
  EXPECT_THAT(loaded.unsupported, IsEmpty());  // what `check` would refuse is no example
}

TEST_F(ConfigLoad, ExamplesOfTheManualPage) {
  std::stringstream lines(source_text("docs/gpuward.conf.5"));
  std::string example;
  int examples = 0;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == ".Ed" && example.find("\n[") != std::string::npos) {
      EXPECT_THAT(problems(example), IsEmpty()) << example;
      ++examples;
    }
    if (line.starts_with('.')) inside = line.starts_with(".Bd -literal");
    if (line.starts_with('.')) example = "\n";
    if (inside && !line.starts_with('.')) example += line + "\n";
  }
  EXPECT_EQ(examples, 6);
}

}  // namespace gpuward
