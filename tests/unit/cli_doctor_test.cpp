// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/file.hpp"
#include "cli/commands.hpp"
#include "fake_host.hpp"
#include "state/claim_store.hpp"
#include "state/paths.hpp"

namespace gpuward {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

/// How often these directories and files are opened from now on.
class OpenCount {
 public:
  explicit OpenCount(const std::vector<std::string>& paths) {
    // With IN_CLOSE no two events in a row are the same: inotify(7) makes one of those.
    for (const std::string& path : paths)
      watched_[::inotify_add_watch(fd_.get(), path.c_str(), IN_OPEN | IN_CLOSE)] = path;
  }
  std::map<std::string, int> counts() const {
    std::map<std::string, int> counts;
    for (const auto& [watch, path] : watched_) counts[path] = 0;
    alignas(inotify_event) char buffer[65536];
    ssize_t size = 0;
    while ((size = ::read(fd_.get(), buffer, sizeof buffer)) > 0)
      for (ssize_t at = 0; at < size;) {
        const auto& event = *reinterpret_cast<const inotify_event*>(buffer + at);
        // What is opened in a watched directory has a name.
        if ((event.mask & IN_OPEN) && event.len == 0) ++counts[watched_.at(event.wd)];
        at += static_cast<ssize_t>(sizeof event + event.len);
      }
    return counts;
  }

 private:
  Fd fd_{::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
  std::map<int, std::string> watched_;
};

class DoctorCommandTest : public testing::Test {
 protected:
  static constexpr const char* card = "0000:41:00.0";
  static constexpr const char* vf = "0000:41:00.4";

  DoctorCommandTest() {
    host_.pci_gpu(card)
        .attribute("sriov_totalvfs", "4")
        .attribute("sriov_numvfs", "1")
        .link("virtfn0", std::string("../") + vf);
    host_.parent(vf).type("nvidia-557", 2).link("physfn", std::string("../") + card);
    Claims(host_.root()).make_ready();
  }
  /// No libvirt answers at this address.
  std::string doctor() const {
    testing::internal::CaptureStdout();
    doctor_command({host_.root(), "qemu+unix:///system?socket=/nothing", 0, false});
    return testing::internal::GetCapturedStdout();
  }
  FakeHost host_;
};

// The lists of PCI devices, parents and mdevs, a file of the card, and the claims.
TEST_F(DoctorCommandTest, reads_the_host_once) {
  host_.config(
      "[gpu 0000:41:*]\nuse = mdev\ninstances = nvidia-557:1\n[gpu mtty]\ninstances = mtty-1:1\n"
      "[gpu 0000:42:00.0]\nuse = mig\n");
  const Root& root = host_.root();
  const std::vector<std::string> paths{
      root.sys("bus/pci/devices"), root.sys("class/mdev_bus"), root.sys("bus/mdev/devices"),
      root.sys("bus/pci/devices/") + card + "/sriov_totalvfs", paths::claims(root)};
  for (const std::string& path : paths) ASSERT_TRUE(fs::exists(path)) << path;
  const OpenCount opened(paths);
  EXPECT_THAT(doctor(), HasSubstr("no mdev parent is named 'mtty'"));
  for (const auto& [path, count] : opened.counts()) EXPECT_EQ(count, 1) << path;
}

// Provisioning has to know which sections speak of it.
TEST_F(DoctorCommandTest, reads_a_vf_once_where_no_section_is_for_mig) {
  const std::string vendor = host_.root().sys("bus/pci/devices/") + vf + "/vendor";
  const OpenCount opened({vendor});
  doctor();
  EXPECT_EQ(opened.counts().at(vendor), 1);
}

}  // namespace
}  // namespace gpuward
