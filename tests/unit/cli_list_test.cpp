// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "allocation/settled_now.hpp"
#include "attach/attach.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/attach_requests.hpp"
#include "cli/commands.hpp"
#include "cli/host_offer.hpp"
#include "config/config_parser.hpp"
#include "fake_host.hpp"
#include "inventory/snapshot.hpp"
#include "nvml_fixtures.hpp"
#include "pci_fixtures.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {
namespace {

using nlohmann::json;

class ListTest : public testing::Test {
 protected:
  json list(const std::string& what, int schema = 1) {
    testing::internal::CaptureStdout();
    list_command({host_.root(), "", schema, false}, what);
    return json::parse(testing::internal::GetCapturedStdout())[what];
  }
  /// One profile of these types; how many domains more can get it.
  unsigned available(const std::string& types) {
    host_.config("[profile p]\ntype = " + types + "\n");
    return list("profiles")[0]["available"].get<unsigned>();
  }
  /// A VF of `card` on which one instance of the type can be made, of `most` on the card.
  void mdev_vf(const std::string& card, const std::string& vf, const std::string& type, int most) {
    host_.parent(vf)
        .type(type, 1)
        .link("physfn", "../" + card)
        .attribute("mdev_supported_types/" + type + "/description",
                   "num_heads=4, framebuffer=12288M, max_instance=" + std::to_string(most));
  }
  FakeHost host_;
};

/// NVIDIA's A2 in one: its types share the card, and the first that has room is given.
TEST_F(ListTest, types_that_share_a_card_are_not_added_up) {
  host_.parent("0000:41:00.0").type("16Q", 1).type("4Q", 4).type("2Q", 8);
  EXPECT_EQ(available("16Q, 4Q, 2Q"), 1U);
  EXPECT_EQ(available("4Q, 2Q"), 4U);
}

TEST_F(ListTest, virtual_functions_share_what_their_card_has) {
  for (const char* const bus : {"41", "42"}) {
    const std::string card = "0000:" + std::string(bus);
    host_.pci_gpu(card + ":00.0");
    for (int number = 0; number < 16; ++number)
      mdev_vf(card + ":00.0",
              card + ":0" + std::to_string(1 + number / 8) + "." + std::to_string(number % 8),
              "12Q", 2);
  }
  EXPECT_EQ(available("12Q"), 4U);
  host_.instance("0000:41:01.0", "12Q", *parse_uuid("00000000-0000-4000-8000-000000000001"));
  EXPECT_EQ(available("12Q"), 3U);
}

TEST_F(ListTest, of_a_profile_that_keeps_the_driver_what_is_bound_is_available) {
  host_.pci_gpu("0000:41:00.0").driver("nouveau");
  host_.pci_gpu("0000:42:00.0").driver("vfio-pci");
  host_.config("[profile p]\nuse = whole\n");
  EXPECT_EQ(list("profiles")[0]["available"], 2U);
  host_.config("[profile p]\nuse = whole\ndriver = keep\n");
  EXPECT_EQ(list("profiles")[0]["available"], 1U);
}

TEST_F(ListTest, no_more_are_available_than_max_permits_on_a_card) {
  host_.pci_gpu("0000:41:00.0");
  for (const char* const vf : {"0000:41:00.4", "0000:41:00.5", "0000:41:00.6"})
    mdev_vf("0000:41:00.0", vf, "12Q", 3);
  host_.config("[gpu 0000:41:00.0]\nmax = 12Q:2\n[profile p]\ntype = 12Q\n");
  EXPECT_EQ(list("profiles")[0]["available"], 2U);
  Claims claims(host_.root());
  claims.make_ready();
  claims.write({*parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0"),
                "web01",
                {{ClaimedDevice::State::claimed, "ua-gpuward-0", "p",
                  *parse_uuid("00000000-0000-4000-8000-000000000001"), "0000:41:00.4", "12Q"}}});
  EXPECT_EQ(list("profiles")[0]["available"], 1U);
}

TEST_F(ListTest, types_of_vendor_vfs_are_listed_by_their_card) {
  host_.sriov("0000:41:00.0", 2);
  host_.set_vfs("0000:41:00.0", 2);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2"})
    host_.pci_gpu(vf)
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types",
                   "ID    : vGPU Name\n1145  : NVIDIA L40S-1B\n1146  : NVIDIA L40S-2B\n");
  const json types = list("types");
  ASSERT_EQ(types.size(), 2U);
  EXPECT_EQ(types[0]["gpu"], "0000:41:00.0");
  EXPECT_EQ(types[0]["type"], "1145");
  EXPECT_EQ(types[1]["name"], "NVIDIA L40S-2B");
  EXPECT_TRUE(types[0]["available"].is_null()) << "how many together the driver does not report";
  const json newer = list("types", 2);
  ASSERT_EQ(newer.size(), 2U);
  EXPECT_EQ(newer[0]["available"], 2U) << "one on each VF";
  EXPECT_EQ(newer[0]["memory"], 1024U);
  EXPECT_EQ(newer[0]["use"], "vendor-vf");
}

