// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/domain_table.hpp"

#include <gtest/gtest.h>

namespace gpuward {
namespace {

using namespace std::chrono_literals;

const DomainTable::TimePoint now;
const Uuid web = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
const Uuid other = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa1");

PendingWork pause() {
  PendingWork todo;
  todo.pause = true;
  return todo;
}

PendingWork added(const std::string& device) {
  PendingWork todo;
  todo.inspect = true;
  todo.added.insert(device);
  return todo;
}

/// "inspect, added x" beside the sweep that each event is.
std::string work_text(EventKind event) {
  const PendingWork todo = work_at(event, "x");
  std::string text = todo.sweep ? "sweep" : "";
  for (const auto& [is_set, word] : {std::pair{todo.inspect, " inspect"},
                                     {todo.pause, " pause"},
                                     {todo.resumed, " resumed"},
                                     {todo.job, " job"},
                                     {todo.job_is_migrating, " migrating"},
                                     {todo.added.contains("x"), " added"},
                                     {todo.removed.contains("x"), " removed"},
                                     {todo.kept.contains("x"), " kept"}})
    if (is_set) text += word;
  return text;
}

TEST(WorkAt, is_what_the_guards_of_the_event_inspect) {
  EXPECT_EQ(work_text(EventKind::started), "sweep inspect");
  EXPECT_EQ(work_text(EventKind::memory_resized), "sweep inspect");
  EXPECT_EQ(work_text(EventKind::suspended), "sweep pause");
  EXPECT_EQ(work_text(EventKind::resumed), "sweep resumed");
  EXPECT_EQ(work_text(EventKind::migrating), "sweep job migrating");
  EXPECT_EQ(work_text(EventKind::device_added), "sweep inspect added");
  EXPECT_EQ(work_text(EventKind::device_removed), "sweep inspect removed");
  EXPECT_EQ(work_text(EventKind::device_kept), "sweep kept");
}

struct Table : ::testing::Test {
  DomainTable table;
  void look_at(const Uuid& uuid, bool has_gpu) {
    ASSERT_TRUE(table.add_event(uuid, added("disk")));
    const auto work = table.take(uuid);
    ASSERT_TRUE(work);
    table.set_gpu(uuid, *work, has_gpu);
    ASSERT_FALSE(table.finish(uuid, *work));
  }
};

TEST_F(Table, makes_one_piece_of_work_of_a_storm) {
  table.started(web, nullptr, 1);
  EXPECT_TRUE(table.add_event(web, pause()));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(table.add_event(web, pause()));
  const auto work = table.take(web);
  ASSERT_TRUE(work);
  EXPECT_TRUE(work->todo.pause);
  EXPECT_FALSE(table.take(web));
}

TEST_F(Table, tells_which_have_a_gpu_and_sweeps_no_other) {
  table.started(web, nullptr, 1);
  table.started(other, nullptr, 2);
  EXPECT_TRUE(table.with_gpu().empty()) << "not looked at yet";
  look_at(web, true);
  look_at(other, false);
  EXPECT_EQ(table.with_gpu(), std::vector<Uuid>{web});
  PendingWork sweep;
  sweep.sweep = true;
  EXPECT_TRUE(table.add_event(web, sweep));
  EXPECT_FALSE(table.add_event(other, sweep));
  PendingWork monitor;
  monitor.monitor = true;
  EXPECT_TRUE(table.add_event(other, monitor)) << "QEMU's monitor can add a GPU to any domain";
  EXPECT_FALSE(table.take(other)->todo.inspect);
  table.stopped(web);
  EXPECT_TRUE(table.with_gpu().empty());
}

TEST_F(Table, loses_nothing_that_happens_while_someone_works) {
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  const auto work = table.take(web);
  EXPECT_FALSE(table.add_event(web, pause())) << "two would work on one domain";
  EXPECT_TRUE(table.finish(web, *work));
  EXPECT_TRUE(table.take(web));
}

TEST_F(Table, looks_at_a_domain_before_anything_is_done_to_it) {
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  EXPECT_TRUE(table.take(web)->todo.inspect);
}

TEST_F(Table, costs_nothing_when_a_domain_without_gpu_is_paused) {
  table.started(web, nullptr, 1);
  look_at(web, false);
  EXPECT_FALSE(table.add_event(web, pause()));
  EXPECT_TRUE(table.add_event(web, added("hostdev0"))) << "it may be a GPU";
}

TEST_F(Table, does_not_read_the_xml_again_for_a_pause) {
  table.started(web, nullptr, 1);
  look_at(web, true);
  EXPECT_TRUE(table.add_event(web, pause()));
  EXPECT_FALSE(table.take(web)->todo.inspect);
}

TEST_F(Table, knows_nothing_of_domains_that_are_off) {
  EXPECT_FALSE(table.add_event(web, pause()));
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  table.stopped(web);
  EXPECT_FALSE(table.take(web));
  EXPECT_FALSE(table.add_event(web, pause()));
}

TEST_F(Table, keeps_what_is_known_of_a_run_and_forgets_it_with_the_next) {
  table.started(web, nullptr, 1);
  look_at(web, true);
  EXPECT_EQ(table.gpu_domains(), 1u);
  table.started(web, nullptr, 1);
  EXPECT_EQ(table.gpu_domains(), 1u) << "libvirtd came back, the domain was there all the time";
  table.started(web, nullptr, 2);
  EXPECT_EQ(table.gpu_domains(), 0u);
}

TEST_F(Table, takes_no_word_about_a_new_run_from_who_worked_on_the_last) {
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  const auto work = table.take(web);
  table.started(web, nullptr, 2);
  table.add_event(web, pause());
  table.set_gpu(web, *work, true);
  EXPECT_EQ(table.gpu_domains(), 0u);
  EXPECT_FALSE(table.finish(web, *work));
  EXPECT_TRUE(table.take(web)->todo.pause);
}

TEST_F(Table, drops_what_is_gone_when_libvirt_comes_back) {
  table.started(web, nullptr, 1);
  table.started(other, nullptr, 2);
  table.mark_all_stale();
  table.started(other, nullptr, 2);
  table.drop_unseen();
  EXPECT_EQ(table.all(), std::vector<Uuid>{other});
}

TEST_F(Table, keeps_a_domain_that_starts_while_all_are_looked_at) {
  table.mark_all_stale();
  table.started(web, nullptr, 1);
  table.drop_unseen();
  EXPECT_EQ(table.all(), std::vector<Uuid>{web});
}

TEST_F(Table, drops_the_run_that_is_off_and_no_later_one) {
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  const auto work = table.take(web);
  table.started(web, nullptr, 2);
  table.drop(web, *work);
  EXPECT_EQ(table.all(), std::vector<Uuid>{web});
  table.add_event(web, pause());
  table.drop(web, *table.take(web));
  EXPECT_TRUE(table.all().empty());
}

TEST_F(Table, has_one_pending_retry_for_all_that_failed) {
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  const auto first = table.take(web);
  EXPECT_TRUE(table.keep_unfinished(web, *first, pause(), now));
  EXPECT_FALSE(table.finish(web, *first)) << "tried again at once";
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(table.add_event(web, added("hostdev0")));
    const auto next = table.take(web);
    EXPECT_FALSE(table.keep_unfinished(web, *next, added("hostdev0"), now)) << "a timer for each";
    table.finish(web, *next);
  }
  EXPECT_TRUE(table.retry(web, first->state));
  const auto again = table.take(web);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->todo.pause);
  EXPECT_EQ(again->todo.added, std::set<std::string>{"hostdev0"});
  EXPECT_FALSE(table.retry(web, first->state)) << "nothing is pending";
  EXPECT_TRUE(table.keep_unfinished(web, *again, again->todo, now)) << "the retry failed too";
}

