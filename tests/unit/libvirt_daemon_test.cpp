// SPDX-License-Identifier: LGPL-2.1-or-later
#include "libvirt/daemon.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

class LibvirtDaemonTest : public testing::Test {
 protected:
  void pid_file(const std::string& name, const std::string& text) {
    make_directories(host_.root().at("/run"));
    write_file_atomically(host_.root().at("/run/") + name + ".pid", text);
  }
  std::string running() {
    const auto daemon = running_daemon(host_.root());
    return daemon ? daemon->name + " " + std::to_string(daemon->pid) : "none";
  }
  FakeHost host_;
};

TEST_F(LibvirtDaemonTest, runs_when_its_pid_file_names_a_process_of_its_name) {
  EXPECT_EQ(running(), "none");
  pid_file("libvirtd", "4711\n");
  EXPECT_EQ(running(), "none");  // a stale file
  host_.process(4711, "bash", {});
  EXPECT_EQ(running(), "none");  // and the number taken by another
  host_.ends(4711);
  host_.process(4711, "libvirtd", {});
  EXPECT_EQ(running(), "libvirtd 4711");
}

TEST_F(LibvirtDaemonTest, may_be_the_modular_one) {
  pid_file("virtqemud", "12");
  host_.process(12, "virtqemud", {});
  EXPECT_EQ(running(), "virtqemud 12");
}

TEST_F(LibvirtDaemonTest, a_pid_file_with_rubbish_is_none) {
  for (const char* text : {"", "libvirtd", "-1 x", "99999999999999999999"}) {
    pid_file("libvirtd", text);
    EXPECT_EQ(running(), "none") << text;
  }
}

TEST_F(LibvirtDaemonTest, started_when_the_pid_file_was_written) {
  pid_file("libvirtd", "12");
  host_.process(12, "libvirtd", {});
  const timespec times[2] = {{1000, 5}, {1000, 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, host_.root().at("/run/libvirtd.pid").c_str(), times, 0), 0);
  EXPECT_EQ(running_daemon(host_.root())->started, 1'000'000'000'007);
}

TEST(LastReload, is_a_change_of_state_since_the_unit_became_active) {
  EXPECT_EQ(parse_last_reload("s \"active\"\nt 1796089558584137\nt 1796089610738870\n"),
            1796089610738870000);
}

TEST(LastReload, has_not_been_or_is_unknown) {
  for (const char* text :
       {"s \"active\"\nt 1796089558584137\nt 1796089558584137\n",  // it became active last
        "s \"failed\"\nt 1796089558584137\nt 1796089610738870\n",  // a daemon started by hand
        "s \"active\"\nt 0\nt 1796089610738870\n", "s \"active\"\nt 1\nt 0\n",
        "s \"active\"\nt 1\nt x\n", "s \"active\"\nt 1\nt -5\n",
        "s \"active\"\nt 1\nt 99999999999999999999\n", "s \"active\"\nt 1\nt 9223372036854775807\n",
        "s \"active\"\nt 1\n", "t 1\nt 2\nt 3", ""})
    EXPECT_FALSE(parse_last_reload(text)) << text;
}

TEST(AccessDrivers, name_polkit) {
  for (const char* text :
       {"access_drivers = [ \"polkit\" ]", "access_drivers=[\"polkit\"]\n",
        "a = 1\n  access_drivers = [ \"nop\", \"polkit\" ]\nb = 2\n",
        "access_drivers = [\n  \"nop\",   # one\n  \"polkit\"\n]\n", "access_drivers = 'polkit'",
        "access_drivers = [ 'polkit' ]", "access_drivers = []\naccess_drivers = [ \"polkit\" ]",
        "access_drivers = [ \"polkit\"  # no end"})
    EXPECT_TRUE(names_access_driver(text, "polkit")) << text;
}

TEST(AccessDrivers, do_not_name_polkit) {
  for (const char* text :
       {"", "#access_drivers = [ \"polkit\" ]", "  # access_drivers = [ \"polkit\" ]",
        "access_drivers = [ \"none\" ]\nx = \"polkit\"", "access_drivers = [ ]", "access_drivers",
        "access_drivers =", "access_drivers = [ \"nop\" # \"polkit\"\n]",
        "access_drivers = [ polkit ]", "auth_unix_rw = \"polkit\"\n",
        "access_drivers = [ \"polkitx\" ]"})
    EXPECT_FALSE(names_access_driver(text, "polkit")) << text;
}

}  // namespace
}  // namespace gpuward