/// One of NVIDIA's A2 with 16 VFs had 16 rows for each type.
TEST_F(ListTest, a_card_has_one_row_for_each_of_its_types) {
  host_.pci_gpu("0000:41:00.0");
  for (const char* const vf : {"0000:41:00.4", "0000:41:00.5", "0000:41:00.6"})
    mdev_vf("0000:41:00.0", vf, "12Q", 2);
  const json types = list("types", 2);
  ASSERT_EQ(types.size(), 1U);
  EXPECT_EQ(types[0]["gpu"], "0000:41:00.0");
  EXPECT_EQ(types[0]["available"], 2U);
  EXPECT_EQ(types[0]["memory"], 12288U);
  EXPECT_EQ(types[0]["max"], 2U);
  const json older = list("types");
  ASSERT_EQ(older.size(), 3U) << "as 0.1.0 printed them";
  EXPECT_EQ(older[2]["gpu"], "0000:41:00.6");
  EXPECT_EQ(older[2]["available"], 1U);
  EXPECT_FALSE(older[2].contains("memory"));
}

TEST_F(ListTest, gpus_show_how_much_of_their_memory_is_given) {
  host_.pci_gpu("0000:41:00.0");
  for (const char* const vf : {"0000:41:00.4", "0000:41:00.5"})
    mdev_vf("0000:41:00.0", vf, "12Q", 4);
  host_.instance("0000:41:00.4", "12Q", *parse_uuid("00000000-0000-4000-8000-000000000001"));
  EXPECT_EQ(list("gpus", 2)[0]["memory"], (json{{"total", 49152}, {"given", 12288}}));
  EXPECT_FALSE(list("gpus")[0].contains("memory"));
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 0, false}, "gpus");
  EXPECT_THAT(testing::internal::GetCapturedStdout(), testing::HasSubstr("  12/48 GiB  "));
}

TEST_F(ListTest, an_instance_is_named_as_its_vendor_names_it) {
  host_.parent("0000:41:00.0")
      .type("nvidia-559", 4)
      .attribute("mdev_supported_types/nvidia-559/name", "NVIDIA A40-12Q");
  host_.instance("0000:41:00.0", "nvidia-559", *parse_uuid("00000000-0000-4000-8000-000000000001"));
  EXPECT_EQ(list("instances", 2)[0]["type_name"], "NVIDIA A40-12Q");
  EXPECT_FALSE(list("instances")[0].contains("type_name"));
}

/// The driver of a card with 48 GB offers 12Q on each of 16 VFs.
TEST_F(ListTest, vendor_vfs_share_what_their_card_has) {
  host_.sriov("0000:41:00.0", 16);
  host_.set_vfs("0000:41:00.0", 16);
  for (int number = 1; number <= 16; ++number)
    host_.pci_gpu("0000:41:0" + std::to_string(number / 8) + '.' + std::to_string(number % 8))
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types", "1153 : NVIDIA L40S-12Q\n");
  host_.config("[gpu *]\nuse = vendor-vf\n[profile p]\nuse = vendor-vf\ntype = 1153\n");
  EXPECT_EQ(list("profiles")[0]["available"], 4U);
}

