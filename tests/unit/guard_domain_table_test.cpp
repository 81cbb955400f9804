// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/domain_table.hpp"

#include <gtest/gtest.h>

namespace gpuward {
namespace {

const Uuid web = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid other = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa1");

Todo pause() {
  Todo todo;
  todo.pause = true;
  return todo;
}

Todo added(const std::string& device) {
  Todo todo;
  todo.inspect = true;
  todo.added.insert(device);
  return todo;
}

struct Table : ::testing::Test {
  DomainTable table;
  void look_at(const Uuid& uuid, bool has_gpu) {
    ASSERT_TRUE(table.happened(uuid, added("disk")));
    const auto work = table.begin(uuid);
    ASSERT_TRUE(work);
    table.set_gpu(uuid, *work, has_gpu);
    ASSERT_FALSE(table.end(uuid, *work));
  }
};

TEST_F(Table, makes_one_piece_of_work_of_a_storm) {
  table.is_on(web, nullptr, 1);
  EXPECT_TRUE(table.happened(web, pause()));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(table.happened(web, pause()));
  const auto work = table.begin(web);
  ASSERT_TRUE(work);
  EXPECT_TRUE(work->todo.pause);
  EXPECT_FALSE(table.begin(web));
}

TEST_F(Table, tells_which_have_a_gpu_and_sweeps_no_other) {
  table.is_on(web, nullptr, 1);
  table.is_on(other, nullptr, 2);
  EXPECT_TRUE(table.with_gpu().empty()) << "not looked at yet";
  look_at(web, true);
  look_at(other, false);
  EXPECT_EQ(table.with_gpu(), std::vector<Uuid>{web});
  Todo sweep;
  sweep.sweep = true;
  EXPECT_TRUE(table.happened(web, sweep));
  EXPECT_FALSE(table.happened(other, sweep));
  table.is_off(web);
  EXPECT_TRUE(table.with_gpu().empty());
}

TEST_F(Table, loses_nothing_that_happens_while_someone_works) {
  table.is_on(web, nullptr, 1);
  table.happened(web, pause());
  const auto work = table.begin(web);
  EXPECT_FALSE(table.happened(web, pause())) << "two would work on one domain";
  EXPECT_TRUE(table.end(web, *work));
  EXPECT_TRUE(table.begin(web));
}

TEST_F(Table, looks_at_a_domain_before_anything_is_done_to_it) {
  table.is_on(web, nullptr, 1);
  table.happened(web, pause());
  EXPECT_TRUE(table.begin(web)->todo.inspect);
}

TEST_F(Table, costs_nothing_when_a_domain_without_gpu_is_paused) {
  table.is_on(web, nullptr, 1);
  look_at(web, false);
  EXPECT_FALSE(table.happened(web, pause()));
  EXPECT_TRUE(table.happened(web, added("hostdev0"))) << "it may be a GPU";
}

TEST_F(Table, does_not_read_the_xml_again_for_a_pause) {
  table.is_on(web, nullptr, 1);
  look_at(web, true);
  EXPECT_TRUE(table.happened(web, pause()));
  EXPECT_FALSE(table.begin(web)->todo.inspect);
}

TEST_F(Table, knows_nothing_of_domains_that_are_off) {
  EXPECT_FALSE(table.happened(web, pause()));
  table.is_on(web, nullptr, 1);
  table.happened(web, pause());
  table.is_off(web);
  EXPECT_FALSE(table.begin(web));
  EXPECT_FALSE(table.happened(web, pause()));
}

TEST_F(Table, keeps_what_is_known_of_a_run_and_forgets_it_with_the_next) {
  table.is_on(web, nullptr, 1);
  look_at(web, true);
  EXPECT_EQ(table.gpu_domains(), 1u);
  table.is_on(web, nullptr, 1);
  EXPECT_EQ(table.gpu_domains(), 1u) << "libvirtd came back, the domain was there all the time";
  table.is_on(web, nullptr, 2);
  EXPECT_EQ(table.gpu_domains(), 0u);
}

TEST_F(Table, takes_no_word_about_a_new_run_from_who_worked_on_the_last) {
  table.is_on(web, nullptr, 1);
  table.happened(web, pause());
  const auto work = table.begin(web);
  table.is_on(web, nullptr, 2);
  table.happened(web, pause());
  table.set_gpu(web, *work, true);
  EXPECT_EQ(table.gpu_domains(), 0u);
  EXPECT_FALSE(table.end(web, *work));
  EXPECT_TRUE(table.begin(web)->todo.pause);
}

TEST_F(Table, drops_what_is_gone_when_libvirt_comes_back) {
  table.is_on(web, nullptr, 1);
  table.is_on(other, nullptr, 2);
  table.forget_seen();
  table.is_on(other, nullptr, 2);
  table.drop_unseen();
  EXPECT_EQ(table.all(), std::vector<Uuid>{other});
}

TEST_F(Table, keeps_a_domain_that_starts_while_all_are_looked_at) {
  table.forget_seen();
  table.is_on(web, nullptr, 1);
  table.drop_unseen();
  EXPECT_EQ(table.all(), std::vector<Uuid>{web});
}

TEST_F(Table, drops_the_run_that_is_off_and_no_later_one) {
  table.is_on(web, nullptr, 1);
  table.happened(web, pause());
  const auto work = table.begin(web);
  table.is_on(web, nullptr, 2);
  table.drop(web, *work);
  EXPECT_EQ(table.all(), std::vector<Uuid>{web});
  table.happened(web, pause());
  table.drop(web, *table.begin(web));
  EXPECT_TRUE(table.all().empty());
}

TEST_F(Table, collects_devices) {
  table.is_on(web, nullptr, 1);
  table.happened(web, added("memdimm0"));
  table.happened(web, added("hostdev0"));
  table.happened(web, added("hostdev0"));
  EXPECT_EQ(table.begin(web)->todo.added, (std::set<std::string>{"hostdev0", "memdimm0"}));
}

}  // namespace
}  // namespace gpuward