/// As the next look at a pause while libvirt cannot be queried.
TEST_F(Table, does_all_that_is_pending_when_the_first_of_it_is_due) {
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  const auto work = table.take(web);
  EXPECT_TRUE(table.keep_unfinished(web, *work, added("hostdev0"), now + 30s));
  EXPECT_TRUE(table.keep_unfinished(web, *work, pause(), now + 1s)) << "waits for the other";
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(table.keep_unfinished(web, *work, pause(), now + 1s)) << "a timer for each";
  table.finish(web, *work);
  EXPECT_TRUE(table.retry(web, work->state));
  const auto again = table.take(web);
  EXPECT_TRUE(again->todo.pause);
  EXPECT_EQ(again->todo.added, std::set<std::string>{"hostdev0"});
  table.finish(web, *again);
  EXPECT_FALSE(table.retry(web, work->state)) << "the later timer";
}

TEST_F(Table, leaves_a_retry_to_whoever_is_busy) {
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  const auto work = table.take(web);
  table.keep_unfinished(web, *work, pause(), now);
  EXPECT_FALSE(table.retry(web, work->state)) << "two would work on one domain";
  EXPECT_TRUE(table.finish(web, *work));
  EXPECT_TRUE(table.take(web)->todo.pause);
}

TEST_F(Table, does_not_retry_in_a_later_run) {
  table.started(web, nullptr, 1);
  table.add_event(web, pause());
  const auto old = table.take(web);
  EXPECT_TRUE(table.keep_unfinished(web, *old, pause(), now));
  table.started(web, nullptr, 2);
  EXPECT_FALSE(table.keep_unfinished(web, *old, pause(), now));
  table.add_event(web, added("hostdev0"));
  const auto work = table.take(web);
  EXPECT_TRUE(table.keep_unfinished(web, *work, added("hostdev0"), now));
  table.finish(web, *work);
  EXPECT_FALSE(table.retry(web, old->state)) << "the timer of the last run";
  EXPECT_TRUE(table.retry(web, work->state));
  EXPECT_FALSE(table.take(web)->todo.pause);
}

TEST_F(Table, collects_devices) {
  table.started(web, nullptr, 1);
  table.add_event(web, added("memdimm0"));
  table.add_event(web, added("hostdev0"));
  table.add_event(web, added("hostdev0"));
  EXPECT_EQ(table.take(web)->todo.added, (std::set<std::string>{"hostdev0", "memdimm0"}));
}

}  // namespace
}  // namespace gpuward