TEST_F(ListTest, no_more_vendor_vfs_are_available_than_max_permits_on_a_card) {
  host_.sriov("0000:41:00.0", 4);
  host_.set_vfs("0000:41:00.0", 4);
  for (int number = 1; number <= 4; ++number)
    host_.pci_gpu("0000:41:00." + std::to_string(number))
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types", "1153 : NVIDIA L40S-12Q\n");
  host_.config(
      "[gpu *]\nuse = vendor-vf\nmax = NVIDIA L40S-12Q:3\n"
      "[profile p]\nuse = vendor-vf\ntype = 1153\n");
  EXPECT_EQ(list("profiles")[0]["available"], 3U);
  host_.config(
      "[gpu *]\nuse = vendor-vf\nmax = 1153:0\n[profile p]\nuse = vendor-vf\ntype = 1153\n");
  EXPECT_EQ(list("profiles")[0]["available"], 0U);
}

TEST_F(ListTest, of_a_card_without_vfs_the_types_are_unknown_and_not_none) {
  using testing::HasSubstr;
  using testing::Not;
  const auto text = [&] {
    testing::internal::CaptureStdout();
    list_command({host_.root(), "", 0, false}, "types");
    return testing::internal::GetCapturedStdout();
  };
  const std::string none = "No GPU on this host supports mediated devices or vGPUs.\n";
  EXPECT_EQ(text(), none);
  host_.sriov("0000:41:00.0", 16);
  host_.pci_gpu("0000:41:00.0").pci_id(0x10de, 0x26b9);
  EXPECT_THAT(text(), testing::StartsWith("GPU 0000:41:00.0 has no VF enabled, so whether vGPU "
                                          "types exist is unknown; set use = vendor-vf"));
  EXPECT_EQ(list("types").size(), 0U);
  for (const char* const other : {"vf", "whole", "off"}) {
    host_.config("[gpu 0000:41:00.0]\nuse = " + std::string(other) + "\n");
    EXPECT_EQ(text(), none) << other;
  }
  host_.config("[gpu 0000:41:00.0]\nuse = vendor-vf\n");
  EXPECT_THAT(text(), HasSubstr("has no VF enabled"));
  host_.set_vfs("0000:41:00.0", 16);
  EXPECT_EQ(text(), none);
}

/// On a VF that a domain is about to have, is kept in quarantine or was given for its single use no
/// mdev is created, although its driver offers types; nor below such a card.
TEST_F(ListTest, parents_that_are_in_use_as_devices_are_not_counted) {
  const std::string card = "0000:41:00.0";
  host_.sriov(card, 4);
  host_.set_vfs(card, 4);
  for (int number = 1; number <= 4; ++number)
    host_.parent("0000:41:00." + std::to_string(number)).type("4Q", 1);
  const Claims claims(host_.root());
  claims.make_ready();
  const auto claim = [&](unsigned number, const std::string& address, Use use,
                         ClaimedDevice::State state) {
    ClaimedDevice device{
        .state = state, .alias = "-", .profile = "-", .instance = {}, .parent = card, .type = "-"};
    device.use = use;
    device.address = at(address);
    Uuid domain;
    domain.bytes[15] = static_cast<uint8_t>(number);
    claims.write({domain, "vm" + std::to_string(number), {device}});
  };
  EXPECT_EQ(available("4Q"), 4U);
  claim(1, "0000:41:00.1", Use::vf, ClaimedDevice::State::claimed);
  EXPECT_EQ(available("4Q"), 3U);
  claim(2, "0000:41:00.2", Use::vf, ClaimedDevice::State::quarantined);
  EXPECT_EQ(available("4Q"), 2U);
  mark_used(host_.root(), at("0000:41:00.3"), Uuid{}, "vm3");
  EXPECT_EQ(available("4Q"), 1U);
  claim(4, card, Use::whole, ClaimedDevice::State::claimed);
  EXPECT_EQ(available("4Q"), 0U);
}

/// A full card beside an empty one.
TEST_F(ListTest, a_vendor_vf_whose_card_has_no_capacity_is_not_counted) {
  for (const char* const bus : {"41", "42"}) {
    const std::string card = "0000:" + std::string(bus);
    host_.sriov(card + ":00.0", 1);
    host_.set_vfs(card + ":00.0", 1);
    host_.pci_gpu(card + ":00.1")
        .attribute("nvidia/current_vgpu_type", "0")
        .attribute("nvidia/creatable_vgpu_types",
                   card == "0000:41" ? "" : "1145 : NVIDIA L40S-1B\n");
  }
  host_.config("[gpu *]\nuse = vendor-vf\n[profile p]\nuse = vendor-vf\ntype = 1145\n");
  EXPECT_EQ(list("profiles")[0]["available"], 1U);
}

