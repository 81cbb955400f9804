// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/doctor/guard_status.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.hpp"
#include "base/lock.hpp"
#include "fake_host.hpp"
#include "state/claim_store.hpp"
#include "state/gpu_domain_marker.hpp"
#include "state/paths.hpp"

namespace gpuward {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;
using LinkState = HookLink::State;

class HostLayersTest : public testing::Test {
 protected:
  HostLayersTest() {
    file("/usr/sbin/gpuward-qemu-hook", "\177ELF", 0755);
    make_directories(root_.etc("libvirt/hooks/qemu.d"));
  }
  void file(const std::string& path, const std::string& text, unsigned mode = 0644) {
    fs::create_directories(fs::path(root_.at(path)).parent_path());
    write_file_atomically(root_.at(path), text, mode);
    ASSERT_EQ(::chmod(root_.at(path).c_str(), mode), 0);
  }
  void link(const std::string& target = hook_program) {
    fs::remove(root_.at(hook_link));
    fs::create_symlink(target, root_.at(hook_link));
  }
  /// `seconds` from now; below zero it has run for some time.
  void daemon_started(int seconds, const std::string& name = "libvirtd") {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    daemon_started_at((now.tv_sec + seconds) * Moment{1'000'000'000}, name);
  }
  void daemon_started_at(Moment moment, const std::string& name = "libvirtd") {
    const timespec time{moment / 1'000'000'000, moment % 1'000'000'000};
    const timespec times[2] = {time, time};
    file("/run/" + name + ".pid", "4711");
    ASSERT_EQ(::utimensat(AT_FDCWD, root_.at("/run/" + name + ".pid").c_str(), times, 0), 0);
    if (!exists(root_.proc("4711"))) host_.process(4711, name, {});
  }
  HostLayers status() const { return read_guard_status(root_, Claims(root_).all().readable); }
  LinkState link_state() { return read_hook_link(root_).state; }

  FakeHost host_;
  Root root_ = host_.root();
};

TEST_F(HostLayersTest, the_link_is_good_only_as_the_package_makes_it) {
  EXPECT_EQ(link_state(), LinkState::absent);
  link();
  EXPECT_EQ(link_state(), LinkState::good);
  link("/dev/null");
  EXPECT_EQ(link_state(), LinkState::turned_off);
  link("/usr/local/bin/my-hook");
  EXPECT_EQ(link_state(), LinkState::foreign);
  fs::remove(root_.at(hook_link));
  file(hook_link, "#!/bin/sh\n", 0755);
  EXPECT_EQ(link_state(), LinkState::foreign);
}

TEST_F(HostLayersTest, the_program_must_be_there_and_executable) {
  link();
  ASSERT_EQ(::chmod(root_.at(hook_program).c_str(), 0644), 0);
  EXPECT_EQ(link_state(), LinkState::not_executable);
  fs::remove(root_.at(hook_program));
  EXPECT_EQ(link_state(), LinkState::dangling);
}

TEST_F(HostLayersTest, libvirt_runs_every_executable_file_whatever_its_name) {
  file("/etc/libvirt/hooks/qemu", "#!/bin/sh\n", 0755);
  file("/etc/libvirt/hooks/qemu.d/10-a", "#!/bin/sh\n", 0755);
  file("/etc/libvirt/hooks/qemu.d/10-a~", "#!/bin/sh\n", 0701);
  file("/etc/libvirt/hooks/qemu.d/20-text", "text\n", 0644);
  make_directories(root_.etc("libvirt/hooks/qemu.d/30-directory"));
  const std::string hooks = root_.etc("libvirt/hooks/qemu");
  EXPECT_THAT(qemu_hooks(root_),
              testing::ElementsAre(hooks, hooks + ".d/10-a", hooks + ".d/10-a~"));
}

TEST_F(HostLayersTest, a_link_older_than_the_daemon_is_seen) {
  link();
  daemon_started(60);
  EXPECT_EQ(status().seen.seen, Tristate::yes);
}

TEST_F(HostLayersTest, a_link_newer_than_the_daemon_is_not_known_to_be_seen) {
  link();
  daemon_started(-60);
  const HookSeen seen = status().seen;
  EXPECT_EQ(seen.seen, Tristate::unknown);
  EXPECT_THAT(seen.reason, HasSubstr("the hook is newer than the running libvirtd"));
}

/// The link is older than the daemon, but libvirt passed the program over when it started.
TEST_F(HostLayersTest, a_program_made_executable_after_the_daemon_started_is_not_known_to_be_seen) {
  link();
  const Moment linked = *changed_at(root_.at(hook_link));
  while (*changed_at(root_.at(hook_program)) <= linked + 10'000'000)
    ASSERT_EQ(::chmod(root_.at(hook_program).c_str(), 0755), 0);
  daemon_started_at(linked + 5'000'000);
  ASSERT_LT(linked, status().daemon->started);
  EXPECT_EQ(status().seen.seen, Tristate::unknown);
  daemon_started(60);
  EXPECT_EQ(status().seen.seen, Tristate::yes);
}

/// The only other hook had no right to be executed when the daemon started.
TEST_F(HostLayersTest, another_hook_counts_from_when_it_and_the_link_to_it_are_as_they_are) {
  const std::string script = root_.at("/script"), other = root_.etc("libvirt/hooks/qemu.d/10-a");
  file("/script", "#!/bin/sh\n", 0755);
  fs::create_symlink(script, other);
  const Moment before = *changed_at(other);
  while (*changed_at(script) <= before) ASSERT_EQ(::chmod(script.c_str(), 0755), 0);
  EXPECT_EQ(file_changed_at(other), changed_at(script));
  const Moment at_script = *changed_at(script);
  while (changed_at(other).value_or(0) <= at_script) {
    fs::remove(other);
    fs::create_symlink(script, other);
  }
  EXPECT_EQ(file_changed_at(other), changed_at(other));
}

TEST(HookFix, ends_with_the_reload_of_the_daemon_that_runs) {
  using State = HookLink::State;
  HostLayers layers;
  for (const State state :
       {State::absent, State::turned_off, State::dangling, State::foreign, State::not_executable}) {
    layers.link.state = state;
    layers.daemon.reset();
    const std::string fix = hook_fix(layers);
    EXPECT_FALSE(fix.empty());
    EXPECT_THAT(fix, testing::Not(HasSubstr("reload")))
        << "a daemon looks for hooks when it starts";
    layers.daemon = LibvirtDaemon{"virtqemud", 1, 1};
    EXPECT_EQ(hook_fix(layers), fix + "; systemctl reload virtqemud");
  }
  layers.link.state = State::good;
  EXPECT_EQ(hook_fix(layers), "systemctl reload virtqemud");
}

TEST_F(HostLayersTest, a_mark_of_the_hook_shows_that_it_was_called) {
  link();
  daemon_started(-60);
  const Uuid domain = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
  while (changed_at(root_.run("gpu-domains/") + to_string(domain)).value_or(0) <=
         *changed_at(root_.at(hook_link)))
    mark_gpu_domain(root_, domain, "web01");  // the kernel's clock for files is coarse
  EXPECT_EQ(status().seen.seen, Tristate::yes);
}

TEST_F(HostLayersTest, what_systemd_says_of_a_reload_counts) {
  link();
  daemon_started(-60);
  file("/usr/bin/busctl",
       "#!/bin/sh\nprintf 's \"active\"\\nt 8000000000000000\\nt 9000000000000000\\n'\n", 0755);
  ASSERT_EQ(::chmod(root_.prefix.c_str(), 0755), 0);
  EXPECT_EQ(status().seen.seen, Tristate::yes);
}

TEST_F(HostLayersTest, a_daemon_that_is_off_will_see_it) {
  EXPECT_EQ(status().seen.seen, Tristate::no);
  link();
  EXPECT_EQ(status().seen.seen, Tristate::yes);
}

TEST(HookSeenTest, each_way_to_know) {
  using T = HookTrace;
  const auto seen = [](const T& times) { return hook_is_active(times, "libvirtd").seen; };
  EXPECT_EQ(seen(T{.started = 10, .linked = 9}), Tristate::yes);
  EXPECT_EQ(seen(T{.started = 10, .linked = 10}), Tristate::unknown);
  EXPECT_EQ(seen(T{.started = 10, .linked = 20}), Tristate::unknown);
  EXPECT_EQ(seen(T{.started = 10, .reloaded = 30, .linked = 20}), Tristate::yes);
  EXPECT_EQ(seen(T{.started = 10, .reloaded = 15, .linked = 20}), Tristate::unknown);
  EXPECT_EQ(seen(T{.started = 10, .linked = 20, .other = 5}), Tristate::yes);
  EXPECT_EQ(seen(T{.started = 10, .linked = 20, .other = 15}), Tristate::unknown);
  EXPECT_EQ(seen(T{.started = 10, .linked = 20, .touched = 25}), Tristate::yes);
  EXPECT_EQ(seen(T{.started = 10, .linked = 20, .touched = 15}), Tristate::unknown);
  EXPECT_EQ(seen(T{.started = 30, .linked = 40, .touched = 35}), Tristate::unknown);
  EXPECT_EQ(seen(T{.started = 10}), Tristate::no);
  EXPECT_EQ(seen(T{.linked = 20}), Tristate::yes);
}

TEST_F(HostLayersTest, the_guard_service_shows_by_its_lock) {
  EXPECT_EQ(status().guard_service, Tristate::no);
  make_directories(root_.run(""));
  {
    // All that may hold a lock while the guard is down.
    const Uuid uuid = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
    std::vector<Lock> others;
    for (const uint64_t number :
         {lock_number::host, lock_number::provision, lock_number::of_domain(uuid),
          lock_number::of_domain(Uuid{}), lock_number::of_physical_function(PciAddress{})})
      others.push_back(
          Lock::acquire(paths::locks(root_), number, std::chrono::seconds(60)).value());
    EXPECT_EQ(status().guard_service, Tristate::no);
    const auto guard =
        Lock::acquire(paths::locks(root_), lock_number::guard, std::chrono::seconds(60));
    EXPECT_EQ(status().guard_service, Tristate::yes);
  }
  EXPECT_EQ(status().guard_service, Tristate::no);
}

TEST_F(HostLayersTest, the_guard_service_shows_by_its_process) {
  if (::geteuid() != 0) GTEST_SKIP() << "files belong to another user than root";
  host_.process(12, "gpuward-provisi", {});
  EXPECT_EQ(status().guard_service, Tristate::no);
  host_.process(13, "gpuward-guard", {});
  EXPECT_EQ(status().guard_service, Tristate::yes);
  ASSERT_EQ(::chown(root_.proc("13").c_str(), 1000, 1000), 0);
  EXPECT_EQ(status().guard_service, Tristate::no) << "anybody may use the name";
}

TEST_F(HostLayersTest, polkit_is_on_by_the_file_of_the_daemon_that_runs) {
  file("/etc/libvirt/libvirtd.conf", "# nothing\n");
  file("/etc/libvirt/virtqemud.conf", "access_drivers = [ \"polkit\" ]\n");
  EXPECT_EQ(status().polkit.driver, Tristate::no);
  EXPECT_EQ(status().polkit.config, "/etc/libvirt/libvirtd.conf");
  daemon_started(60, "virtqemud");
  EXPECT_EQ(status().polkit.driver, Tristate::yes);
  EXPECT_EQ(status().polkit.config, "/etc/libvirt/virtqemud.conf");
  EXPECT_FALSE(status().polkit.changed);
  daemon_started(-60, "virtqemud");
  EXPECT_TRUE(status().polkit.changed);
}

TEST_F(HostLayersTest, polkit_is_on_by_the_file_of_the_daemon_that_will_start) {
  file("/etc/libvirt/libvirtd.conf", "# nothing\n");
  file("/etc/libvirt/virtqemud.conf", "access_drivers = [ \"polkit\" ]\n");
  for (const char* program : {"/usr/sbin/libvirtd", "/usr/sbin/virtqemud"}) file(program, "");
  EXPECT_EQ(status().polkit.config, "/etc/libvirt/libvirtd.conf");
  file("/etc/systemd/system/sockets.target.wants/virtqemud.socket", "");
  EXPECT_EQ(status().polkit.config, "/etc/libvirt/virtqemud.conf");
  EXPECT_EQ(status().polkit.driver, Tristate::yes);
}

TEST_F(HostLayersTest, polkit_needs_our_rule_and_its_helper) {
  EXPECT_EQ(status().polkit.rule, Tristate::no);
  file("/usr/share/polkit-1/rules.d/10-gpuward.rules", "");
  EXPECT_EQ(status().polkit.rule, Tristate::yes);
  file("/etc/polkit-1/rules.d/10-gpuward.rules", "");
  EXPECT_EQ(status().polkit.rule, Tristate::no);
  EXPECT_FALSE(status().polkit.helper);
  file("/usr/sbin/gpuward-polkit", "", 0755);
  EXPECT_TRUE(status().polkit.helper);
}

}  // namespace
}  // namespace gpuward
