// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/commands.hpp"
#include "cli/definitions.hpp"
#include "config/config_parser.hpp"
#include "config/packaged_config.hpp"
#include "fake_host.hpp"
#include "source_tree.hpp"

namespace gpuward {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class SetupCommandTest : public testing::Test {
 protected:
  SetupCommandTest() {
    host_.pci_gpu("0000:41:00.0").pci_id(0x10de, 0x2236).attribute("drm/card1/dev", "226:1");
    host_.iommu_group(1, {"0000:41:00.0"});
    make_directories(host_.root().etc("gpuward/conf.d"));
  }
  /// The text for the file; what was found is in report_.
  std::string setup() {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    setup_command({host_.root(), libvirt_, 0, false}, false);
    report_ = testing::internal::GetCapturedStderr();
    return testing::internal::GetCapturedStdout();
  }
  /// Why it was not written; "" when it was.
  std::string write() {
    testing::internal::CaptureStdout();
    std::string why;
    try {
      setup_command({host_.root(), libvirt_, 0, false}, true);
    } catch (const Error& error) {
      why = error.what();
    }
    testing::internal::GetCapturedStdout();
    return why;
  }
  std::string path() const { return host_.root().etc("gpuward/gpuward.conf"); }
  std::vector<std::string> problems() {
    std::vector<std::string> lines;
    for (const ConfigProblem& problem : load_host_config(host_.root()).problems)
      lines.push_back(to_string(problem));
    return lines;
  }
  /// This domain is defined, with these devices.
  void define(const std::string& devices) {
    host_.file("/libvirt.xml",
               "<node><domain type='test'><name>db02</name>"
               "<uuid>d0000000-0000-4000-8000-000000000002</uuid><memory>8192</memory>"
               "<os><type>hvm</type></os><devices>" +
                   devices + "</devices></domain></node>");
    libvirt_ = "test://" + host_.root().prefix + "/libvirt.xml";
  }
  static std::string hostdev(const std::string& bus, const std::string& alias = "") {
    return "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "
           "bus='0x" +
           bus + "' slot='0x00' function='0x0'/></source>" +
           (alias.empty() ? "" : "<alias name='" + alias + "'/>") + "</hostdev>";
  }
  FakeHost host_;
  std::string report_, libvirt_;
};

/// An active `use = whole` would have the pool skip its checks, and vendor:device would let in what
/// is left alone.
TEST_F(SetupCommandTest, a_whole_card_is_assigned_by_its_profile_alone) {
  host_.pci_gpu("0000:42:00.0").pci_id(0x10de, 0x2236);
  host_.iommu_group(2, {"0000:42:00.0"});
  define(hostdev("42"));
  const std::string text = setup();
  EXPECT_THAT(report_, HasSubstr("0000:42:00.0: written by hand in the definition of domain "
                                 "'db02'"));
  EXPECT_THAT(text, HasSubstr("# [gpu 0000:41:00.0]\n# use = whole  ; or off\n"));
  EXPECT_THAT(text, HasSubstr("use = whole\ngpu = 0000:41:00.0\n"));
  host_.config(text);
  const Config config = load_host_config(host_.root()).config;
  EXPECT_THAT(config.gpus, IsEmpty());
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 2, false}, "profiles");
  const json profiles = json::parse(testing::internal::GetCapturedStdout())["profiles"];
  ASSERT_EQ(profiles.size(), 1U);
  EXPECT_EQ(profiles[0]["available"], 1U);
}

TEST_F(SetupCommandTest, a_card_of_which_a_shut_off_domain_may_have_a_vf_is_not_switched_off) {
  host_.process(812, "Xorg", {"/dev/dri/card1"});
  host_.sriov("0000:41:00.0", 7);
  EXPECT_THAT(setup(), HasSubstr("use = off"));
  define(hostdev("43", "ua-gpuward-0"));
  EXPECT_THAT(setup(), Not(HasSubstr("use = off"))) << "no such device now";
  host_.pci_gpu("0000:43:00.0").attribute("class", "0x020000");
  EXPECT_THAT(setup(), HasSubstr("use = off")) << "it is another device";
  define(
      "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address "
      "uuid='00000000-0000-4000-8000-000000000001'/></source></hostdev>");
  EXPECT_THAT(setup(), Not(HasSubstr("use = off")));
}