/// After a restart of the host, before reconcile.
TEST_F(ListTest, quarantine_that_no_claim_names_is_listed) {
  host_.pci_gpu("0000:41:00.0");
  const Uuid web01 = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
  record_quarantine(host_.root(), {web01, "web01", {}}, whole_card("0000:41:00.0"));
  const json domains = list("domains");
  ASSERT_EQ(domains.size(), 1U);
  EXPECT_EQ(domains[0]["name"], "web01");
  ASSERT_EQ(domains[0]["gpus"].size(), 1U);
  EXPECT_EQ(domains[0]["gpus"][0]["instance"], "0000:41:00.0");
  EXPECT_EQ(domains[0]["gpus"][0]["state"], "quarantined");
  const json instances = list("instances");
  ASSERT_EQ(instances.size(), 1U);
  EXPECT_EQ(instances[0]["address"], "0000:41:00.0");
  EXPECT_EQ(instances[0]["state"], "quarantined");
  EXPECT_EQ(instances[0]["domain"]["name"], "web01");
}

TEST_F(ListTest, a_claim_that_cannot_be_read_is_named_by_each_list_of_what_is_in_use) {
  host_.parent("0000:41:00.0").type("4Q", 4);
  const std::string name = "claims/00000000-0000-4000-8000-000000000001";
  make_directories(host_.root().run("claims"));
  write_file_atomically(host_.root().run(name), "rubbish\n");
  host_.config("[profile p]\ntype = 4Q\n");
  for (const char* const what : {"instances", "gpus", "domains", "profiles"}) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    EXPECT_EQ(list_command({host_.root(), "", 0, false}, what), 1) << what;
    testing::internal::GetCapturedStdout();
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                testing::HasSubstr("error: claim of domain 00000000-0000-4000-8000-000000000001: "
                                   "cannot be read"))
        << what;
  }
}

TEST_F(ListTest, with_a_claim_that_cannot_be_read_nothing_is_available) {
  host_.parent("0000:41:00.0").type("4Q", 4);
  EXPECT_EQ(available("4Q"), 4U);
  make_directories(host_.root().run("claims"));
  write_file_atomically(host_.root().run("claims/00000000-0000-4000-8000-000000000001"), "x\n");
  EXPECT_TRUE(list("profiles")[0]["available"].is_null());
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 0, false}, "profiles");
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::HasSubstr("4Q     none          none           0\n"));
}

/// A full card lists no types, but is not one that has none.
TEST_F(ListTest, a_card_that_is_full_is_named) {
  host_.sriov("0000:41:00.0", 1);
  host_.set_vfs("0000:41:00.0", 1);
  host_.pci_gpu("0000:41:00.1")
      .attribute("nvidia/current_vgpu_type", "1153")
      .attribute("nvidia/creatable_vgpu_types", "");
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 0, false}, "types");
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "GPU 0000:41:00.0: no further vGPU can be created\n");
}

/// Intel and AMD have no vGPU types on VFs.
TEST_F(ListTest, cards_of_others_than_nvidia_are_not_asked_to_enable_vfs) {
  host_.sriov("0000:41:00.0", 16);
  host_.pci_gpu("0000:41:00.0").pci_id(0x8086, 0x56c0);
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 0, false}, "types");
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "No GPU on this host supports mediated devices or vGPUs.\n");
}

/// VFs that are not enabled list no types: the name tells what their card has room for, or nothing.
TEST_F(ListTest, of_vfs_that_are_not_enabled_the_name_of_the_type_tells_how_many) {
  const auto profile = [&](const std::string& types) {
    host_.config("[gpu *]\nuse = vendor-vf\n[profile p]\nuse = vendor-vf\ntype = " + types + "\n");
    return list("profiles")[0]["available"];
  };
  host_.sriov("0000:41:00.0", 32);
  EXPECT_EQ(profile("NVIDIA L40S-48Q"), 1U);
  EXPECT_EQ(profile("NVIDIA L40S-12Q"), 4U);
  EXPECT_EQ(profile("NVIDIA L40S-1B"), 32U);
  EXPECT_TRUE(profile("1153").is_null());
  EXPECT_TRUE(profile("NVIDIA L40S-48Q, NVIDIA A2-1B").is_null()) << "which of them it is";
  EXPECT_TRUE(profile("NVIDIA A100-1-5C").is_null()) << "its GPU instances";
  testing::internal::CaptureStdout();
  EXPECT_EQ(list_command({host_.root(), "", 0, false}, "profiles"), 0);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::HasSubstr("A100-1-5C  -             -              -\n"));
}

