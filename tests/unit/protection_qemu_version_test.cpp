// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/qemu_version.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

const std::string emulator = "/usr/bin/qemu-system-x86_64";

class QemuVersionTest : public testing::Test {
 protected:
  QemuVersionTest() {
    ::chmod(host_.root().prefix.c_str(), 0755);  // QEMU is asked as nobody
  }
  std::string path() const { return host_.root().prefix + emulator; }
  void qemu(const std::string& script) {
    make_directories(host_.root().prefix + "/usr/bin");
    write_file_atomically(path(), "#!/bin/sh\n" + script, 0755);
  }
  void qemu_says(const std::string& text) { qemu("echo '" + text + "'\n"); }
  std::optional<unsigned> version() { return qemu_version(host_.root(), emulator); }
  FakeHost host_;
};

TEST_F(QemuVersionTest, is_what_it_prints) {
  qemu_says("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)");
  EXPECT_EQ(version(), 7'002'022U);
  qemu_says("QEMU emulator version 8.1.0 (qemu-kvm-8.1.0-4.el9)\nCopyright");
  EXPECT_EQ(version(), 8'001'000U);
  qemu_says("QEMU emulator version 10.0");
  EXPECT_EQ(version(), 10'000'000U);
}

TEST_F(QemuVersionTest, of_what_is_no_qemu_is_nothing) {
  EXPECT_EQ(version(), std::nullopt) << "not there";
  for (const char* text : {"", "QEMU emulator version", "QEMU emulator version x.y", "GNU bash 5.2",
                           "QEMU emulator version 8", "QEMU emulator version 8.99999999999"}) {
    qemu_says(text);
    EXPECT_EQ(version(), std::nullopt) << text;
  }
  qemu("echo QEMU emulator version 8.1.0; exit 1\n");
  EXPECT_EQ(version(), std::nullopt);
  EXPECT_EQ(qemu_version(host_.root(), "bin/qemu"), std::nullopt) << "relative";
  EXPECT_EQ(qemu_version(host_.root(), "/usr/bin"), std::nullopt) << "a directory";
  EXPECT_TRUE(list_directory(host_.root().run("qemu")).empty()) << "nothing is kept";
}

TEST_F(QemuVersionTest, is_not_asked_of_what_others_may_replace) {
  for (const mode_t mode : {0775U, 0757U, 0777U}) {
    qemu("echo >>\"$0.calls\"; echo QEMU emulator version 8.1.0\n");
    write_file_atomically(path() + ".calls", "");
    ::chmod((path() + ".calls").c_str(), 0666);
    EXPECT_EQ(version(), 8'001'000U);
    ::chmod(path().c_str(), mode);
    EXPECT_EQ(version(), std::nullopt) << "what is kept counts no more";
    EXPECT_EQ(read_file(path() + ".calls")->size(), 1U);
  }
  if (::geteuid() != 0) return;
  qemu_says("QEMU emulator version 8.1.0");
  ASSERT_EQ(::chown(path().c_str(), 65534, 0), 0);
  EXPECT_EQ(version(), std::nullopt);
}

TEST_F(QemuVersionTest, is_not_asked_below_a_directory_that_others_may_write) {
  qemu_says("QEMU emulator version 8.1.0");
  const std::string directory = host_.root().prefix + "/usr/bin", link = "/usr/lib/qemu";
  ASSERT_EQ(::chmod(directory.c_str(), 0777), 0);
  EXPECT_EQ(version(), std::nullopt);
  make_directories(host_.root().prefix + "/usr/lib");
  ASSERT_EQ(::symlink(path().c_str(), (host_.root().prefix + link).c_str()), 0);
  EXPECT_EQ(qemu_version(host_.root(), link), std::nullopt) << "by a link elsewhere";
  ASSERT_EQ(::chmod(directory.c_str(), 0755), 0);
  EXPECT_EQ(version(), 8'001'000U);
  EXPECT_EQ(qemu_version(host_.root(), link), 8'001'000U);
  if (::geteuid() != 0) return;
  ASSERT_EQ(::chown(directory.c_str(), 65534, 0), 0);
  EXPECT_EQ(version(), std::nullopt);
}