/// libvirt's test driver drops what is QEMU's.
TEST_F(SetupCommandTest, a_readconfig_may_have_any_gpu) {
  const auto unknown = [&](const std::string& argument) {
    Definitions definitions;
    add_definition(host_.root(),
                   "<domain><name>db02</name><uuid>d0000000-0000-4000-8000-000000000002</uuid>\n"
                   "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
                   "<q:arg value='" +
                       argument + "'/><q:arg value='/x'/></q:commandline></domain>",
                   definitions);
    return to_string(definitions.unknown);
  };
  EXPECT_EQ(unknown("-readconfig"),
            "domain 'db02': domain XML line 3: the file of -readconfig is not searched for GPUs");
  EXPECT_EQ(unknown("-kernel"), "");
}

TEST_F(SetupCommandTest, a_card_attached_to_a_domain_that_is_shut_off_is_not_switched_off) {
  host_.process(812, "Xorg", {"/dev/dri/card1"});
  EXPECT_THAT(setup(), HasSubstr("use = off"));
  define(hostdev("41", "ua-gpuward-0"));
  EXPECT_THAT(setup(), Not(HasSubstr("use = off")));
  EXPECT_THAT(report_, HasSubstr("attached in the definitions of: db02"));
  host_.ends(812);
  host_.sriov("0000:41:00.0", 7);
  host_.pci_gpu("0000:41:00.0").pci_id(0x8086, 0x56c0).driver("i915");
  EXPECT_THAT(setup(), HasSubstr("# use = whole"));
  define("");
  EXPECT_THAT(setup(), HasSubstr("use = vf"));
}

TEST_F(SetupCommandTest, nothing_is_proposed_or_written_while_domains_are_unknown) {
  host_.file("/run/gpuward/claims/d0000000-0000-4000-8000-000000000001", "nonsense\n");
  EXPECT_THAT(setup(), Not(HasSubstr("[profile")));
  EXPECT_THAT(report_, HasSubstr("0000:41:00.0: which domains have it is unknown: "));
  EXPECT_THAT(write(), HasSubstr("gpuward setup --write: "));
  EXPECT_FALSE(exists(path()));
  std::filesystem::remove(
      host_.root().at("/run/gpuward/claims/d0000000-0000-4000-8000-000000000001"));
  libvirt_ = "qemu+unix:///system?socket=/nonexistent";
  EXPECT_THAT(setup(), Not(HasSubstr("[profile")));
  EXPECT_THAT(write(), HasSubstr("which domains have GPUs is unknown, nothing is written"));
  EXPECT_FALSE(exists(path()));
}

/// Sections by address outrank [gpu *].
TEST_F(SetupCommandTest, write_does_not_override_sections_of_the_administrator) {
  const std::string file = host_.root().etc("gpuward/conf.d/10-off.conf");
  write_file_atomically(file, "# ours\n[gpu *]\nuse = off\n");
  EXPECT_EQ(write(), file +
                         ":2: has [gpu *], which a section of the same GPU in gpuward.conf may "
                         "override; nothing is written; write what is wanted of the output of "
                         "gpuward setup into gpuward.conf");
  EXPECT_FALSE(exists(path()));
  write_file_atomically(file, "[gpu *\n");
  EXPECT_THAT(write(), HasSubstr("whether it has a [gpu] section is unknown"));
  write_file_atomically(file, "[profile gpu]\ntype = a\n");
  EXPECT_EQ(write(), "");
}

TEST_F(SetupCommandTest, what_is_printed_passes_check_and_its_profiles_can_be_assigned) {
  host_.parent("mtty").type("mtty-1", 24).type("mtty-2", 12);
  host_.config(setup());
  EXPECT_THAT(problems(), IsEmpty());
  EXPECT_THAT(report_, HasSubstr("0000:41:00.0 (10de:2236): can be assigned as whole"));
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 2, false}, "profiles");
  const json profiles = json::parse(testing::internal::GetCapturedStdout())["profiles"];
  ASSERT_EQ(profiles.size(), 3U);
  for (const json& profile : profiles) EXPECT_GT(profile["available"], 0U) << profile;
}

TEST_F(SetupCommandTest, programs_of_the_host_are_named_without_their_number_in_the_file) {
  host_.process(812, "Xorg", {"/dev/dri/card1"});
  const std::string text = setup();
  EXPECT_THAT(report_, HasSubstr("open in process 812 (Xorg)"));
  EXPECT_THAT(report_, HasSubstr("0000:41:00.0: in use by process 812 (Xorg)"));
  EXPECT_THAT(text, HasSubstr("# Left alone: in use by Xorg\n[gpu 0000:41:00.0]\nuse = off\n"));
  EXPECT_THAT(text, Not(HasSubstr("812")));
  host_.ends(812);
  host_.process(900, "Xorg", {"/dev/dri/card1"});
  EXPECT_EQ(setup(), text);
}