// ---- MIG

/// A card with 16 VFs, an A100 in MIG mode (tests/nvml).
class ListMigTest : public ListTest {
 protected:
  ListMigTest() {
    host_.sriov("0000:41:00.0", 16);
    host_.set_vfs("0000:41:00.0", 16);
    for (const Gpu& gpu : read_gpus(host_.root(), {}))
      for (const PciAddress& vf : gpu.vfs)
        host_.pci_gpu(to_string(vf))
            .attribute("nvidia/current_vgpu_type", "0")
            .attribute("nvidia/creatable_vgpu_types", "474 : GRID A100-1-5C");
    host_.config(
        "[gpu *]\nuse = mig\n[profile p]\nuse = mig\ntype = 1g.5gb\n"
        "[profile q]\nuse = mig\ntype = 3g.20gb, 2g.10gb\n");
  }
  json type(const std::string& id) {
    for (const json& each : list("types", 2))
      if (each["type"] == id) return each;
    return {};
  }
  json unknown() {
    testing::internal::CaptureStdout();
    list_command({host_.root(), "", 2, false}, "types");
    return json::parse(testing::internal::GetCapturedStdout())["unknown"];
  }
  /// Of a request at attach.
  std::string refusal_of(const std::string& request) {
    const Config config = load_config(config_files(host_.root())).config;
    try {
      resolve(config, read_host_offer(host_.root(), config), parse_request(request));
    } catch (const Error& error) {
      return without_remedy(error.reason);
    }
    return {};
  }
  NvmlDouble nvml_{host_.root()};
};

TEST_F(ListMigTest, types_are_the_profiles_with_what_remains) {
  nvml_.add("instance 1 9 4 4 1");
  EXPECT_EQ(list("types", 2).size(), 6U);
  const json small = type("1g.5gb");
  EXPECT_EQ(small["use"], "mig");
  EXPECT_EQ(small["available"], 4U);
  EXPECT_EQ(small["memory"], 4864U);
  EXPECT_EQ(small["max"], 7U);
  EXPECT_EQ(small["name"], "MIG 1g.5gb");
  EXPECT_EQ(type("3g.20gb")["available"], 1U);
  EXPECT_EQ(type("7g.40gb")["available"], 0U);
}

TEST_F(ListMigTest, profiles_count_what_fits_and_say_how_hard_the_limits_are) {
  const json empty = list("profiles", 2);
  EXPECT_EQ(empty[0]["available"], 7U);
  EXPECT_EQ(empty[0]["limits"]["memory"], "hard");
  EXPECT_EQ(empty[0]["limits"]["compute"], "hard");
  EXPECT_EQ(empty[1]["available"], 2U) << "two of 3g fill the card";
  nvml_.add("instance 1 9 4 4 1");
  EXPECT_EQ(list("profiles", 2)[0]["available"], 4U);
  nvml_.set("mig on\ninstance 1 0 0 8 1\n");
  EXPECT_EQ(list("profiles", 2)[0]["available"], 0U);
  nvml_.set("mig on\ninstance 1 19 6 1 1\n");
  host_.pci_gpu("0000:41:00.1").attribute("nvidia/current_vgpu_type", "474");
  EXPECT_EQ(list("profiles", 2)[0]["available"], 6U) << "the driver counts, whatever the VFs have";
}

TEST_F(ListMigTest, without_mig_mode_or_library_it_has_no_types_and_how_many_fit_is_unknown) {
  nvml_.set("mig off\n");
  EXPECT_EQ(list("types", 2).size(), 0U);
  EXPECT_EQ(list("profiles", 2)[0]["available"], nullptr);
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 0, false}, "types");
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "GPU 0000:41:00.0: MIG mode is off; run: nvidia-smi -i 0000:41:00.0 -mig 1\n");
  nvml_.remove_program();
  EXPECT_EQ(list("types", 2).size(), 0U);
}

