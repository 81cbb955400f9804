// SPDX-License-Identifier: LGPL-2.1-or-later
// The hook answers in time, whatever is locked, open or blocked.
#include "kinds/deadlines.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <future>
#include <regex>
#include <thread>

#include "base/error.hpp"
#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"
#include "hooks/qemu_hook.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/release.hpp"
#include "pci/pci_device.hpp"
#include "pci_fixtures.hpp"
#include "source_tree.hpp"
#include "state/claim_store.hpp"
#include "state/single_use.hpp"
#include "state/vf_settings.hpp"
#include "vendor_vgpu_fixtures.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using testing::HasSubstr;
using testing::SizeIs;

/// No wait ends by itself: each takes longer than the test may.
Deadlines one_end(milliseconds time) {
  Deadlines deadlines{minutes(10), minutes(10), minutes(10), minutes(10), minutes(10), minutes(10)};
  deadlines.reserve = milliseconds(0);
  deadlines.end = Deadline::in(time);
  return deadlines;
}

class DeadlinesTest : public testing::Test {
 protected:
  DeadlinesTest() {
    host_.sriov("0000:42:00.0", 4);
    host_.set_vfs("0000:42:00.0", 4);
    for (const char* vf : {"0000:42:00.2", "0000:42:00.3"}) add_vendor_vf(host_, vf);
    config_ = vendor_vgpu_config("0000:42:00.0");
    domain_.uuid.bytes[15] = 3;
    domain_.name = "web01";
    for (const unsigned number : {0U, 1U}) {
      Hostdev hostdev;
      hostdev.type = Hostdev::Type::pci;
      hostdev.address = at("0000:42:00." + std::to_string(2 + number));
      hostdev.alias = "ua-gpuward-" + std::to_string(number);
      domain_.requests.push_back({hostdev.alias, "vgpu"});
      domain_.hostdevs.push_back(hostdev);
    }
    claims_.make_ready();
  }
  void vgpus_react(const std::function<int(const std::string& vf, const std::string& value)>& how) {
    for (const std::string vf : {"0000:42:00.2", "0000:42:00.3"})
      host_.reacts(vf, "nvidia/current_vgpu_type",
                   [=](const std::string& value) { return how(vf, value); });
  }
  int obey(const std::string& vf, const std::string& value) {
    write_file_atomically(pci_path(root_, at(vf)) + "/nvidia/current_vgpu_type", value + '\n');
    return 0;
  }
  std::string refusal(const Deadlines& deadlines) {
    try {
      prepare_devices(root_, config_, domain_, deadlines);
    } catch (const Error& error) {
      return error.what();
    }
    return "(not refused)";
  }
  /// Bounds a wait that does not end, and nothing else.
  template <typename Work>
  auto before_a_minute(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    auto result = work();
    EXPECT_LT(std::chrono::steady_clock::now() - start, minutes(1));
    return result;
  }
  FakeHost host_;
  const Root& root_ = host_.root();
  Config config_;
  Domain domain_;
  Claims claims_{root_};
};

TEST_F(DeadlinesTest, prepare_ends_with_each_lock_held) {
  auto lock = claims_.lock_domain(domain_.uuid, milliseconds(0));
  EXPECT_THAT(before_a_minute([&] { return refusal(one_end(milliseconds(300))); }),
              HasSubstr("still preparing or releasing this domain's GPUs"));
  lock = claims_.lock_host(milliseconds(0));
  EXPECT_THAT(before_a_minute([&] { return refusal(one_end(milliseconds(300))); }),
              HasSubstr("waiting for another allocation on this host"));
  lock = lock_vfs(root_, at("0000:42:00.0"), milliseconds(0));
  EXPECT_THAT(before_a_minute([&] { return refusal(one_end(milliseconds(300))); }),
              HasSubstr("waiting for another change of the VFs"));
  EXPECT_FALSE(claims_.find(domain_.uuid));
}

