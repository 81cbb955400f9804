// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/child_process.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/commands.hpp"
#include "fake_host.hpp"
#include "inventory/host_record.hpp"
#include "mdev/provisioned.hpp"
#include "pci/pci_device.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string card = "0000:41:00.0", serial = "48-b0-2d-ff-ff-12-34-56";
const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid mine = *parse_uuid("73168fe1-3c40-5430-b083-344f87e93219");

class GatherTest : public testing::Test {
 protected:
  /// The directory that stands for the host as it is recorded.
  std::string gather(const std::vector<std::string>& parts = {}) {
    std::filesystem::remove(file_);
    testing::internal::CaptureStdout();
    // Of another libvirt nothing is asked, and its library is not loaded.
    gather_command({host_.root(), "qemu:///session", 0, false}, file_, parts);
    std::fflush(stdout);
    printed_ = testing::internal::GetCapturedStdout();
    const std::string top = directory_ / "gpuward-gather";
    std::filesystem::remove_all(top);
    EXPECT_TRUE(output_of("/usr/bin/tar", {"-xf", file_, "-C", directory_.path()},
                          std::chrono::seconds(60), 4096, RunAs::ourselves));
    return top;
  }

  /// All that the commands print of a host, without its directory.
  static std::string printed(const std::string& root) {
    testing::internal::CaptureStdout();
    const Settings settings{{root}, "", 2, false};
    for (const char* const what : {"gpus", "types", "instances", "domains", "profiles"})
      list_command(settings, what);
    plan_command(settings);
    for (const PciAddress& address : pci_addresses(settings.root)) try {
        show_command(settings, to_string(address));
      } catch (const Error&) {  // no GPU
      }
    std::fflush(stdout);
    return without(testing::internal::GetCapturedStdout(), {{root, ""}});
  }

  static std::string without(std::string text,
                             const std::vector<std::pair<std::string, std::string>>& replaced) {
    for (const auto& [from, to] : replaced)
      for (size_t at; (at = text.find(from)) != text.npos;) text.replace(at, from.size(), to);
    return text;
  }

  /// The record says what the host says, but for these texts.
  void expect_same(const std::vector<std::pair<std::string, std::string>>& replaced = {}) {
    EXPECT_EQ(printed(gather({"config"})), without(printed(host_.root().prefix), replaced));
  }

  /// A PCI function with all that is read of one.
  FakeDevice& device(const std::string& address) {
    return host_.pci_gpu(address)
        .attribute("power_state", "D0")
        .attribute("power/runtime_status", "active")
        .attribute("subsystem_vendor", "0x10de")
        .attribute("subsystem_device", "0x145a")
        .attribute("local_cpulist", "0-15")
        .attribute("boot_vga", "0")
        .attribute("current_link_speed", "8.0 GT/s PCIe")
        .attribute("current_link_width", "8")
        .attribute("max_link_speed", "16.0 GT/s PCIe")
        .attribute("max_link_width", "16")
        .attribute("aer_dev_correctable", "RxErr 1\nTOTAL_ERR_COR 3")
        .attribute("aer_dev_nonfatal", "TOTAL_ERR_NONFATAL 1")
        .attribute("aer_dev_fatal", "TOTAL_ERR_FATAL 0")
        .attribute("reset", "")
        .attribute("reset_method", "flr bus");
  }

  void claim(const Uuid& domain, const std::string& name, const ClaimedDevice& device) {
    const Claims claims(host_.root());
    claims.make_ready();
    claims.write({domain, name, {device}});
  }

  FakeHost host_;
  TempDir directory_;
  const std::string file_ = directory_ / "record.tar";
  std::string printed_;
};

TEST_F(GatherTest, a_host_without_a_gpu) {
  expect_same();
}

TEST_F(GatherTest, a_card_behind_a_bridge_with_its_group_and_companions) {
  host_.pci_gpu("0000:40:01.0")
      .attribute("class", "0x060400")
      .attribute("aer_dev_correctable", "TOTAL_ERR_COR 7")
      .attribute("aer_dev_nonfatal", "TOTAL_ERR_NONFATAL 0")
      .attribute("aer_dev_fatal", "TOTAL_ERR_FATAL 0");
  device(card).pci_id(0x10de, 0x2235).numa_node(1).driver("nvidia");
  device(card).attribute("config", config_space_of(serial));
  device("0000:41:00.1").attribute("class", "0x040300").driver("snd_hda_intel");
  host_.pci_gpu("0000:42:00.0").attribute("class", "0x020000").driver("igb");
  host_.iommu_group(7, {card, "0000:41:00.1", "0000:42:00.0"});
  host_.move_below("0000:40:01.0", card);
  host_.file("/sys/bus/pci/slots/4/address", "0000:41:00\n");
  host_.file("/sys/bus/pci/slots/5/address", "0000:51:00\n");
  host_.file("/proc/driver/nvidia/gpus/" + card + "/information",
             "GPU UUID: \t GPU-" + to_string(web01) + "\nDevice Minor: \t 0\n");
  host_.config("[profile card]\nuse = whole\n");
  expect_same({{to_string(web01), "00000000-0000-4000-8000-000000000001"},
               {serial, "00-00-00-00-00-00-00-01"}});
  EXPECT_THAT(printed(host_.root().prefix), HasSubstr(serial)) << "or nothing is compared";
}