TEST_F(SetupCommandTest, the_boot_display_and_a_management_controllers_display_are_left_alone) {
  host_.pci_gpu("0000:41:00.0").attribute("class", "0x030000").attribute("boot_vga", "1");
  host_.pci_gpu("0000:42:00.0").pci_id(0x1a03, 0x2000).attribute("class", "0x030000");
  host_.iommu_group(2, {"0000:42:00.0"});
  const std::string text = setup();
  EXPECT_THAT(report_, HasSubstr("0000:41:00.0: boot display of the host"));
  EXPECT_THAT(report_, HasSubstr("0000:42:00.0: display of the server's management controller"));
  EXPECT_THAT(text, Not(HasSubstr("[profile")));
}

TEST_F(SetupCommandTest, names_of_others_cannot_write_into_the_configuration) {
  host_.process(812, "X\n[gpu *]\nuse = whole", {"/dev/dri/card1"});
  host_.config(setup());
  EXPECT_THAT(problems(), IsEmpty());
  EXPECT_EQ(load_host_config(host_.root()).config.gpus.size(), 1U);
}

TEST_F(SetupCommandTest, a_card_in_an_iommu_group_with_a_device_of_the_host_is_left_alone) {
  host_.pci_gpu("0000:43:00.0").pci_id(0x10de, 0x2236);
  host_.pci_gpu("0000:44:00.0").attribute("class", "0x020000").driver("igb");
  host_.iommu_group(3, {"0000:43:00.0", "0000:44:00.0"});
  setup();
  EXPECT_THAT(report_, HasSubstr("0000:43:00.0: in an IOMMU group with 0000:44:00.0, which is "
                                 "bound to a host driver"));
}

TEST_F(SetupCommandTest, json_has_what_was_found_and_the_text) {
  testing::internal::CaptureStdout();
  setup_command({host_.root(), "", 2, false}, false);
  const json object = json::parse(testing::internal::GetCapturedStdout());
  EXPECT_EQ(object["gpus"][0]["gpu"], "0000:41:00.0");
  EXPECT_EQ(object["sections"][0]["use"], "whole");
  EXPECT_EQ(object["profiles"][0]["gpus"], json::array({"0000:41:00.0"}));
  EXPECT_EQ(object["config"], setup());
  EXPECT_EQ(object["written"], false);
}

TEST_F(SetupCommandTest, write_installs_what_is_printed) {
  const mode_t before = ::umask(077);
  EXPECT_EQ(write(), "");
  ::umask(before);
  EXPECT_EQ(read_file(path()), setup());
  struct stat info;
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0644U);
  EXPECT_EQ(info.st_uid, ::geteuid());
  EXPECT_THAT(list_directory(host_.root().etc("gpuward")), ElementsAre("conf.d", "gpuward.conf"));
  EXPECT_EQ(write(), "") << "a second time it is as it should be";
}

TEST_F(SetupCommandTest, write_replaces_the_file_of_the_package_and_no_edited_one) {
  EXPECT_EQ(packaged_config(), read_file(in_source_tree("config/gpuward.conf")));
  host_.config(std::string(packaged_config()));
  EXPECT_EQ(write(), "");
  EXPECT_EQ(read_file(path()), setup());
  const std::string edited = std::string(packaged_config()) + "\n";
  host_.config(edited);
  EXPECT_THAT(write(), HasSubstr("gpuward.conf: differs from what the package installs, not "
                                 "replaced; run: gpuward setup | diff "));
  EXPECT_EQ(read_file(path()), edited);
}

TEST_F(SetupCommandTest, write_follows_no_link) {
  const std::string other = host_.root().etc("other.conf");
  write_file_atomically(other, std::string(packaged_config()));
  ASSERT_EQ(::symlink(other.c_str(), path().c_str()), 0);
  EXPECT_THAT(write(), HasSubstr("not a regular file"));
  EXPECT_EQ(read_file(other), packaged_config());
}

TEST_F(SetupCommandTest, write_needs_a_directory_that_only_root_can_change) {
  ASSERT_EQ(::chmod(host_.root().etc("gpuward").c_str(), 0777), 0);
  EXPECT_THAT(write(), HasSubstr("others than root may write"));
  EXPECT_FALSE(exists(path()));
}

}  // namespace
}  // namespace gpuward