/// Each lock takes its part of the time: `freed` of them are released one after the other, the
/// others never, and the first write neither.
TEST_F(DeadlinesTest, prepare_ends_with_every_lock_held_and_every_write_blocked) {
  vgpus_react([&](const std::string&, const std::string&) {
    host_.hang();
    return 0;
  });
  const char* const refusals[] = {"still preparing or releasing this domain's GPUs",
                                  "waiting for another allocation on this host",
                                  "waiting for another change of the VFs", "blocked in the kernel"};
  for (size_t freed = 0; freed < std::size(refusals); ++freed) {
    std::vector<std::optional<Lock>> locks;
    locks.push_back(claims_.lock_domain(domain_.uuid, milliseconds(0)));
    locks.push_back(claims_.lock_host(milliseconds(0)));
    locks.push_back(lock_vfs(root_, at("0000:42:00.0"), milliseconds(0)));
    auto freeing = std::async(std::launch::async, [&] {
      for (size_t i = 0; i < freed; ++i) {
        std::this_thread::sleep_for(milliseconds(100));
        locks[i].reset();
      }
    });
    Deadlines deadlines = one_end(milliseconds(1500));
    deadlines.reserve = milliseconds(300);
    EXPECT_THAT(before_a_minute([&] { return refusal(deadlines); }), HasSubstr(refusals[freed]));
    freeing.get();
  }
  host_.lets_go();
}

/// The reserve is for undoing: the first write uses up the rest.
TEST_F(DeadlinesTest, prepare_ends_with_every_write_blocked) {
  vgpus_react([&](const std::string&, const std::string&) {
    host_.hang();
    return 0;
  });
  Deadlines deadlines = one_end(milliseconds(600));
  deadlines.reserve = milliseconds(300);
  EXPECT_THAT(before_a_minute([&] { return refusal(deadlines); }),
              HasSubstr("blocked in the kernel"));
  ASSERT_TRUE(claims_.find(domain_.uuid));
  host_.lets_go();
}

TEST_F(DeadlinesTest, prepare_ends_with_a_device_open) {
  const auto group = read_link(pci_path(root_, at("0000:42:00.2")) + "/iommu_group");
  ASSERT_TRUE(group);
  host_.process(77, "qemu", {"/dev/vfio/" + std::string(base_name(*group))});
  EXPECT_THAT(before_a_minute([&] { return refusal(one_end(milliseconds(300))); }),
              HasSubstr("in use by process 77 (qemu)"));
}

TEST_F(DeadlinesTest, nothing_is_begun_without_time) {
  EXPECT_THAT(refusal(one_end(milliseconds(0))),
              HasSubstr("timed out waiting for other gpuward processes"));
  EXPECT_THAT(host_.writes(), SizeIs(0));
  EXPECT_FALSE(claims_.find(domain_.uuid));
}

TEST_F(DeadlinesTest, release_ends_with_every_write_blocked_and_keeps_what_it_could_not_free) {
  vgpus_react([&](const std::string& vf, const std::string& value) { return obey(vf, value); });
  EXPECT_EQ(refusal(one_end(minutes(10))), "(not refused)");
  vgpus_react([&](const std::string&, const std::string&) {
    host_.hang();
    return 0;
  });
  const auto kept = before_a_minute([&] {
    return release_devices(root_, claims_, *claims_.find(domain_.uuid), one_end(milliseconds(300)));
  });
  ASSERT_THAT(kept, SizeIs(2));
  EXPECT_THAT(kept[0].reason, HasSubstr("blocked in the kernel"));
  EXPECT_EQ(kept[1].reason, "timed out before it was released");
  EXPECT_THAT(claims_.find(domain_.uuid)->devices, SizeIs(2));
  host_.lets_go();
}

TEST_F(DeadlinesTest, release_ends_with_the_lock_held) {
  vgpus_react([&](const std::string& vf, const std::string& value) { return obey(vf, value); });
  EXPECT_EQ(refusal(one_end(minutes(10))), "(not refused)");
  const auto lock = claims_.lock_domain(domain_.uuid, milliseconds(0));
  const std::string xml =
      "<domain type='kvm'><name>web01</name><uuid>" + to_string(domain_.uuid) + "</uuid></domain>";
  XmlInput input;
  input.text = xml;
  input.may_have_gpu = true;
  EXPECT_EQ(before_a_minute([&] {
              return run_qemu_hook(root_, {"web01", "release"}, input, one_end(milliseconds(300)));
            }),
            1);
  EXPECT_TRUE(claims_.find(domain_.uuid));
}

