// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "config/gpu_selector.hpp"
#include "domain_fixtures.hpp"
#include "inventory/gpu_types.hpp"

namespace gpuward {
namespace {

using Form = Request::Form;
using testing::ElementsAre;
using testing::HasSubstr;

// ---- the text

struct Parsed {
  const char* written;
  Form form;
  const char* text;
  unsigned count;
};

std::ostream& operator<<(std::ostream& out, const Parsed& parsed) {
  return out << parsed.written;
}

class RequestText : public testing::TestWithParam<Parsed> {};

TEST_P(RequestText, says) {
  const Request request = parse_request(GetParam().written);
  EXPECT_EQ(request.form, GetParam().form);
  EXPECT_EQ(request.text, GetParam().text);
  EXPECT_EQ(request.count, GetParam().count);
  EXPECT_EQ(request.written, GetParam().written);
}

INSTANTIATE_TEST_SUITE_P(
    All, RequestText,
    testing::Values(
        Parsed{"whole", Form::whole, "whole", 1}, Parsed{"whole:2", Form::whole, "whole", 2},
        Parsed{"whole:16", Form::whole, "whole", 16}, Parsed{"Whole", Form::name, "Whole", 1},
        Parsed{"whole-a:1", Form::name, "whole-a", 1}, Parsed{"4GiB", Form::part, "4GiB", 1},
        Parsed{"4096MiB", Form::part, "4096MiB", 1},
        Parsed{"4096MiB/25%", Form::part, "4096MiB/25%", 1},
        Parsed{"4GiB/25%:3", Form::part, "4GiB/25%", 3}, Parsed{"25%", Form::name, "25%", 1},
        Parsed{"4GB", Form::name, "4GB", 1}, Parsed{"10de:2236", Form::device, "10de:2236", 1},
        Parsed{"10DE:26B9", Form::device, "10de:26b9", 1},
        // a pair whose second half reads as a number of GPUs
        Parsed{"8086:0002", Form::device, "8086:0002", 1},
        Parsed{"10de:2236:2", Form::device, "10de:2236", 2},
        Parsed{"small", Form::name, "small", 1}, Parsed{"small:2", Form::name, "small", 2},
        Parsed{"nvidia-745:4", Form::name, "nvidia-745", 4},
        Parsed{"NVIDIA L40S-12Q:2", Form::name, "NVIDIA L40S-12Q", 2},
        Parsed{"Tesla M60", Form::name, "Tesla M60", 1}, Parsed{"a:b", Form::name, "a:b", 1},
        Parsed{":2", Form::name, ":2", 1}));

TEST(RequestTextTest, a_number_of_gpus_is_from_1_to_16) {
  for (const char* text : {"small:0", "small:17", "whole:99999999999", "10de:2236:0", "10de:223"})
    EXPECT_THAT(error_of([&] { parse_request(text); }), HasSubstr("is not from 1 to 16")) << text;
}

TEST(RequestTextTest, is_one_line) {
  for (const std::string& text : {std::string(), std::string("a\nb"), std::string(201, 'a')})
    EXPECT_THAT(error_of([&] { parse_request(text); }), HasSubstr("expected one line"));
}

/// Whatever the bytes: a request or an Error, and a request says again what it was written as.
TEST(RequestTextTest, any_text_is_a_request_or_refused) {
  std::mt19937 random(1);
  const std::string letters = "0129aAfG:%/ .-wholeMiBGiB";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (size_t length = random() % 14; length > 0; --length)
      text += letters[random() % letters.size()];
    try {
      const Request request = parse_request(text);
      EXPECT_EQ(request.written, text);
      EXPECT_GE(request.count, 1u);
      EXPECT_LE(request.count, most_gpus_per_request);
      if (request.form != Form::name) {
        EXPECT_EQ(parse_request(request.text).form, request.form) << text;
      }
    } catch (const Error& error) {
      EXPECT_FALSE(error.reason.problem.empty());
    }
  }
}

// ---- what serves it

Profile profile(const std::string& name, Use use, const std::vector<std::string>& types = {}) {
  Profile profile;
  profile.name = name;
  profile.use = use;
  profile.types = types;
  return profile;
}

struct RequestTest : testing::Test {
  WantedGpus found(const std::string& text) { return resolve(config_, host_, parse_request(text)); }
  std::string refusal(const std::string& text) {
    return error_of([&] { found(text); });
  }
  Config config_;
  HostOffer host_{{{"nvidia-745", "NVIDIA A2-1Q", Use::mdev},
                   {"1145", "NVIDIA L40S-1B", Use::vendor_vf},
                   {"mtty-1", "", Use::mdev}},
                  {{"Tesla M60", "NVIDIA Corporation GM204GL [Tesla M60]", "10de:13f2"},
                   {"L40S", "NVIDIA Corporation AD102GL [L40S]", "10de:26b9"}}};
};

TEST_F(RequestTest, whole_is_any_gpu) {
  const WantedGpus gpus = found("whole:2");
  EXPECT_EQ(gpus.request.profile, "whole");
  EXPECT_EQ(gpus.request.settled, SettledRequest{Use::whole});
  EXPECT_EQ(gpus.count, 2u);
  EXPECT_EQ(gpus.profile.use, Use::whole);
  EXPECT_TRUE(gpus.profile.gpus.empty());
  EXPECT_EQ(title_of(gpus.profile), "request 'whole'");
}

TEST_F(RequestTest, a_pair_is_a_whole_gpu_of_that_model) {
  const WantedGpus gpus = found("10DE:26B9");
  EXPECT_EQ(gpus.request.settled, (SettledRequest{Use::whole, {}, "10de:26b9"}));
  EXPECT_EQ(gpus.profile.use, Use::whole);
  EXPECT_EQ(gpus.profile.gpus, std::vector{*parse_gpu_selector("10de:26b9")});
  EXPECT_EQ(gpus.profile.name, "10de:26b9");
}

TEST_F(RequestTest, a_profile_is_kept_by_its_name_alone) {
  config_.profiles = {profile("small", Use::mdev, {"mtty-1"})};
  const WantedGpus gpus = found("small:3");
  EXPECT_EQ(gpus.request.profile, "small");
  EXPECT_FALSE(gpus.request.settled);
  EXPECT_EQ(gpus.count, 3u);
  EXPECT_EQ(gpus.profile, config_.profiles[0]);
}

TEST_F(RequestTest, a_profile_with_unified_memory_has_no_type_with_a_part_of_the_memory) {
  config_.profiles = {profile("byid", Use::mdev, {"nvidia-745"}),
                      profile("byname", Use::vendor_vf, {"NVIDIA L40S-1B"}),
                      profile("all", Use::vendor_vf, {"NVIDIA L40S-48Q"})};
  for (Profile& one : config_.profiles) {
    EXPECT_FALSE(needs_host(config_, parse_request(one.name)));
    one.attributes = {{"nvidia/vgpu_params", "enable_uvm=1"}};
    EXPECT_TRUE(needs_host(config_, parse_request(one.name)));
  }
  EXPECT_THAT(refusal("byid"),
              testing::StartsWith("profile 'byid': type NVIDIA A2-1Q has 1024 of 16384 "
                                  "MiB"));
  EXPECT_THAT(refusal("byname"), HasSubstr("type NVIDIA L40S-1B has 1024 of 49152 MiB"));
  EXPECT_EQ(found("all").request.profile, "all");
}

TEST_F(RequestTest, a_profile_goes_before_a_type_and_a_model) {
  config_.profiles = {profile("1145", Use::mdev, {"mtty-1"}), profile("L40S", Use::whole)};
  EXPECT_FALSE(found("1145").request.settled);
  EXPECT_FALSE(found("L40S").request.settled);
}

TEST_F(RequestTest, a_type_is_found_by_id_and_by_name) {
  for (const char* text : {"nvidia-745", "NVIDIA A2-1Q"}) {
    const WantedGpus gpus = found(text);
    EXPECT_EQ(gpus.request.profile, text);
    EXPECT_EQ(gpus.request.settled, (SettledRequest{Use::mdev, "nvidia-745"}));
    EXPECT_EQ(gpus.profile.types, std::vector<std::string>{"nvidia-745"});
  }
  for (const char* text : {"1145", "NVIDIA L40S-1B"})
    EXPECT_EQ(found(text).request.settled, (SettledRequest{Use::vendor_vf, "1145"}));
}

TEST_F(RequestTest, a_type_goes_before_a_model) {
  host_.types.push_back({"big", "L40S", Use::mdev});
  EXPECT_EQ(found("L40S").request.settled, (SettledRequest{Use::mdev, "big"}));
}

TEST_F(RequestTest, an_id_goes_before_a_name) {
  host_.types.push_back({"mtty-2", "mtty-1", Use::mdev});
  EXPECT_EQ(found("mtty-1").request.settled, (SettledRequest{Use::mdev, "mtty-1"}));
}

TEST_F(RequestTest, a_name_of_several_types_is_refused_with_their_ids) {
  host_.types.push_back({"nvidia-999", "NVIDIA A2-1Q", Use::mdev});
  EXPECT_EQ(refusal("NVIDIA A2-1Q"),
            "request 'NVIDIA A2-1Q': 2 types have this name; write one of: nvidia-745, nvidia-999");
}

TEST_F(RequestTest, a_model_is_found_whatever_its_case_and_kept_as_vendor_and_device) {
  for (const char* text : {"Tesla M60", "tesla m60", "nvidia corporation gm204gl [tesla m60]"}) {
    const WantedGpus gpus = found(text);
    EXPECT_EQ(gpus.request.profile, text);
    EXPECT_EQ(gpus.request.settled, (SettledRequest{Use::whole, {}, "10de:13f2"}));
  }
  EXPECT_EQ(found("tesla m60:2").count, 2u);
}

TEST_F(RequestTest, a_name_of_several_models_is_refused_with_the_candidates) {
  host_.models.push_back({"l40s", {}, "10de:26ba"});
  host_.models.push_back({"L40S", {}, "10de:26b9"});  // a second card
  EXPECT_EQ(refusal("L40S"),
            "request 'L40S': 2 models have this name; write one of: 10de:26b9, 10de:26ba");
}

/// vendor:device is all that is kept, and does not tell the mode of a card.
TEST_F(RequestTest, a_model_that_vendor_and_device_do_not_tell_from_another_is_refused) {
  host_.models.push_back(
      {"Tesla M60.compute", "NVIDIA Corporation GM204GL [Tesla M60].compute", "10de:13f2"});
  EXPECT_EQ(refusal("Tesla M60.compute"),
            "request 'Tesla M60.compute': 'Tesla M60' has the same vendor:device 10de:13f2; to "
            "request either of them write 10de:13f2; for one of them set gpu = ADDRESS in a "
            "profile");
  EXPECT_THAT(refusal("tesla m60"), HasSubstr("'Tesla M60.compute' has the same"));
  EXPECT_EQ(refusal("L40S"), "");
}

TEST_F(RequestTest, what_nothing_serves_is_refused_with_what_there_is) {
  config_.profiles = {profile("small", Use::mdev, {"mtty-1"})};
  EXPECT_EQ(refusal("smal"),
            "request 'smal': neither a profile nor a type or model of a GPU on this host; write "
            "whole, vendor:device, a profile (small), a model (L40S, Tesla M60) or a type of: "
            "gpuward list types");
}

// ---- fractions

/// An A40 with room for all of its types.
FractionGpu a40() {
  const auto type = [](const std::string& id, unsigned gib, unsigned most) {
    GpuType made{.id = id,
                 .name = "NVIDIA A40-" + std::to_string(gib) + "Q",
                 .description = "framebuffer=" + std::to_string(gib * 1024) +
                                "M, max_instance=" + std::to_string(most)};
    add_size(made);
    made.on = {{"0000:41:00.0", most}};
    return made;
  };
  FractionGpu gpu{.name = "0000:41:00.0", .memory_mib = 49152};
  gpu.types = {type("nvidia-560", 4, 12), type("nvidia-561", 6, 8), type("nvidia-566", 48, 1)};
  Gpu card;
  card.parent.name = gpu.name;
  card.mdev_parents = {gpu.name};
  gpu.room = card_room(card, gpu.types, {});
  return gpu;
}

struct FractionRequestTest : RequestTest {
  FractionRequestTest() {
    host_.fraction_gpus = [this](const FractionRequest& /*request*/,
                                 const std::vector<GpuSelector>& selectors) {
      selectors_ = selectors;
      return std::vector{gpu_};
    };
    Profile quarter = profile("quarter", Use::mdev);
    quarter.memory_mib = 5120;
    quarter.any_use = true;
    config_.profiles = {quarter};
  }
  FractionGpu gpu_ = a40();
  std::vector<GpuSelector> selectors_;
};

TEST_F(FractionRequestTest, a_size_is_served_by_the_type_that_wastes_the_least) {
  const WantedGpus gpus = found("5GiB:2");
  EXPECT_EQ(gpus.request.settled, (SettledRequest{Use::mdev, "nvidia-561"}));
  EXPECT_EQ(gpus.count, 2u);
  EXPECT_EQ(gpus.profile.types, std::vector<std::string>{"nvidia-561"});
  EXPECT_EQ(gpus.profile.memory_mib, 5120u);
  EXPECT_EQ(title_of(gpus.profile), "request '5120MiB' (nvidia-561)");
  EXPECT_EQ(profile_word(gpus.request), "nvidia-561");
  EXPECT_EQ(resolve({}, gpus.request).profile, gpus.profile) << "a start needs no host";
}

TEST_F(FractionRequestTest, numbers_outside_the_rules_are_refused_with_the_nearest) {
  EXPECT_EQ(refusal("4000MiB/7%"),
            "request '4000MiB/7%': expected a multiple of 128MiB, such as 3968MiB or 4096MiB; "
            "expected a multiple of 5% from 5% to 100%, such as 5% or 10%");
  EXPECT_THAT(
      refusal("64GiB"),
      HasSubstr("more than any GPU has that the request may use; the largest has 49152 MiB"));
  gpu_.types.pop_back();  // one that takes the whole card has all compute units, too
  EXPECT_THAT(refusal("4GiB/25%"), HasSubstr("(scheduler: unknown)"));
  EXPECT_THAT(refusal("25%"), HasSubstr("neither a profile nor a type")) << "compute alone is none";
}

TEST_F(FractionRequestTest, a_profile_of_memory_keeps_what_serves_it) {
  config_.profiles[0].gpus = {*parse_gpu_selector("0000:41:00.0")};
  config_.profiles[0].scrub = "/bin/true";
  const WantedGpus gpus = found("quarter");
  EXPECT_EQ(selectors_, config_.profiles[0].gpus);
  EXPECT_EQ(gpus.request.settled, (SettledRequest{Use::mdev, "nvidia-561", {}, true}));
  EXPECT_EQ(gpus.profile.name, "quarter");
  EXPECT_EQ(gpus.profile.scrub, "/bin/true");
  EXPECT_EQ(gpus.profile.types, std::vector<std::string>{"nvidia-561"});
  EXPECT_EQ(profile_word(gpus.request), "quarter") << "quotas count it by its profile";
  EXPECT_EQ(title_of(gpus.profile), "profile 'quarter' (nvidia-561)");
  EXPECT_EQ(title_of(config_.profiles[0]), "profile 'quarter'");
}

TEST_F(FractionRequestTest, the_use_and_workload_of_a_profile_count) {
  EXPECT_FALSE(fraction_of(config_.profiles[0]).use);
  config_.profiles[0].workload = Workload::graphics;
  EXPECT_EQ(fraction_of(config_.profiles[0]).workload, Workload::graphics);
  config_.profiles[0].any_use = false;
  config_.profiles[0].use = Use::whole;
  EXPECT_THAT(refusal("quarter"), HasSubstr("the profile has use = whole"));
}

TEST_F(FractionRequestTest, a_profile_of_memory_that_changed_is_refused_with_reassign) {
  const GpuRequest gpu{"ua-gpuward-0", "quarter", SettledRequest{Use::mdev, "t", {}, true}};
  EXPECT_TRUE(resolve(config_, gpu).profile);
  config_.profiles[0].any_use = false;
  config_.profiles[0].use = Use::vendor_vf;
  EXPECT_EQ(to_string(resolve(config_, gpu).refusal),
            "profile 'quarter' has use = vendor-vf, the domain uses mdev; run: gpuward reassign "
            "DOMAIN");
  EXPECT_EQ(to_string(resolve(config_, {"ua-gpuward-0", "quarter"}).refusal),
            "profile 'quarter' requests memory, and no type is set for it; run: gpuward "
            "reassign DOMAIN");
  config_.profiles.clear();
  EXPECT_THAT(to_string(resolve(config_, gpu).refusal), HasSubstr("'quarter' is not defined"));
}

TEST_F(FractionRequestTest, a_profile_that_requests_more_than_was_settled_is_refused) {
  GpuRequest gpu{"ua-gpuward-0", "quarter", SettledRequest{Use::mdev, "t", {}, true}};
  Profile& profile = config_.profiles[0];
  const auto refused = [&] { return to_string(resolve(config_, gpu, "vm 1").refusal); };
  EXPECT_EQ(refused(), "") << "as attach of an earlier version left it";
  profile.compute_percent = 25;
  profile.workload = Workload::graphics;
  EXPECT_EQ(refused(), "") << "nothing is noted of it";
  profile.workload.reset();
  gpu.settled->granted.memory_mib = 5120;
  EXPECT_EQ(refused(),
            "profile 'quarter' requests 25 % of the compute units, the share of type t is not "
            "known; run: gpuward reassign 'vm 1'");
  gpu.settled->granted = {5120, 20, false};
  EXPECT_THAT(refused(), HasSubstr("25 % of the compute units, type t is guaranteed 20 %;"));
  gpu.settled->granted.compute_percent = 25;
  EXPECT_EQ(refused(), "");
  profile.compute_percent.reset();
  profile.workload = Workload::compute;
  EXPECT_EQ(refused(), "") << "any type serves that";
  profile.workload = Workload::graphics;
  EXPECT_THAT(refused(), HasSubstr("has workload = graphics, type t has no graphics;"));
  gpu.settled->granted.has_graphics.reset();
  EXPECT_THAT(refused(), HasSubstr("whether type t has graphics is not known;"));
  gpu.settled->granted.has_graphics = true;
  EXPECT_EQ(refused(), "");
  profile.memory_mib = 8192;
  EXPECT_THAT(refused(), HasSubstr("requests 8192 MiB, type t has 5120 MiB;"));
  gpu.settled = SettledRequest{Use::whole, {}, "10de:2235", true};
  EXPECT_EQ(refused(), "") << "a whole GPU shares nothing; prepare asks it for its memory";
}

TEST_F(FractionRequestTest, what_serves_it_is_kept_with_what_that_has) {
  EXPECT_EQ(found("quarter").request.settled->granted, (Granted{6144, {}, true}));
  gpu_.scheduler = VgpuScheduler{VgpuScheduler::Policy::fixed_share, 2'000'000};
  EXPECT_EQ(found("quarter").request.settled->granted, (Granted{6144, 12, true}));
}

TEST_F(FractionRequestTest, what_was_settled_stays_while_it_is_available) {
  const GpuRequest gpu{"ua-gpuward-0", "4GiB", SettledRequest{Use::mdev, "nvidia-561"}};
  const auto now = [&] {
    return settle_fraction(fraction_choice({{4096, {}}}, {gpu_}), gpu)->type;
  };
  EXPECT_EQ(now(), "nvidia-561") << "although another one wastes less";
  limit(gpu_.room, "nvidia-561", 0);
  EXPECT_EQ(now(), "nvidia-560");
  limit(gpu_.room, "nvidia-560", 0);
  limit(gpu_.room, "nvidia-566", 0);
  EXPECT_EQ(now(), "nvidia-561") << "no other is available either";
  gpu_.types.clear();
  EXPECT_FALSE(settle_fraction(fraction_choice({{4096, {}}}, {gpu_}), gpu));
}

TEST_F(RequestTest, types_that_no_vf_can_create_now_are_said_to_be_unknown) {
  host_.partly_listed = {"0000:42:00.0"};
  EXPECT_THAT(refusal("NVIDIA L40S-24Q"),
              HasSubstr("neither a profile nor a type or model of a GPU on this host; types of "
                        "vGPUs that no VF of 0000:42:00.0 can create now are unknown; write"));
}

TEST_F(RequestTest, a_number_of_gpus_is_split_off_last) {
  host_.models.push_back({"Model T:2", {}, "1002:0001"});
  EXPECT_EQ(found("model t:2").count, 1u);
  EXPECT_EQ(found("model t:2").request.settled, (SettledRequest{Use::whole, {}, "1002:0001"}));
  EXPECT_EQ(found("model t:2:3").count, 3u);
}

TEST_F(RequestTest, only_a_name_that_is_no_profile_needs_the_host) {
  config_.profiles = {profile("small", Use::mdev, {"mtty-1"})};
  for (const char* text : {"whole", "10de:26b9", "small", "small:2"})
    EXPECT_FALSE(needs_host(config_, parse_request(text))) << text;
  EXPECT_TRUE(needs_host(config_, parse_request("L40S")));
  EXPECT_TRUE(needs_host(config_, parse_request("4GiB")));
  config_.profiles[0].memory_mib = 4096;
  EXPECT_TRUE(needs_host(config_, parse_request("small")));
}

// ---- at start

TEST_F(RequestTest, a_start_needs_neither_host_nor_configuration_for_what_is_settled) {
  for (const char* text : {"whole", "10de:26b9", "nvidia-745", "NVIDIA L40S-1B", "tesla m60"}) {
    const WantedGpus gpus = found(text);
    EXPECT_EQ(resolve({}, gpus.request).profile, gpus.profile) << text;
    EXPECT_EQ(profile_word(gpus.request), gpus.profile.name);
    EXPECT_EQ(gpus.profile.name.find(' '), std::string::npos);  // a word of a claim
  }
}

TEST_F(RequestTest, a_profile_that_came_later_changes_no_request_that_is_settled) {
  const WantedGpus gpus = found("1145");
  config_.profiles = {profile("1145", Use::mdev, {"mtty-1"})};
  EXPECT_EQ(resolve(config_, gpus.request).profile, gpus.profile);
}

TEST_F(RequestTest, a_profile_whose_name_is_reserved_is_refused_for_its_gpu) {
  const Reason refusal = resolve(config_, GpuRequest{"ua-gpuward-0", "whole"}).refusal;
  EXPECT_EQ(to_string(refusal),
            "profile 'whole' has no effect: the name is reserved as the request for any whole GPU "
            "(gpuward attach); rename the profile, then run gpuward detach and gpuward attach for "
            "the domain");
}

TEST_F(RequestTest, a_profile_that_is_gone_is_refused_for_its_gpu) {
  Domain domain;
  domain.requests = {{"ua-gpuward-0", "whole", SettledRequest{Use::whole}},
                     {"ua-gpuward-1", "old"}};
  EXPECT_EQ(error_of([&] { resolve_requests(config_, domain); }),
            "GPU 1: profile 'old' is not defined; add [profile old] to "
            "/etc/gpuward/gpuward.conf");
}

}  // namespace
}  // namespace gpuward