TEST_F(ListMigTest, a_driver_that_offers_vgpus_as_mdevs_is_refused) {
  host_.parent("0000:41:00.1").type("nvidia-474", 1);
  const std::string why =
      "GPU 0000:41:00.0: use = mig is not supported where the driver offers vGPUs as mdevs; set "
      "use = mdev and create GPU instances with: nvidia-smi mig -i 0000:41:00.0 -cgi PROFILE -C";
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 0, false}, "types");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), why + "\n");
  const auto check = [&](const std::string& config) {
    host_.config(config);
    testing::internal::CaptureStdout();
    check_command({host_.root(), "", 1, false}, {});
    return json::parse(testing::internal::GetCapturedStdout())["problems"];
  };
  const json problems = check("[gpu *]\nuse = mig\n");
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0]["message"], why);
  EXPECT_EQ(check("[gpu *]\nuse = mdev\n").size(), 0U);
}

TEST_F(ListMigTest, a_vf_less_does_not_make_it_fewer) {
  nvml_.add("instance 1 9 4 4 1");
  host_.config(
      "[gpu *]\nuse = mig\n[gpu 0000:41:00.1]\nuse = off\n[profile p]\nuse = mig\ntype = "
      "1g.5gb\n");
  EXPECT_EQ(list("profiles", 2)[0]["available"], 4U);
}

TEST_F(ListMigTest, without_a_use_and_mig_mode_or_library_the_vfs_say_what_they_offer) {
  host_.config("");
  nvml_.set("mig off\n");
  EXPECT_EQ(type("474")["use"], "vendor-vf");
  EXPECT_EQ(list("types", 2).size(), 1U);
  nvml_.remove_program();
  EXPECT_EQ(list("types", 2).size(), 1U);
}

TEST_F(ListMigTest, where_nothing_is_for_mig_no_answer_does_not_matter) {
  host_.config("");
  nvml_.set("mig off\nreturns DeviceGetMigMode 999\n");
  EXPECT_EQ(type("474")["use"], "vendor-vf");
  EXPECT_EQ(unknown().size(), 0U);
}

/// A whole GPU would serve it, too.
TEST_F(ListMigTest, without_an_answer_a_domain_keeps_what_serves_its_request) {
  host_.config("[profile p]\nuse = mig\ntype = 1g.5gb\n");
  host_.pci_gpu("0000:43:00.0")
      .pci_id(0x1002, 0x74a1)
      .attribute("mem_info_vram_total", "17163091968");
  const Config config = load_config(config_files(host_.root())).config;
  const Settings settings{host_.root(), "", 0, false};
  SettledRequest vgpu{Use::vendor_vf, "474"};
  vgpu.granted.memory_mib = 5120;
  GpuToAttach gpu{"4GiB", true, Use::vendor_vf, {*parse_pci_address("0000:41:00.1")}, vgpu};
  const std::string xml = attach_gpu(
      "<domain><name>web01</name><uuid>d0000000-0000-4000-8000-000000000001</uuid>"
      "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices></devices></domain>",
      gpu);
  const auto now = [&] {
    return parse_domain(with_requests_settled(settings, config, xml)).requests[0].settled->type;
  };
  nvml_.set("mig off\n");
  EXPECT_EQ(now(), "474");
  nvml_.set("mig off\nreturns DeviceGetMigMode 999\n");
  EXPECT_EQ(now(), "474");
  nvml_.set("mig on\n");
  EXPECT_EQ(now(), "1g.5gb");
}

/// Another card has a type of that name, too.
TEST_F(ListMigTest, without_an_answer_a_domain_keeps_the_type_that_it_has) {
  host_.config("[profile p]\nuse = mig\ntype = 1g.5gb\n");
  host_.parent("0000:43:00.0")
      .type("nvidia-7", 1)
      .attribute("mdev_supported_types/nvidia-7/name", "GRID A100-1-5C");
  const Config config = load_config(config_files(host_.root())).config;
  const auto now = [&] {
    const GpuRequest gpu{"ua-gpuward-0", "GRID A100-1-5C", SettledRequest{Use::vendor_vf, "474"}};
    const auto settled = settled_now(host_.root(), config, gpu);
    return settled ? settled->type : "as it is";
  };
  nvml_.set("mig off\nreturns DeviceGetMigMode 999\n");
  EXPECT_EQ(now(), "as it is");
  nvml_.set("mig on\n");
  const auto gpus = read_gpus(host_.root(), {});
  for (const PciAddress& vf : gpus[0].vfs)
    host_.pci_gpu(to_string(vf)).attribute("nvidia/creatable_vgpu_types", "");
  EXPECT_EQ(now(), "nvidia-7") << "the card is known not to offer the other one";
}