/// A card that is asleep, with a mark to compare it with: reading it may take seconds.
TEST_F(DeadlinesTest, no_card_that_is_asleep_is_read_without_time) {
  host_.config(
      "[guard]\nmigration = allow\npause = allow\nmemory-hotplug = allow\ngpu-hotplug = allow\n");
  host_.pci_gpu("0000:41:00.0");
  FakeDevice& asleep = host_.pci_gpu("0000:43:00.0").attribute("unique_id", "0123456789abcdef");
  mark_used(root_, at("0000:43:00.0"), domain_.uuid, "web02");
  asleep.without("unique_id").without("config").attribute("power_state", "D3cold");
  asleep.attribute("power/runtime_status", "suspended");
  const std::string config = pci_path(root_, at("0000:43:00.0")) + "/config";
  ASSERT_EQ(::mkfifo(config.c_str(), 0600), 0);
  const std::string xml =
      "<domain type='kvm'><name>web01</name><uuid>" + to_string(domain_.uuid) +
      "</uuid><devices><hostdev mode='subsystem' type='pci' managed='yes'><source><address "
      "domain='0' bus='0x41' slot='0' function='0'/></source></hostdev></devices></domain>";
  XmlInput input;
  input.text = xml;
  input.may_have_gpu = true;
  run_qemu_hook(root_, {"web01", "prepare"}, input, one_end(milliseconds(0)));
  const Fd writer(::open(config.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
  EXPECT_FALSE(writer) << "it has a reader";
}

/// The sentences of the man page, "prepare" and "release" each with its number.
TEST(HookLimits, are_those_of_the_man_page) {
  const std::string page = read_file(in_source_tree("docs/gpuward-qemu-hook.8")).value_or("");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(
      page, found,
      std::regex("\\.Cm prepare\nends within (\\d+) seconds and\n\\.Cm release\nwithin (\\d+)\n")));
  EXPECT_EQ(found[1], std::to_string(prepare_limit.count()));
  EXPECT_EQ(found[2], std::to_string(release_limit.count()));
}

/// What is kept for the end, and what is no wait, must not use up all of it.
TEST(HookLimits, leave_time_for_the_waits) {
  const Deadlines deadlines;
  EXPECT_GE(release_limit - limit_margin, deadlines.reserve + std::chrono::seconds(10));  // no wait
  EXPECT_GE(deadlines.reserve, deadlines.write + deadlines.release);
}

/// Waits one after the other, each as long as it may. The clock is made up: the end comes nearer by
/// what has passed.
class LongestWaits {
 public:
  explicit LongestWaits(std::chrono::seconds limit) : end_(limit - limit_margin) {}
  Deadlines now() const {
    Deadlines deadlines;
    deadlines.end = Deadline::in(end_ - passed_);
    return deadlines;
  }
  void add(milliseconds (Deadlines::*wait)() const, int times, bool before_reserve) {
    for (int i = 0; i < times; ++i)
      passed_ += ((before_reserve ? now().before_reserve() : now()).*wait)();
  }
  milliseconds passed() const { return passed_; }

 private:
  milliseconds end_, passed_{0};
};

TEST(HookLimits, hold_for_all_waits_of_prepare_together) {
  EXPECT_GT(3 * Deadlines().lock, prepare_limit) << "what each of the three locks may take alone";
  LongestWaits waits(prepare_limit);
  waits.add(&Deadlines::lock_wait, 3, true);  // of the domain, the host and a PF
  waits.add(&Deadlines::write_wait, 8, true);
  waits.add(&Deadlines::release_wait, 8, true);
  EXPECT_GE(waits.passed() + Deadlines().reserve + limit_margin, prepare_limit) << "all are waited";
  EXPECT_GE(waits.now().end.at_most(prepare_limit), Deadlines().reserve - milliseconds(100));
  waits.add(&Deadlines::write_wait, 8, false);  // undone
  waits.add(&Deadlines::release_wait, 8, false);
  waits.add(&Deadlines::settle_wait, 1, false);
  EXPECT_LE(waits.passed(), prepare_limit);
}

TEST(HookLimits, hold_for_all_waits_of_release_together) {
  LongestWaits waits(release_limit);
  waits.add(&Deadlines::lock_wait, 1, true);
  EXPECT_GE(waits.now().end.at_most(release_limit), Deadlines().reserve - milliseconds(100));
  waits.add(&Deadlines::release_wait, 8, false);
  waits.add(&Deadlines::write_wait, 8, false);
  waits.add(&Deadlines::settle_wait, 1, false);
  EXPECT_LE(waits.passed(), release_limit);
}

}  // namespace
}  // namespace gpuward
