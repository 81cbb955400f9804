// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/start_permit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"
#include "state/paths.hpp"

namespace gpuward {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid web02 = *parse_uuid("00000000-1d52-d8f3-2516-782e98ab3fa0");
constexpr const char* boot = "11111111-2222-4333-8444-555555555555";

class StartPermitTest : public testing::Test {
 protected:
  StartPermitTest() { set_boot(boot); }
  void set_boot(const std::string& id) {
    make_directories(directory_.path() + "/proc/sys/kernel/random");
    write_file_atomically(directory_.path() + "/proc/sys/kernel/random/boot_id", id + '\n');
  }
  std::optional<StartPermit> use(const std::optional<Uuid>& domain = web01,
                                 std::string_view name = "web01") {
    why_.clear();
    return use_start_permit(root_, domain, name, why_);
  }
  std::string permit_file() const { return paths::start_permit(root_, web01); }
  TempDir directory_;
  Root root_{directory_.path()};
  std::string why_;
};

TEST_F(StartPermitTest, there_is_none_before_one_is_granted) {
  EXPECT_FALSE(use());
  EXPECT_EQ(why_, "");
  EXPECT_FALSE(use({}));
  EXPECT_FALSE(started_anyway(root_, web01));
}

TEST_F(StartPermitTest, is_used_up_by_one_start_and_recorded) {
  const GrantedStart granted(root_, {web01, "web01", "night shift, ticket 4711"});
  struct stat info;
  ASSERT_EQ(::stat(permit_file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  auto permit = use();
  ASSERT_TRUE(permit) << why_;
  EXPECT_EQ(permit->reason, "night shift, ticket 4711");
  EXPECT_FALSE(use()) << "a second start";
  permit->refusals = {"pm (line 1)", "a\nforged line"};
  record_started_anyway(root_, *permit);
  const auto record = started_anyway(root_, web01);
  ASSERT_TRUE(record);
  EXPECT_THAT(record->refusals, testing::ElementsAre("pm (line 1)", "a\\x0aforged line"));
  EXPECT_THAT(to_string(*record), HasSubstr(", night shift, ticket 4711"));
  forget_started_anyway(root_, web01);
  forget_started_anyway(root_, web01);
  EXPECT_FALSE(started_anyway(root_, web01));
}

TEST_F(StartPermitTest, is_found_by_name_where_the_uuid_is_not_known) {
  const GrantedStart other(root_, {web02, "web02", "x"});
  const GrantedStart granted(root_, {web01, "web01", "x"});
  EXPECT_FALSE(use({}, "web03"));
  EXPECT_EQ(why_, "");
  const auto permit = use({});
  ASSERT_TRUE(permit) << why_;
  EXPECT_EQ(permit->domain, web01);
}

TEST_F(StartPermitTest, is_of_one_domain_and_its_name) {
  const GrantedStart granted(root_, {web01, "web01", "x"});
  EXPECT_FALSE(use(web02));
  EXPECT_FALSE(use(web01, "web02"));
  EXPECT_THAT(why_, HasSubstr("another name"));
  EXPECT_TRUE(use());
}

TEST_F(StartPermitTest, ends_with_the_process_that_wrote_it) {
  const auto statuses = in_processes(1, [&](int) -> int {
    const GrantedStart granted(root_, {web01, "web01", "x"});
    ::_exit(0);  // without its destructor, as a killed process
  });
  ASSERT_THAT(statuses, testing::ElementsAre(0));
  ASSERT_TRUE(exists(permit_file()));
  EXPECT_FALSE(use());
  EXPECT_THAT(why_, HasSubstr("has ended"));
  sweep_start_permits(root_);
  EXPECT_FALSE(exists(permit_file()));
}

TEST_F(StartPermitTest, is_removed_when_its_start_failed_before_the_hook) {
  { const GrantedStart granted(root_, {web01, "web01", "x"}); }
  EXPECT_FALSE(exists(permit_file()));
}

TEST_F(StartPermitTest, is_granted_once_at_a_time) {
  const GrantedStart granted(root_, {web01, "web01", "x"});
  EXPECT_THROW(GrantedStart(root_, {web01, "web01", "y"}), Error);
  sweep_start_permits(root_);
  EXPECT_TRUE(use()) << "the first stays";
}

TEST_F(StartPermitTest, expires) {
  const GrantedStart granted(root_, {web01, "web01", "x"});
  const std::string now = read_file(permit_file()).value();
  const time_t time = ::time(nullptr);
  const size_t at = now.find("time ") + 5;
  for (const time_t late : {time - start_permit_lifetime - 5, time + 1000}) {
    std::string text = now;
    text.replace(at, now.find('\n', at) - at, std::to_string(late));
    write_file_atomically(permit_file(), text, 0600);
    EXPECT_FALSE(use());
    EXPECT_THAT(why_, HasSubstr("expired"));
  }
}

TEST_F(StartPermitTest, ends_with_the_boot) {
  const GrantedStart granted(root_, {web01, "web01", "x"});
  set_boot("99999999-2222-4333-8444-555555555555");
  EXPECT_FALSE(use());
  EXPECT_THAT(why_, HasSubstr("boot"));
}

TEST_F(StartPermitTest, does_not_count_when_others_may_write_or_read_it) {
  const GrantedStart granted(root_, {web01, "web01", "x"});
  ASSERT_EQ(::chmod(permit_file().c_str(), 0644), 0);
  EXPECT_FALSE(use());
  EXPECT_THAT(why_, HasSubstr("mode 600"));
  ASSERT_EQ(::unlink(permit_file().c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", permit_file().c_str()), 0);
  EXPECT_THROW(use(), SystemError);
}

TEST_F(StartPermitTest, does_not_count_when_it_is_cut_or_unknown) {
  const GrantedStart granted(root_, {web01, "web01", "x"});
  const std::string whole = read_file(permit_file()).value();
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file_atomically(permit_file(), whole.substr(0, size), 0600);
    EXPECT_FALSE(use()) << size;
  }
  write_file_atomically(permit_file(), whole + "new-key x\n", 0600);
  EXPECT_FALSE(use());
  write_file_atomically(permit_file(), whole, 0600);
  EXPECT_TRUE(use());
}

TEST_F(StartPermitTest, a_record_that_cannot_be_read_is_named) {
  make_directories(paths::started_anyway(root_));
  write_file_atomically(paths::started_anyway(root_, web01), "rubbish\n");
  std::vector<std::string> unreadable;
  EXPECT_THAT(all_started_anyway(root_, unreadable), IsEmpty());
  ASSERT_EQ(unreadable.size(), 1U);
  EXPECT_THAT(unreadable.front(), HasSubstr(to_string(web01)));
}

}  // namespace
}  // namespace gpuward