TEST_F(ListMigTest, of_a_card_for_gpu_instances_no_other_kind_serves_a_size) {
  nvml_.set("mig off\n");
  EXPECT_NE(refusal_of("1GiB"), "");
}

/// In MIG mode its VFs create other vGPUs.
TEST_F(ListMigTest, without_a_use_what_a_card_that_does_not_answer_has_is_unknown) {
  host_.config(
      "[profile p]\nuse = mig\ntype = 1g.5gb\n[profile v]\nuse = vendor-vf\ntype = 474\n"
      "[profile m]\nmemory = 4GiB\n");
  nvml_.set("mig off\nreturns DeviceGetMigMode 999\n");
  EXPECT_EQ(list("types", 2).size(), 0U);
  EXPECT_EQ(list("profiles", 2)[1]["available"], nullptr);
  EXPECT_EQ(list("profiles", 2)[2]["available"], nullptr);
  const std::string why =
      "MIG mode cannot be determined: gpuward-nvml: 'nvmlDeviceGetMigMode returned 999'";
  EXPECT_EQ(unknown(), (json{{{"gpu", "0000:41:00.0"}, {"reason", why}}}));
  testing::internal::CaptureStdout();
  list_command({host_.root(), "", 0, false}, "types");
  show_command({host_.root(), "", 0, false}, "0000:41:00.0");
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::AllOf(testing::StartsWith("GPU 0000:41:00.0: its types are unknown, as " +
                                                 why + "; check: nvidia-smi, or set use in its "),
                             testing::ContainsRegex("types: +unknown, as " + why)));
  EXPECT_EQ(refusal_of("474"),
            "request '474': neither a profile nor a type or model of a GPU on this host; types of "
            "0000:41:00.0 are unknown, as " +
                why);
  EXPECT_THAT(refusal_of("1GiB"), testing::HasSubstr("types are unknown, as " + why));
  nvml_.set("mig off\n");
  EXPECT_EQ(list("types", 2).size(), 1U);
  EXPECT_EQ(list("profiles", 2)[1]["available"], 1U);
  EXPECT_EQ(refusal_of("474"), "");
}

/// A vGPU on this VF; `part`: its GPU instance.
static void claim_for_web01(const Root& root, const std::string& part,
                            const std::string& vf = "0000:41:00.1") {
  const Uuid web01 = *parse_uuid("00000000-0000-4000-8000-000000000001");
  Claim claim = Claims(root).find(web01).value_or(Claim{web01, "web01", {}});
  claim.devices.push_back(whole_card(vf));
  ClaimedDevice& device = claim.devices.back();
  device.use = Use::mig;
  device.parent = "0000:41:00.0";
  device.type = "1g.5gb";
  device.vgpu = "474";
  device.part = part;
  device.memory_mib = 4864;
  make_directories(root.run("claims"));
  Claims(root).write(claim);
}

/// The guest sees the vGPU by its own name, which the VFs without one still list.
TEST_F(ListMigTest, verify_compares_the_vgpu_and_names_it) {
  claim_for_web01(host_.root(), "");
  host_.pci_gpu("0000:41:00.1").pci_id(0x10de, 0x20f1).attribute("nvidia/current_vgpu_type", "474");
  testing::internal::CaptureStdout();
  verify_command({host_.root(), "", 0, false}, "web01");
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, testing::HasSubstr("ok       current_vgpu_type: 474\n"));
  EXPECT_THAT(text, testing::HasSubstr("memory 4864 MiB, by the type: hard\n"));
  EXPECT_THAT(text, testing::HasSubstr("compute units, by the type: hard\n"));
  EXPECT_THAT(text, testing::HasSubstr("name GRID A100-1-5C; memory at most 4864 MiB"));
  EXPECT_THAT(text, testing::HasSubstr("unknown  GPU instance: the claim does not say which\n"));
}

