// SPDX-License-Identifier: LGPL-2.1-or-later
// gpuward-nvml and what reads it, with the stand-in for NVIDIA's library (tests/nvml).
#include "pci/nvml.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvml_fixtures.hpp"
#include "pci_fixtures.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Mode = MigCard::Mode;

constexpr milliseconds long_enough{60'000};

class NvmlTest : public testing::Test {
 protected:
  MigCard card() const { return read_mig_card(root_, card_, long_enough); }
  std::string failure(milliseconds deadline = long_enough) const {
    try {
      read_mig_card(root_, card_, deadline);
    } catch (const Error& error) {
      return error.what();
    }
    return "(none)";
  }
  CreatedGpuInstance create(const std::string& profile) const {
    const MigCard now = card();
    const GpuInstanceProfile* const found = find_gpu_instance_profile(now, profile);
    const auto place = choose_place(now, *found);
    return create_gpu_instance(root_, card_, {found->id, place.value_or(MemorySlices{})},
                               long_enough);
  }
  DestroyedGpuInstance destroy(unsigned start, std::optional<unsigned> id = {}) const {
    return destroy_gpu_instance(root_, card_, {19, {start, 1}, id}, long_enough);
  }
  TempDir directory_;
  Root root_{directory_.path()};
  NvmlDouble nvml_{root_};
  PciAddress card_ = at("0000:41:00.0");
};

/// What is in the archive of a recorded host may be anybody's.
TEST_F(NvmlTest, the_program_of_a_recorded_host_is_not_run) {
  EXPECT_EQ(card().mode, Mode::on);
  ::unsetenv("GPUWARD_RUN_PROGRAM_OF_ROOT");
  EXPECT_THAT(failure(), HasSubstr("not known of a recorded host"));
  EXPECT_THROW(card(), NoNvml);
}

TEST_F(NvmlTest, that_there_is_nothing_to_ask_is_told_from_no_answer) {
  const auto is_missing = [&](milliseconds deadline = long_enough) {
    try {
      read_mig_card(root_, card_, deadline);
    } catch (const NoNvml&) {
      return true;
    } catch (const Error&) {
    }
    return false;
  };
  nvml_.add("returns Init_v2 9");
  EXPECT_FALSE(is_missing()) << "a driver that is not loaded may be soon";
  nvml_.remove_library();
  EXPECT_TRUE(is_missing());
  nvml_.remove_program();
  EXPECT_TRUE(is_missing());
  const NvmlWatch hangs(root_, "exec sleep 300");
  EXPECT_FALSE(is_missing(milliseconds(100)));
  EXPECT_THAT(failure(milliseconds(100)), HasSubstr("gpuward-nvml timed out"));
}

TEST_F(NvmlTest, a_card_has_profiles_with_places_and_what_remains) {
  nvml_.add("instance 3 9 4 4 1");
  const MigCard read = card();
  EXPECT_EQ(read.mode, Mode::on);
  ASSERT_THAT(read.profiles, SizeIs(6));
  const GpuInstanceProfile* const small = find_gpu_instance_profile(read, "1g.5gb");
  ASSERT_TRUE(small);
  EXPECT_EQ(small->id, 19U);
  EXPECT_EQ(small->slices, 1U);
  EXPECT_EQ(small->memory_mib, 4864U);
  EXPECT_EQ(small->most, 7U);
  EXPECT_EQ(small->remaining, 4U);
  EXPECT_THAT(small->places, SizeIs(7));
  EXPECT_TRUE(find_gpu_instance_profile(read, "1g.5gb+me"));
  EXPECT_FALSE(find_gpu_instance_profile(read, "1g"));
  ASSERT_THAT(read.instances, SizeIs(1));
  EXPECT_EQ(read.instances[0].id, 3U);
  EXPECT_EQ(read.instances[0].place, (MemorySlices{4, 4}));
  EXPECT_EQ(read.instances[0].compute_instances, 1U);
}

TEST_F(NvmlTest, an_older_driver_tells_profiles_in_version_2) {
  nvml_.add("lacks-v3");
  EXPECT_THAT(card().profiles, SizeIs(6));
  EXPECT_EQ(find_gpu_instance_profile(card(), "2g.10gb")->memory_mib, 9856U);
}

TEST_F(NvmlTest, the_mode_is_told_apart) {
  nvml_.set("mig off\n");
  EXPECT_EQ(card().mode, Mode::off);
  EXPECT_THAT(card().profiles, IsEmpty());
  nvml_.set("mig pending\n");
  EXPECT_EQ(card().mode, Mode::pending);
  nvml_.set("mig unsupported\n");
  EXPECT_EQ(card().mode, Mode::unsupported);
  EXPECT_THAT(card().profiles, IsEmpty());
}

TEST_F(NvmlTest, the_scheduler_of_vgpus_is_told_whatever_the_mode) {
  using Policy = VgpuScheduler::Policy;
  EXPECT_FALSE(card().scheduler) << "not supported by the card";
  for (const std::string mode : {"on", "off", "unsupported"}) {
    nvml_.set("mig " + mode + "\nscheduler 1 0 2083333 0\n");
    EXPECT_EQ(card().scheduler, (VgpuScheduler{Policy::best_effort, 2'083'333})) << mode;
  }
  nvml_.set("mig off\nscheduler 2 1 30000000 7\n");
  EXPECT_EQ(card().scheduler, (VgpuScheduler{Policy::equal_share, 30'000'000}));
  nvml_.set("mig off\nscheduler 3 2 33 1000000\n");
  EXPECT_EQ(card().scheduler, (VgpuScheduler{Policy::fixed_share, 1'000'000}));
}

TEST_F(NvmlTest, what_is_no_scheduler_or_time_slice_is_unknown) {
  for (const std::string policy : {"0", "4", "4294967295"}) {
    nvml_.set("mig off\nscheduler " + policy + " 1 2083333 0\n");
    EXPECT_FALSE(card().scheduler) << policy;
  }
  // In ms, as of the first headers; the average factor, where they mean ARR by 1.
  for (const std::string rest :
       {"0 2 0", "1 33 2083333", "2 2083333 0", "1 999999 0", "1 30000001 0", "1 4294967295 0"}) {
    nvml_.set("mig off\nscheduler 3 " + rest + '\n');
    EXPECT_EQ(card().scheduler->time_slice_ns, 0U) << rest;
  }
  nvml_.set("mig on\nscheduler 3 1 2083333 0\nreturns DeviceGetVgpuSchedulerState 999\n");
  EXPECT_FALSE(card().scheduler);
  EXPECT_THAT(card().profiles, SizeIs(6)) << "the rest is known";
}

TEST(NvmlTextTest, a_scheduler_is_one_of_three_with_a_number) {
  EXPECT_EQ(parse_mig_card("mig off\nscheduler fixed-share 2083333\n")->scheduler->time_slice_ns,
            2'083'333U);
  for (const char* const line : {"scheduler", "scheduler fixed-share", "scheduler fixed-share x",
                                 "scheduler fixed-share 1 2", "scheduler none 1"})
    EXPECT_FALSE(parse_mig_card("mig off\n" + std::string(line) + "\n")) << line;
}

TEST_F(NvmlTest, one_is_created_with_its_compute_instance_and_destroyed) {
  const CreatedGpuInstance created = create("1g.5gb");
  EXPECT_EQ(created.change.failure, "");
  EXPECT_EQ(created.id, 1U);
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 1\n");
  EXPECT_EQ(destroy(6, 1).change.failure, "");
  EXPECT_EQ(nvml_.instances(), "");
  EXPECT_EQ(destroy(6, 1).change.failure, "") << "twice does no harm";
}

TEST_F(NvmlTest, another_at_its_place_is_not_destroyed) {
  nvml_.add("instance 5 19 6 1 0");
  EXPECT_EQ(destroy(6, 1).change.failure, "");
  EXPECT_EQ(destroy(5, 5).change.failure, "");
  EXPECT_EQ(nvml_.instances(), "instance 5 19 6 1 0\n");
  destroy(6);
  EXPECT_EQ(nvml_.instances(), "") << "whichever is there, where none is named";
}

TEST_F(NvmlTest, what_fails_is_undone_and_told) {
  nvml_.add("returns GpuInstanceCreateComputeInstance 999");
  EXPECT_THAT(create("1g.5gb").change.failure,
              HasSubstr("GpuInstanceCreateComputeInstance returned 999"));
  EXPECT_EQ(nvml_.instances(), "");
  EXPECT_TRUE(create("1g.5gb").is_refused);
  nvml_.add("returns GpuInstanceDestroy 19");
  EXPECT_FALSE(create("1g.5gb").is_refused) << "it is left";
  EXPECT_THAT(nvml_.instances(), HasSubstr(" 19 6 1 0\n"));
  nvml_.set("mig on\ninstance 5 0 0 8 0\n");
  const auto refused = create_gpu_instance(root_, card_, {19, {6, 1}}, long_enough);
  EXPECT_TRUE(refused.is_refused);
  EXPECT_THAT(refused.change.failure, HasSubstr("no room"));
  nvml_.set("mig on\ncrashes-after DeviceCreateGpuInstanceWithPlacement\n");
  EXPECT_FALSE(create("1g.5gb").is_refused) << "not known";
}

TEST_F(NvmlTest, one_in_use_stays) {
  nvml_.add("instance 1 19 6 1 1");
  nvml_.add("returns ComputeInstanceDestroy 19");
  EXPECT_TRUE(destroy(6, 1).is_in_use);
  nvml_.without("returns ComputeInstanceDestroy 19");
  nvml_.add("returns GpuInstanceDestroy 19");
  const auto kept = destroy(6, 1);
  EXPECT_TRUE(kept.is_in_use);
  EXPECT_EQ(kept.change.failure, "GPU instance is in use");
  EXPECT_THAT(nvml_.instances(), HasSubstr("instance 1 19 6 1"));
}

TEST_F(NvmlTest, one_that_was_there_is_filled_and_emptied) {
  nvml_.add("instance 1 19 6 1 0");
  const GpuInstanceRef there{19, {6, 1}, 1};
  EXPECT_EQ(fill_gpu_instance(root_, card_, there, long_enough).change.failure, "");
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 1\n");
  EXPECT_EQ(empty_gpu_instance(root_, card_, there, long_enough).change.failure, "");
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 0\n");
  EXPECT_THAT(fill_gpu_instance(root_, card_, {19, {5, 1}, 2}, long_enough).change.failure,
              HasSubstr("no longer exists"));
}

TEST_F(NvmlTest, what_keeps_it_from_asking_is_the_reason) {
  nvml_.add("returns Init_v2 9");
  EXPECT_THAT(failure(), HasSubstr("GPU instances of 0000:41:00.0: NVIDIA's driver is not loaded"));
  nvml_.remove_library();
  EXPECT_THAT(failure(), HasSubstr("libnvidia-ml.so.1 cannot be loaded: "));
  nvml_.remove_program();
  EXPECT_THAT(failure(), HasSubstr("gpuward-nvml cannot be run: No such file or directory"));
}

TEST_F(NvmlTest, a_library_that_hangs_or_crashes_ends_no_one_else) {
  nvml_.add("crashes DeviceGetMigMode");
  EXPECT_THAT(failure(), HasSubstr("gpuward-nvml was killed by signal 6 (ABRT)"));
  nvml_.set("mig on\nhangs DeviceGetMigMode\n");
  EXPECT_THAT(failure(milliseconds(300)), HasSubstr("gpuward-nvml timed out"));
}

TEST_F(NvmlTest, the_caller_is_told_the_process_before_it_changes_anything) {
  pid_t process = 0;
  const WriteOptions options(long_enough, {}, [&](pid_t started) {
    process = started;
    EXPECT_EQ(nvml_.instances(), "");
  });
  EXPECT_EQ(create_gpu_instance(root_, card_, {19, {6, 1}}, options).change.failure, "");
  EXPECT_GT(process, 0);
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 1\n");
  const WriteOptions refuses(long_enough, {}, [](pid_t) { throw Error("claim", "not written"); });
  EXPECT_THROW(create_gpu_instance(root_, card_, {19, {5, 1}}, refuses), Error);
  EXPECT_EQ(nvml_.instances(), "instance 1 19 6 1 1\n");
}

TEST(MigCardTest, a_text_that_is_no_list_is_none) {
  EXPECT_TRUE(parse_mig_card("mig off\n"));
  for (const char* text :
       {"", "mig on", "mig maybe\n", "profile 1 1 1 1 1 x\n", "mig on\nprofile 19 1 9728 7 6 a/b\n",
        "mig on\nprofile 19 1 9728 7\n", "mig on\ninstance 1 2 3\n", "mig on\nplacement 1 2 3\n",
        "mig on\n\n", "mig on\nelse\n"})
    EXPECT_FALSE(parse_mig_card(text)) << text;
}

/// The largest profiles begin at the first slice, so the small ones are put to the end.
TEST(MigCardTest, a_place_leaves_most_places_of_the_others) {
  MigCard card{Mode::on,
               {{19, "1g", 1, 0, 7, 7, {{0, 1}, {1, 1}, {4, 1}, {5, 1}, {6, 1}}},
                {9, "3g", 3, 0, 2, 2, {{0, 4}, {4, 4}}},
                {0, "7g", 7, 0, 1, 1, {{0, 8}}}},
               {}};
  EXPECT_EQ(choose_place(card, card.profiles[0])->start, 6U);
  card.instances.push_back({1, 19, {6, 1}, 1});
  EXPECT_EQ(choose_place(card, card.profiles[0])->start, 5U) << "beside it, 3g keeps its place";
  EXPECT_EQ(choose_place(card, card.profiles[1])->start, 0U);
  EXPECT_FALSE(choose_place(card, card.profiles[2]));
  card.profiles[0].remaining = 0;
  EXPECT_FALSE(choose_place(card, card.profiles[0])) << "the driver says that there is none";
}

// ---- NVLink

using Cards = std::vector<PciAddress>;
const Cards four{at("0000:41:00.0"), at("0000:42:00.0"), at("0000:43:00.0"), at("0000:44:00.0")};

LinksOfCards links_of_four(const Root& root) {
  return AskedCards().links(root, four);
}

TEST_F(NvmlTest, the_links_of_a_card_are_those_that_are_up) {
  nvml_.add("link 0000:41:00.0 0 0000:43:00.0");
  nvml_.add("link 0000:41:00.0 17 0000:43:00.0");
  nvml_.add("link-down 0000:41:00.0 1 0000:44:00.0");
  nvml_.add("link 0000:42:00.0 2 npu");
  nvml_.add("link 0000:44:00.0 0 switch");
  EXPECT_EQ(
      links_of_four(root_),
      (LinksOfCards{
          {four[0], {{four[2], four[2]}}}, {four[1], {}}, {four[2], {}}, {four[3], {{}, true}}}));
}

TEST_F(NvmlTest, links_that_cannot_be_read_are_not_known) {
  nvml_.add("link 0000:41:00.0 0 0000:43:00.0");
  ASSERT_TRUE(links_of_four(root_).at(four[0]).is_any());
  for (const char* const function :
       {"DeviceGetHandleByPciBusId_v2", "DeviceGetNvLinkState", "DeviceGetNvLinkRemoteDeviceType",
        "DeviceGetNvLinkRemotePciInfo_v2", "Init_v2"}) {
    const std::string line = std::string("returns ") + function + " 999";
    nvml_.add(line);
    EXPECT_FALSE(links_of_four(root_).contains(four[0])) << function;
    nvml_.without(line);
  }
  nvml_.add("crashes DeviceGetNvLinkState");
  EXPECT_THAT(links_of_four(root_), IsEmpty());
  nvml_.without("crashes DeviceGetNvLinkState");
  nvml_.replace_library_by_one_without_nvlink();
  EXPECT_THAT(links_of_four(root_), IsEmpty());
  EXPECT_EQ(card().mode, Mode::on) << "the rest of it is there";
  nvml_.remove_library();
  EXPECT_THAT(links_of_four(root_), IsEmpty());
}

TEST_F(NvmlTest, links_are_asked_for_once_and_not_after_a_timeout) {
  const NvmlWatch watch(root_, "shift 2; echo card $2; shift; exit 0");
  AskedCards asked;
  EXPECT_EQ(asked.links(root_, four).size(), 1U);
  asked.links(root_, {four[1], four[3]});
  EXPECT_EQ(watch.asked(), "links\n");
  asked.links(root_, {at("0000:51:00.0"), four[3]});
  EXPECT_EQ(watch.asked(), "links\nlinks\n");
  const NvmlWatch hangs(root_, "exec sleep 300");
  AskedCards silent;
  EXPECT_THAT(silent.links(root_, four), IsEmpty());
  EXPECT_THAT(silent.links(root_, {at("0000:51:00.0")}), IsEmpty());
  EXPECT_THROW(silent.read(root_, four[0]), Error);
  EXPECT_EQ(hangs.asked(), "links\n");
}

TEST_F(NvmlTest, other_text_than_that_of_links_tells_nothing) {
  EXPECT_TRUE(parse_nvlinks("card 0000:41:00.0\nswitch\ngpu 0000:42:00.0\n"));
  for (const char* const text :
       {"switch\n", "gpu 0000:42:00.0\n", "card 0000:41:00.0", "card 41\n", "card\n", "\n",
        "card 0000:41:00.0\n\n", "card 0000:41:00.0\ngpu\n", "card 0000:41:00.0 1\n",
        "card 0000:41:00.0\nlink 0000:42:00.0\n", "error too-old x\n"})
    EXPECT_FALSE(parse_nvlinks(text)) << text;
}

}  // namespace
}  // namespace gpuward