TEST_F(GatherTest, cards_of_amd_and_the_console) {
  device("0000:03:00.0")
      .attribute("serial_number", "692223001234")
      .attribute("unique_id", "0x1234567890abcdef")
      .attribute("boot_vga", "1")
      .attribute("graphics/fb0/dev", "29:0");
  device("0000:03:00.1").attribute("class", "0x040300");  // in no group with it
  expect_same({{"692223001234", "000000000001"}, {"0x1234567890abcdef", "000000000000000002"}});
}

TEST_F(GatherTest, mediated_devices_of_all_parents) {
  host_.parent("mtty").type("mtty-1", 4);
  host_.instance("mtty", "mtty-1", provisioned_uuid("mtty", "mtty-1", 0));
  device(card);
  host_.sriov(card, 4);
  host_.set_vfs(card, 2);
  host_.parent("0000:41:00.1").type("nvidia-63", 1);
  host_.parent("0000:41:00.2").type("nvidia-63", 1);
  host_.instance("0000:41:00.1", "nvidia-63", mine);
  host_.config("[gpu mtty]\ninstances = mtty-1:2\n[profile p]\ntype = nvidia-63\n");
  ClaimedDevice instance{.alias = "ua-gpuward-0",
                         .profile = "p",
                         .instance = mine,
                         .parent = "0000:41:00.1",
                         .type = "nvidia-63"};
  claim(web01, "web01", instance);
  expect_same({{"web01", "domain-1"},
               {to_string(web01), "00000000-0000-4000-8000-000000000001"},
               {to_string(mine), "00000000-0000-4000-8000-000000000002"}});
  EXPECT_THAT(printed(host_.root().prefix), HasSubstr("web01"));
}

TEST_F(GatherTest, vendor_vfs_quarantine_and_single_use) {
  device(card).attribute("config", config_space_of(serial));
  host_.sriov(card, 4);
  host_.set_vfs(card, 3);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2", "0000:41:00.3"})
    host_.pci_gpu(vf)
        .attribute("nvidia/current_vgpu_type", vf == std::string("0000:41:00.2") ? "1145" : "0")
        .attribute("nvidia/creatable_vgpu_types", "ID : vGPU Name\n1145 : NVIDIA L40S-1B")
        .attribute("vfio-dev/vfio0/dev", "511:0");
  host_.config("[gpu *]\nuse = vendor-vf\nvfs = 4\n[profile p]\nuse = vendor-vf\ntype = 1145\n");
  mark_used(host_.root(), at("0000:41:00.1"), web01, "web01");
  ClaimedDevice vf = whole_card("0000:41:00.3");
  vf.use = Use::vendor_vf;
  vf.parent = card;
  record_quarantine(host_.root(), {mine, "db02", {}}, vf);
  expect_same({{"web01", "domain-2"},
               {"db02", "domain-1"},
               {to_string(mine), "00000000-0000-4000-8000-000000000001"},
               {serial, "00-00-00-00-00-00-00-01"}});
}

TEST_F(GatherTest, a_device_that_only_the_configuration_makes_a_gpu) {
  device("0000:05:00.0").attribute("class", "0x088000").pci_id(0x1234, 0x5678);
  device("0000:06:00.0").attribute("class", "0x088000").pci_id(0x1234, 0x9999);
  host_.config("[gpu 1234:5678]\nuse = whole\n[profile p]\nuse = whole\n");
  expect_same();
  EXPECT_FALSE(exists(directory_ / "gpuward-gather/sys/bus/pci/devices/0000:06:00.0"));
}

/// Reading its configuration space or its link would resume it.
TEST_F(GatherTest, a_suspended_card_is_not_read) {
  device(card)
      .attribute("power_state", "D3cold")
      .attribute("power/runtime_status", "suspended")
      .attribute("config", config_space_of(serial));
  expect_same();
  const std::string recorded = gather() + "/sys/bus/pci/devices/" + card;
  EXPECT_EQ(read_file(recorded + "/config"), "");
  EXPECT_FALSE(exists(recorded + "/current_link_speed"));
}

TEST_F(GatherTest, of_configuration_space_only_the_serial_number_is_recorded) {
  device(card).attribute("config", config_space_of(serial) + "secret");
  EXPECT_EQ(read_file(gather() + "/sys/bus/pci/devices/" + card + "/config"),
            config_space_of("00-00-00-00-00-00-00-01"));
}

/// Its reader waits for the lock that a change of it holds.
TEST_F(GatherTest, the_number_of_vfs_is_not_read) {
  device(card);
  host_.sriov(card, 2);
  EXPECT_FALSE(exists(gather() + "/sys/bus/pci/devices/" + card + "/sriov_numvfs"));
}