/// Of such a model several vGPUs may be in one GPU instance, but not in one that was created for
/// the device.
TEST_F(ListMigTest, verify_knows_that_nothing_shares_the_gpu_instance) {
  claim_for_web01(host_.root(), "19:6+1:7");
  host_.pci_gpu("0000:41:00.1")
      .attribute("nvidia/current_vgpu_type", "474")
      .attribute("nvidia/creatable_vgpu_types", "");
  host_.pci_gpu("0000:41:00.2")
      .attribute("nvidia/creatable_vgpu_types",
                 "474 : NVIDIA RTX Pro 6000 DC-1-12Q\n475 : NVIDIA RTX Pro 6000 DC-1-24Q");
  testing::internal::CaptureStdout();
  verify_command({host_.root(), "", 0, false}, "web01");
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::HasSubstr("compute units, by the type: hard\n"));
}

TEST_F(ListMigTest, verify_asks_a_card_once_for_all_gpus_of_the_domain) {
  claim_for_web01(host_.root(), "19:6+1:7");
  claim_for_web01(host_.root(), "19:5+1:8", "0000:41:00.2");
  const NvmlWatch watch(host_.root());
  testing::internal::CaptureStdout();
  verify_command({host_.root(), "", 0, false}, "web01");
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::AllOf(testing::HasSubstr("expected GPU instance 7 of 0000:41:00.0, "),
                             testing::HasSubstr("expected GPU instance 8 of 0000:41:00.0, ")));
  EXPECT_EQ(watch.asked(), "list\n");
}

/// All else of the device is as claimed, so that the status is that of the GPU instance.
TEST_F(ListMigTest, verify_reads_the_gpu_instance_back) {
  claim_for_web01(host_.root(), "19:6+1:7");
  host_.pci_gpu("0000:41:00.1")
      .driver("nvidia")
      .attribute("nvidia/current_vgpu_type", "474")
      .attribute("vfio-dev/vfio0/dev", "1:2");
  host_.file("/sys/kernel/iommu_groups/1/type", "DMA-FQ\n");
  host_.file("/sys/kernel/iommu_groups/1/devices/0000:41:00.1", "");
  host_.process(4711, "qemu-system-x86", {"/dev/vfio/1"});
  host_.file("/proc/4711/cmdline",
             "qemu" + std::string(1, '\0') + "00000000-0000-4000-8000-000000000001");
  int status = -1;
  const auto verified = [&](const std::string& state) {
    nvml_.set(state);
    testing::internal::CaptureStdout();
    status = verify_command({host_.root(), "", 0, false}, "web01");
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_THAT(verified("mig on\ninstance 7 19 6 1 1\n"),
              testing::AllOf(testing::HasSubstr("ok       GPU instance profile: 1g.5gb\n"),
                             testing::HasSubstr("ok       GPU instance placement: 6+1\n"),
                             testing::HasSubstr("ok       GPU instance memory: 4864 MiB\n")));
  EXPECT_EQ(status, 0);
  EXPECT_THAT(verified("mig on\ninstance 7 14 4 2 1\n"),
              testing::AllOf(
                  testing::HasSubstr("differs  GPU instance profile: expected 1g.5gb, found 2g."),
                  testing::HasSubstr("differs  GPU instance placement: expected 6+1, found 4+2\n"),
                  testing::HasSubstr("differs  GPU instance memory: expected 4864 MiB, found 9")));
  EXPECT_EQ(status, 1);
  EXPECT_THAT(verified("mig on\ninstance 8 19 6 1 1\n"),
              testing::HasSubstr("differs  GPU instance: expected GPU instance 7 of 0000:41:00.0, "
                                 "found none\n"));
  EXPECT_THAT(verified("mig on\nreturns DeviceGetMigMode 999\n"),
              testing::HasSubstr("unknown  GPU instance: expected GPU instance 7 of 0000:41:00.0, "
                                 "gpuward-nvml: "));
  EXPECT_EQ(status, 3);
}

TEST_F(ListMigTest, of_cards_that_no_section_mentions_the_types_are_listed_too) {
  host_.config("");
  EXPECT_EQ(list("types", 2).size(), 6U);
  host_.config("[gpu *]\nuse = vendor-vf\n");
  EXPECT_EQ(list("types", 2).size(), 1U);
}

/// prepare creates no instance on a card that is not the expected one.
TEST_F(ListTest, an_unexpected_card_has_nothing_available) {
  host_.parent("0000:41:00.0").type("4Q", 4);
  host_.config("[gpu 0000:41:00.0]\nexpect = slot:9\n[profile p]\ntype = 4Q\n");
  EXPECT_EQ(list("profiles")[0]["available"], 0U);
}

}  // namespace
}  // namespace gpuward