/// For a report of a bug: what is printed is of the program that is there.
TEST_F(QemuVersionTest, that_is_kept_counts_while_the_program_is_the_same) {
  const auto kept = [&] {
    std::string text;
    for (const KeptQemuVersion& one : kept_qemu_versions(host_.root()))
      text += one.emulator + ' ' + (one.version ? version_text(*one.version) : "unknown") + '\n';
    return text;
  };
  EXPECT_EQ(kept(), "");
  qemu_says("QEMU emulator version 8.1.0");
  version();
  EXPECT_EQ(kept(), emulator + " 8.1.0\n");
  ::chmod(path().c_str(), 0777);
  EXPECT_EQ(kept(), emulator + " unknown\n");
  qemu_says("QEMU emulator version 9.2.0");
  EXPECT_EQ(kept(), emulator + " unknown\n") << "another program";
  version();
  EXPECT_EQ(kept(), emulator + " 9.2.0\n");
  remove_file(path());
  EXPECT_EQ(kept(), emulator + " unknown\n");
  write_file_atomically(host_.root().run("qemu/x"), "1 2 3 4.5\n7002022\n" + emulator + '\n');
  write_file_atomically(host_.root().run("qemu/y"), "rubbish\n");
  EXPECT_EQ(kept(), emulator + " unknown\n" + emulator + " unknown\n");
}

TEST_F(QemuVersionTest, leaves_nothing_behind) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can end processes of other sessions";
  // A daemon that tells us when it is there.
  const std::string ready = path() + ".ready";
  qemu("setsid sh -c 'echo $$ >\"" + ready +
       "\"; exec sleep 98765' >/dev/null 2>&1 &\n"
       "while [ ! -s \"" +
       ready +
       "\" ]; do sleep 0.01; done\n"
       "echo QEMU emulator version 8.1.0\n");
  write_file_atomically(ready, "");
  ::chmod(ready.c_str(), 0666);
  EXPECT_EQ(version(), 8'001'000U);
  for (const std::string& process : list_directory("/proc")) {
    const auto command = process.find_first_not_of("0123456789") == process.npos
                             ? read_attribute("/proc/" + process + "/cmdline")
                             : std::nullopt;
    EXPECT_TRUE(!command || command->find("98765") == command->npos) << process;
  }
}

TEST_F(QemuVersionTest, is_asked_for_once) {
  qemu("echo >>\"$0.calls\"; echo QEMU emulator version 8.1.0\n");
  write_file_atomically(path() + ".calls", "");
  ::chmod((path() + ".calls").c_str(), 0666);
  const auto calls = [&] { return read_file(path() + ".calls")->size(); };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(version(), 8'001'000U);
  EXPECT_EQ(calls(), 1U);
  struct utimbuf later {
    1, 1
  };
  ASSERT_EQ(::utime(path().c_str(), &later), 0);
  EXPECT_EQ(version(), 8'001'000U);
  EXPECT_EQ(calls(), 2U) << "the file has changed";
}

TEST_F(QemuVersionTest, is_of_the_qemu_that_is_there_now) {
  qemu_says("QEMU emulator version 7.2.0");
  EXPECT_EQ(version(), 7'002'000U);
  qemu_says("QEMU emulator version 9.2.0");
  EXPECT_EQ(version(), 9'002'000U);
}

TEST_F(QemuVersionTest, is_asked_for_again_when_what_is_kept_is_rubbish) {
  qemu_says("QEMU emulator version 9.2.0");
  EXPECT_EQ(version(), 9'002'000U);
  const auto kept = list_directory(host_.root().run("qemu"));
  ASSERT_EQ(kept.size(), 1U);
  for (const std::string text : {"", "x", "\n\n", "1 2 3 4.5\n99\n"}) {
    write_file_atomically(host_.root().run("qemu/") + kept[0], text);
    EXPECT_EQ(version(), 9'002'000U);
  }
}

TEST_F(QemuVersionTest, tells_what_it_can_do) {
  EXPECT_FALSE(abilities_of(8'000'099).can_disable_vfio_migration);
  EXPECT_TRUE(abilities_of(8'001'000).can_disable_vfio_migration);
  EXPECT_TRUE(abilities_of(10'000'000).can_disable_vfio_migration);
  EXPECT_TRUE(abilities_of({}).can_disable_vfio_migration) << "it may have the property";
  EXPECT_FALSE(abilities_of({}).is_known);
  EXPECT_EQ(version_text(8'001'022), "8.1.22");
}

}  // namespace
}  // namespace gpuward