TEST_F(GatherTest, what_xe_gave_the_vfs_is_recorded_of_an_active_card) {
  host_.sriov(card, 2);
  const std::string quota = "sriov_admin/vf2/profile/vram_quota";
  device(card).attribute("power_state", "D0").attribute(quota, "4294967296");
  const std::string recorded = "/sys/bus/pci/devices/" + card + '/' + quota;
  EXPECT_EQ(read_file(gather() + recorded), "4294967296\n");
  device(card).attribute("power_state", "D3cold").attribute("power/runtime_status", "suspended");
  EXPECT_FALSE(exists(gather() + recorded)) << "to read it resumes the card";
}

TEST_F(GatherTest, what_cannot_be_read_is_named_in_its_log) {
  device(card);
  const std::string path = pci_path(host_.root(), at(card)) + "/reset_method";
  std::filesystem::remove(path);
  make_directories(path);  // EISDIR
  const std::string log = read_file(gather() + "/gather.log").value();
  EXPECT_THAT(log, HasSubstr("cannot read /sys/devices/pci0000:00/" + card +
                             "/reset_method: Is a directory\n"));
  EXPECT_THAT(printed_, HasSubstr("1 file(s) could not be read"));
}

TEST_F(GatherTest, more_is_recorded_on_request) {
  host_.config("# secret\n[profile p]\nuse = whole\n");
  host_.file("/etc/gpuward/conf.d/10.conf", "[quota acme]\n");
  host_.file("/proc/sys/kernel/osrelease", "6.1.0-38-amd64\n");
  host_.file("/run/gpuward/qemu/x", "1 2 3 4.5\n7002022\n/usr/bin/qemu-system-x86_64\n");
  host_.file("/sys/module/nvidia/version", "550.90.05\n");
  std::string top = gather();
  for (const char* const name : {"/etc/gpuward/gpuward.conf", "/versions", "/journal"})
    EXPECT_FALSE(exists(top + name)) << name;
  top = gather({"config", "versions", "journal"});
  EXPECT_EQ(read_file(top + "/etc/gpuward/gpuward.conf"), "\n[profile p]\nuse = whole\n");
  EXPECT_EQ(read_file(top + "/etc/gpuward/conf.d/10.conf"), "[quota domain-1]\n");
  EXPECT_EQ(read_file(top + "/versions"), "gpuward " GPUWARD_VERSION
                                          "\nkernel 6.1.0-38-amd64\nlibvirt unknown\nqemu unknown "
                                          "/usr/bin/qemu-system-x86_64\nnvidia 550.90.05\n")
      << "there is no such QEMU now";
}

/// The program in it may be anyone's.
TEST_F(GatherTest, of_a_host_in_a_directory_no_program_is_run) {
  const std::string mark = directory_ / "mark";
  host_.file("/usr/bin/journalctl", "#!/bin/sh\necho x >" + mark + "\n");
  ::chmod((host_.root().prefix + "/usr/bin/journalctl").c_str(), 0755);
  const std::string top = gather({"journal"});
  EXPECT_FALSE(exists(mark));
  EXPECT_FALSE(exists(top + "/journal"));
  EXPECT_EQ(read_file(top + "/gather.log"),
            "gpuward " GPUWARD_VERSION "\ncannot read the journal\n");
  EXPECT_THAT(printed_, HasSubstr("the journal is not recorded with --root"));
}

/// In its place a link to itself (ELOOP), as root reads what others may not.
TEST_F(GatherTest, what_can_be_read_is_recorded_beside_what_cannot) {
  const std::string prefix = host_.root().prefix;
  host_.config("[profile p]\nuse = whole\n");
  device(card).without("reset");
  const std::string paths[] = {"/etc/gpuward/conf.d", "/run/gpuward/qemu",
                               pci_path(host_.root(), at(card)).substr(prefix.size()) + "/reset"};
  for (const std::string& path : paths) {
    make_directories(prefix + path.substr(0, path.rfind('/')));
    std::filesystem::remove(prefix + path);
    std::filesystem::create_symlink(prefix + path, prefix + path);
  }
  const std::string top = gather({"config", "versions"});
  EXPECT_EQ(read_file(top + "/etc/gpuward/gpuward.conf"), "[profile p]\nuse = whole\n");
  EXPECT_THAT(read_file(top + "/versions").value(), HasSubstr("\nqemu unknown\n"));
  const std::string log = read_file(top + "/gather.log").value();
  for (const char* const path : {"/etc/gpuward/conf.d", "/run/gpuward/qemu", "/reset"})
    EXPECT_THAT(log, HasSubstr(path + std::string(": Too many levels of symbolic links\n")));
}

TEST_F(GatherTest, no_file_is_replaced) {
  write_file_atomically(file_, "mine");
  EXPECT_THROW(gather_command({host_.root(), "", 0, false}, file_, {}), Error);
  EXPECT_EQ(read_file(file_), "mine");
}

TEST_F(GatherTest, the_archive_is_its_owners) {
  gather();
  struct stat info;
  ASSERT_EQ(::stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(GatherTest, nothing_of_the_host_is_changed) {
  device(card);
  const auto before = host_.tree("");
  gather({"config", "versions", "journal"});
  EXPECT_EQ(host_.tree(""), before);
}

}  // namespace
}  // namespace gpuward
