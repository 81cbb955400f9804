// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "fake_host.hpp"
#include "mdev/provisioned.hpp"
#include "provision/provision.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const Uuid foreign = *parse_uuid("00000000-0000-4000-8000-000000000009");

GpuSelector by_name(const std::string& name) {
  GpuSelector selector;
  selector.by = GpuSelector::By::name;
  selector.name = name;
  return selector;
}

GpuSection section(const GpuSelector& selector, std::vector<InstanceCount> instances) {
  GpuSection result;
  result.selector = selector;
  result.instances = std::move(instances);
  return result;
}

ProvisionView::MdevParent gpu(const std::string& name, std::vector<std::string> types) {
  ProvisionView::MdevParent result;
  result.parent.name = name;
  result.types = std::move(types);
  return result;
}

Instance ready(const std::string& parent, const std::string& type, unsigned number) {
  return {provisioned_uuid(parent, type, number), parent, type};
}

ProvisionView scan(const Root& root, const Config& config) {
  return scan_host(root, config, read_host(root, config));
}

std::vector<std::string> names(const std::vector<Instance>& instances) {
  std::vector<std::string> result;
  for (const Instance& i : instances)
    result.push_back(i.parent + '/' + i.type + '/' + to_string(i.uuid));
  return result;
}

class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    view_.parents = {gpu("mbochs", {"mbochs-large", "mbochs-small"}), gpu("mtty", {"mtty-1"})};
    config_.gpus = {section(by_name("mbochs"), {{"mbochs-small", 2}})};
  }
  ProvisionPlan plan() { return plan_provision(config_, view_); }
  void expect_nothing(const ProvisionPlan& plan) {
    EXPECT_THAT(plan.create, IsEmpty());
    EXPECT_THAT(plan.remove, IsEmpty());
    EXPECT_THAT(plan.kept, IsEmpty());
    EXPECT_THAT(plan.errors, IsEmpty());
  }
  ProvisionView view_;
  Config config_;
};

/// They stand in people's domain XML: a change here breaks every host at its next boot.
TEST(ProvisionedUuidTest, never_changes) {
  EXPECT_EQ(to_string(provisioned_uuid("mbochs", "mbochs-small", 0)),
            "036be169-cdc9-5a5d-9605-c87f0b605df7");
  EXPECT_EQ(to_string(provisioned_uuid("mbochs", "mbochs-small", 1)),
            "b1b75b45-779a-5b3a-b143-0c074b3ad972");
  EXPECT_EQ(to_string(provisioned_uuid("0000:41:00.0", "nvidia-256", 3)),
            "fedb3800-6e41-57e7-a8a1-a0576f55d80c");
}

TEST(ProvisionedUuidsTest, tells_ours_from_all_others) {
  ProvisionedUuids provisioned;
  EXPECT_TRUE(provisioned.contains(ready("mbochs", "mbochs-small", 0)));
  EXPECT_TRUE(provisioned.contains(ready("mbochs", "mbochs-small", 1023)));
  EXPECT_FALSE(provisioned.contains(ready("mbochs", "mbochs-small", 1024)));
  EXPECT_TRUE(provisioned.contains(ready("mbochs", "mbochs-small", 7))) << "after a long search";
  EXPECT_FALSE(provisioned.contains({foreign, "mbochs", "mbochs-small"}));
  EXPECT_FALSE(
      provisioned.contains({name_uuid(foreign, "ua-gpuward-0"), "mbochs", "mbochs-small"}));
}

TEST(ProvisionedUuidsTest, on_another_parent_or_of_another_type_it_is_not_ours) {
  ProvisionedUuids provisioned;
  const Uuid uuid = provisioned_uuid("mbochs", "mbochs-small", 0);
  EXPECT_FALSE(provisioned.contains({uuid, "mtty", "mbochs-small"}));
  EXPECT_FALSE(provisioned.contains({uuid, "mbochs", "mbochs-large"}));
  EXPECT_FALSE(provisioned.contains({uuid, "mbochs", ""})) << "not whole yet";
}

TEST_F(PlanTest, what_the_request_of_a_domain_has_is_not_looked_for_among_ours) {
  view_.instances = {ready("mbochs", "mbochs-small", 2)};
  EXPECT_THAT(plan().remove, SizeIs(1));
  view_.of_requests = {view_.instances.front().uuid};
  EXPECT_THAT(plan().remove, IsEmpty());
}

TEST_F(PlanTest, without_a_configuration_there_is_nothing_to_do) {
  config_ = Config();
  expect_nothing(plan());
}

TEST_F(PlanTest, what_is_wanted_and_not_there_is_created) {
  EXPECT_EQ(names(plan().create),
            names({ready("mbochs", "mbochs-small", 0), ready("mbochs", "mbochs-small", 1)}));
}

TEST_F(PlanTest, what_is_wanted_and_there_is_left) {
  view_.instances = {ready("mbochs", "mbochs-small", 0), ready("mbochs", "mbochs-small", 1)};
  expect_nothing(plan());
}

TEST_F(PlanTest, a_gap_is_filled) {
  view_.instances = {ready("mbochs", "mbochs-small", 1)};
  EXPECT_EQ(names(plan().create), names({ready("mbochs", "mbochs-small", 0)}));
}

TEST_F(PlanTest, what_has_blocked_writer_right_now_is_not_made_again) {
  view_.instances = {ready("mbochs", "mbochs-small", 0), ready("mbochs", "mbochs-small", 1)};
  view_.instances[0].type = "";
  expect_nothing(plan());
}

TEST_F(PlanTest, what_is_no_longer_wanted_is_removed) {
  view_.instances = {ready("mbochs", "mbochs-small", 0), ready("mbochs", "mbochs-small", 1),
                     ready("mbochs", "mbochs-small", 2), ready("mtty", "mtty-1", 0)};
  const auto found = plan();
  EXPECT_EQ(names(found.remove),
            names({ready("mbochs", "mbochs-small", 2), ready("mtty", "mtty-1", 0)}));
  EXPECT_THAT(found.create, IsEmpty());
}

TEST_F(PlanTest, instances_of_others_are_never_removed) {
  view_.instances = {{foreign, "mbochs", "mbochs-small"},
                     {name_uuid(foreign, "ua-gpuward-0"), "mbochs", "mbochs-small"},
                     {foreign, "mtty", "mtty-1"},
                     {provisioned_uuid("mtty", "mtty-1", 0), "mtty", ""}};
  config_ = Config();
  expect_nothing(plan());
}

TEST_F(PlanTest, use_off_takes_all_of_ours_back) {
  config_.gpus[0].use = Use::off;
  config_.gpus[0].instances.clear();
  view_.instances = {ready("mbochs", "mbochs-small", 0), {foreign, "mbochs", "mbochs-small"}};
  const auto found = plan();
  EXPECT_EQ(names(found.remove), names({ready("mbochs", "mbochs-small", 0)}));
  EXPECT_THAT(found.create, IsEmpty());
}

TEST_F(PlanTest, count_zero_takes_all_of_ours_back) {
  config_.gpus[0].instances = {{"mbochs-small", 0}};
  view_.instances = {ready("mbochs", "mbochs-small", 0)};
  EXPECT_THAT(plan().remove, SizeIs(1));
}

TEST_F(PlanTest, a_type_that_a_named_gpu_does_not_offer_is_told) {
  config_.gpus = {section(by_name("mtty"), {{"mtty-9", 1}})};
  const auto found = plan();
  EXPECT_THAT(found.create, IsEmpty());
  EXPECT_THAT(found.errors, ElementsAre("mtty does not support type mtty-9; supported: mtty-1"));
}

TEST_F(PlanTest, a_type_that_some_of_all_gpus_do_not_offer_is_no_mistake) {
  config_.gpus = {section(GpuSelector(), {{"mtty-1", 1}})};
  const auto found = plan();
  EXPECT_EQ(names(found.create), names({ready("mtty", "mtty-1", 0)}));
  EXPECT_THAT(found.errors, IsEmpty());
}

TEST_F(PlanTest, a_uuid_that_another_parent_has_is_told_and_not_fought_over) {
  view_.instances = {{provisioned_uuid("mbochs", "mbochs-small", 0), "mtty", "mtty-1"}};
  const auto found = plan();
  EXPECT_EQ(names(found.create), names({ready("mbochs", "mbochs-small", 1)}));
  EXPECT_THAT(found.remove, IsEmpty());
  ASSERT_THAT(found.errors, SizeIs(1));
  EXPECT_THAT(found.errors[0], HasSubstr("already exists with type mtty-1 on mtty"));
}

TEST_F(PlanTest, a_uuid_of_another_type_on_the_same_parent_is_told) {
  view_.instances = {{provisioned_uuid("mbochs", "mbochs-small", 0), "mbochs", "mbochs-large"}};
  EXPECT_THAT(plan().errors, SizeIs(1));
}

TEST_F(PlanTest, what_mdevctl_defines_too_is_adopted_when_it_is_there) {
  view_.instances = {ready("mbochs", "mbochs-small", 0), ready("mbochs", "mbochs-small", 1)};
  view_.mdevctl = {{"mbochs", provisioned_uuid("mbochs", "mbochs-small", 0)}};
  expect_nothing(plan());
}

TEST_F(PlanTest, what_mdevctl_defines_and_has_not_made_is_refused) {
  view_.mdevctl = {{"mbochs", provisioned_uuid("mbochs", "mbochs-small", 0)}};
  const auto found = plan();
  EXPECT_EQ(names(found.create), names({ready("mbochs", "mbochs-small", 1)}));
  ASSERT_THAT(found.errors, SizeIs(1));
  EXPECT_THAT(found.errors[0], HasSubstr("mdevctl undefine --uuid 036be169-"));
}

TEST_F(PlanTest, what_mdevctl_defines_is_not_removed) {
  config_ = Config();
  view_.instances = {ready("mbochs", "mbochs-small", 0)};
  view_.mdevctl = {{"mbochs", provisioned_uuid("mbochs", "mbochs-small", 0)}};
  const auto found = plan();
  EXPECT_THAT(found.remove, IsEmpty());
  ASSERT_THAT(found.kept, SizeIs(1));
  EXPECT_THAT(found.kept[0], HasSubstr("defined in mdevctl"));
}

TEST_F(PlanTest, a_gpu_that_is_not_there_is_not_planned_for) {
  config_.gpus = {section(by_name("gone"), {{"t", 1}})};
  expect_nothing(plan());
}

// ---- the view

TEST(LookAtHostTest, sees_parents_types_instances_and_definitions) {
  FakeHost host;
  host.parent("mbochs").type("mbochs-small", 4).type("mbochs-large", 1);
  host.parent("mtty").type("mtty-1", 4);
  host.instance("mtty", "mtty-1", foreign);
  host.mdevctl_definition("mtty", foreign);
  const ProvisionView view = scan(host.root(), {});
  ASSERT_THAT(view.parents, SizeIs(2));
  EXPECT_EQ(view.parents[0].parent.name, "mbochs");
  EXPECT_THAT(view.parents[0].types, ElementsAre("mbochs-large", "mbochs-small"));
  ASSERT_THAT(view.instances, SizeIs(1));
  EXPECT_TRUE(view.mdevctl.contains({"mtty", foreign}));
}

TEST(LookAtHostTest, an_empty_host_is_an_empty_view) {
  const TempDir empty;
  const ProvisionView view = scan(Root{empty.path()}, {});
  EXPECT_THAT(view.parents, IsEmpty());
  EXPECT_THAT(view.instances, IsEmpty());
}

TEST(MissingGpusTest, are_those_that_a_section_with_instances_names) {
  FakeHost host;
  host.parent("mtty").type("mtty-1", 4);
  GpuSelector address;
  address.by = GpuSelector::By::address;
  address.address = *parse_pci_address("0000:41:00.0");
  Config config;
  config.gpus = {section(by_name("mtty"), {{"mtty-1", 1}}), section(by_name("gone"), {{"t", 1}}),
                 section(by_name("unwanted"), {}), section(address, {{"t", 1}}),
                 section(GpuSelector(), {{"t", 1}})};
  EXPECT_THAT(missing_gpus(host.root(), config), ElementsAre("gone", "0000:41:00.0"));
}

// ---- virtual functions

class VfPlanTest : public PlanTest {
 protected:
  VfPlanTest() {
    GpuSection section;
    section.selector = by_name("0000:41:00.0");
    section.use = Use::vf;
    section.vfs = 4;
    config_.gpus = {section};
    PhysicalFunction pf{{}, 7, 4, "autoprobe=0"};
    pf.identity.name = "0000:41:00.0";
    pf.identity.address = PciAddress{0, 0x41, 0, 0};
    view_.pfs = {pf};
  }
  std::vector<std::string> changes() {
    std::vector<std::string> texts;
    for (const VfChange& change : plan().vfs) texts.push_back(to_string(change));
    return texts;
  }
};

TEST_F(VfPlanTest, as_many_as_wanted_and_made_so_are_left) {
  EXPECT_THAT(changes(), IsEmpty());
  view_.pfs[0].recorded.reset();
  EXPECT_THAT(changes(), IsEmpty()) << "made by others";
}

TEST_F(VfPlanTest, another_number_is_made) {
  view_.pfs[0].now = 2;
  EXPECT_THAT(changes(), ElementsAre("VFs of 0000:41:00.0: from 2 to 4"));
  view_.pfs[0].now = 0;
  EXPECT_THAT(changes(), ElementsAre("VFs of 0000:41:00.0: from 0 to 4"));
  config_.gpus[0].vfs = 0;
  EXPECT_THAT(changes(), IsEmpty());
}

TEST_F(VfPlanTest, another_quota_makes_them_anew) {
  config_.gpus[0].quota.memory_mib = 512;
  EXPECT_THAT(changes(), ElementsAre("VFs of 0000:41:00.0: 4 with other settings"));
  view_.pfs[0].recorded = "autoprobe=0 vf-memory=512";
  EXPECT_THAT(changes(), IsEmpty());
  config_.gpus[0].vfs = 0;
  view_.pfs[0].now = 0;
  EXPECT_THAT(changes(), IsEmpty()) << "there are none to be otherwise";
}

TEST_F(VfPlanTest, those_that_a_domain_needed_are_made_anew_only_for_another_quota) {
  config_.gpus[0].vfs.reset();
  EXPECT_THAT(changes(), IsEmpty());
  config_.gpus[0].quota.memory_mib = 512;
  EXPECT_THAT(changes(), ElementsAre("VFs of 0000:41:00.0: from 4 to 7"));
  view_.pfs[0].recorded.reset();
  EXPECT_THAT(changes(), IsEmpty()) << "made by others";
}

TEST_F(VfPlanTest, more_than_there_can_be_are_told) {
  config_.gpus[0].vfs = 8;
  EXPECT_THAT(changes(), IsEmpty());
  EXPECT_THAT(plan().errors, ElementsAre("0000:41:00.0: vfs = 8 exceeds sriov_totalvfs (7)"));
}

// ---- a card whose VFs are the parents

class PlanCardTest : public PlanTest {
 protected:
  PlanCardTest() {
    view_.parents.clear();
    for (int number = 1; number <= 4; ++number) {
      ProvisionView::MdevParent vf = gpu("0000:41:00." + std::to_string(number), {"nvidia-63"});
      vf.parent.address = parse_pci_address(vf.parent.name);
      vf.parent.physical_function = parse_pci_address("0000:41:00.0");
      view_.parents.push_back(vf);
    }
    GpuSelector card;
    card.by = GpuSelector::By::address;
    card.address = *parse_pci_address("0000:41:00.0");
    config_.gpus = {section(card, {{"nvidia-63", 2}})};
  }
  std::vector<std::string> parents(const ProvisionPlan& plan) {
    std::vector<std::string> parents;
    for (const Instance& instance : plan.create) parents.push_back(instance.parent);
    return parents;
  }
};

TEST_F(PlanCardTest, a_number_of_instances_is_that_of_the_card) {
  EXPECT_THAT(parents(plan()), ElementsAre("0000:41:00.1", "0000:41:00.2"));
}

TEST_F(PlanCardTest, those_that_are_there_stay_and_vfs_with_others_are_passed_over) {
  view_.instances = {{*parse_uuid("00000000-0000-4000-8000-000000000009"), "0000:41:00.1", "x"},
                     ready("0000:41:00.4", "nvidia-63", 0)};
  const ProvisionPlan made = plan();
  EXPECT_THAT(parents(made), ElementsAre("0000:41:00.2"));
  EXPECT_THAT(made.remove, IsEmpty());
}

TEST_F(PlanCardTest, vfs_that_a_pattern_selects_without_their_card_have_a_section_of_their_own) {
  for (const size_t number : {size_t{2}, size_t{3}}) {
    Parent& vf = view_.parents[number].parent;
    vf.name = "0000:41:01." + std::to_string(number);
    vf.address = parse_pci_address(vf.name);
  }
  GpuSelector slot;
  slot.by = GpuSelector::By::addresses;
  slot.name = "0000:41:01.*";
  config_.gpus[0].instances = {{"nvidia-63", 4}};
  config_.gpus.push_back(section(slot, {}));
  config_.gpus.back().use = Use::off;
  EXPECT_THAT(parents(plan()), ElementsAre("0000:41:00.1", "0000:41:00.2"));
  config_.gpus.back().selector.name = "0000:41:*";
  config_.gpus.back().use = Use::mdev;
  EXPECT_EQ(plan().create.size(), 4u) << "of the card, too, whose section counts more";
}

TEST_F(PlanCardTest, what_has_no_vf_is_told_once) {
  config_.gpus[0].instances = {{"nvidia-63", 9}};
  EXPECT_EQ(plan().create.size(), 4u);
  EXPECT_THAT(plan().errors,
              ElementsAre("0000:41:00.0: 5 of 9 instances of nvidia-63 cannot be created: no "
                          "other VF supports the type"));
}

// ---- hardware that is not what the configuration expects

/// A card and a VF of another, with a ready instance each.
struct UnexpectedTest : testing::Test {
  UnexpectedTest() {
    host_.pci_gpu(pf);
    host_.sriov(pf, 1);
    host_.set_vfs(pf, 1);
    for (const std::string& parent : {card, vf}) {
      host_.parent(parent).type("nvidia-63", 2);
      host_.instance(parent, "nvidia-63", provisioned_uuid(parent, "nvidia-63", 0));
    }
    add(card).expect.slot = "9";
    add(pf).expect.slot = "9";
    add(vf);  // a section of its own, which expects nothing
  }
  GpuSection& add(const std::string& address) {
    GpuSelector selector;
    selector.by = GpuSelector::By::address;
    selector.address = *parse_pci_address(address);
    config_.gpus.push_back(section(selector, {}));
    return config_.gpus.back();
  }
  ProvisionPlan plan() { return plan_provision(config_, scan(host_.root(), config_)); }
  const std::string card = "0000:41:00.0", pf = "0000:42:00.0", vf = "0000:42:00.1";
  FakeHost host_;
  Config config_;
};

TEST_F(UnexpectedTest, instances_on_it_and_on_its_vfs_are_not_removed) {
  const ProvisionPlan found = plan();
  EXPECT_THAT(found.remove, IsEmpty());
  ASSERT_THAT(found.kept, SizeIs(2));
  for (const std::string& line : found.kept)
    EXPECT_THAT(line, testing::AllOf(HasSubstr(": not removed: "), HasSubstr("expects slot:9")));
}

TEST_F(UnexpectedTest, without_an_expectation_they_are) {
  for (GpuSection& section : config_.gpus) section.expect.slot = {};
  EXPECT_THAT(plan().remove, SizeIs(2));
}

// ---- what a card can have together

/// Two cards of NVIDIA's, each with 16 VFs and room for two of type 12Q: 32 are planned, 4 are
/// true.
TEST(PlanTogether, no_more_is_planned_than_a_card_can_have) {
  FakeHost host;
  Config config;
  for (const char* const bus : {"0000:41:", "0000:42:"}) {
    const std::string card = std::string(bus) + "00.0";
    host.pci_gpu(card);
    GpuSelector selector;
    selector.by = GpuSelector::By::address;
    selector.address = *parse_pci_address(card);
    config.gpus.push_back(section(selector, {{"12Q", 16}}));
    for (int number = 0; number < 16; ++number)
      host.parent(bus + std::string("0") + std::to_string(1 + number / 8) + "." +
                  std::to_string(number % 8))
          .type("12Q", 1)
          .link("physfn", "../" + card)
          .attribute("mdev_supported_types/12Q/description", "framebuffer=12288M, max_instance=2");
  }
  const ProvisionPlan plan = plan_provision(config, scan(host.root(), config));
  EXPECT_EQ(plan.create.size(), 4U);
  EXPECT_THAT(plan.errors,
              testing::Contains("0000:41:00.0: 14 of 16 instances of 12Q cannot be created: "
                                "max_instance is 2; reduce instances in the [gpu] section"));
}

/// NVIDIA's A2: one of 16Q leaves no room for 12 others.
TEST(PlanTogether, types_that_share_a_card_are_planned_together) {
  FakeHost host;
  for (const auto& [type, most] : {std::pair("16Q", 1), {"4Q", 4}, {"2Q", 8}})
    host.parent("0000:41:00.0")
        .type(type, static_cast<unsigned>(most))
        .attribute("mdev_supported_types/" + std::string(type) + "/description",
                   "framebuffer=" + std::to_string(16384 / most) +
                       "M, max_instance=" + std::to_string(most));
  GpuSelector selector;
  selector.by = GpuSelector::By::address;
  selector.address = *parse_pci_address("0000:41:00.0");
  Config config;
  config.gpus = {section(selector, {{"16Q", 1}, {"4Q", 4}, {"2Q", 8}})};
  EXPECT_EQ(plan_provision(config, scan(host.root(), config)).create.size(), 1U);
}

TEST(PlanTogether, what_is_removed_makes_room_for_another_size) {
  FakeHost host;
  host.parent("0000:41:00.0").type("8Q", 2).type("4Q", 4);
  for (const auto& [type, size] :
       {std::pair("8Q", "8192M, max_instance=2"), {"4Q", "4096M, max_instance=4"}})
    host.parent("0000:41:00.0")
        .attribute("mdev_supported_types/" + std::string(type) + "/description",
                   "framebuffer=" + std::string(size));
  for (unsigned number = 0; number < 4; ++number)
    host.instance("0000:41:00.0", "4Q", provisioned_uuid("0000:41:00.0", "4Q", number));
  GpuSelector selector;
  selector.by = GpuSelector::By::address;
  selector.address = *parse_pci_address("0000:41:00.0");
  Config config;
  config.gpus = {section(selector, {{"8Q", 3}})};
  const ProvisionPlan plan = plan_provision(config, scan(host.root(), config));
  EXPECT_EQ(plan.remove.size(), 4U);
  EXPECT_EQ(plan.create.size(), 2U);
  EXPECT_THAT(plan.errors, SizeIs(1));
}

/// One of _8 exists; 1664 MB high are left, which available_instances says in whole types only.
TEST(PlanTogether, what_only_the_kernel_knows_is_created) {
  FakeHost host;
  const std::string gvt = "0000:00:02.0", small = "i915-GVTg_V5_8", large = "i915-GVTg_V5_4";
  host.parent(gvt)
      .type(small, 5)
      .type(large, 4)
      .attribute("mdev_supported_types/" + small + "/description",
                 "low_gm_size: 64MB\nhigh_gm_size: 384MB\nfence: 4\nweight: 2")
      .attribute("mdev_supported_types/" + large + "/description",
                 "low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nweight: 4");
  host.instance(gvt, small, provisioned_uuid(gvt, small, 0));
  GpuSelector selector;
  selector.by = GpuSelector::By::address;
  selector.address = *parse_pci_address(gvt);
  host.parent("mtty").type("mtty-1", 5).type("mtty-2", 2);
  Config config;
  config.gpus = {section(selector, {{small, 4}, {large, 1}}),
                 section(by_name("mtty"), {{"mtty-2", 1}, {"mtty-1", 3}})};
  const ProvisionPlan plan = plan_provision(config, scan(host.root(), config));
  EXPECT_THAT(plan.errors, IsEmpty());
  EXPECT_EQ(plan.create.size(), 4U + 4U);
}

/// mbochs keeps 24 MB: the driver reports six of 4 MB and one of 16 MB.
TEST(PlanTogether, of_a_pool_what_exceeds_its_rest_is_an_error) {
  FakeHost host;
  for (const auto& [type, size, most] : {std::tuple("small", 4, 6U), {"large", 16, 1U}})
    host.parent("mbochs")
        .type(type, most)
        .attribute("mdev_supported_types/" + std::string(type) + "/description",
                   "virtual display, " + std::to_string(size) + " MB video memory");
  Config config;
  config.gpus = {section(by_name("mbochs"), {{"small", 3}, {"large", 1}})};
  const ProvisionPlan plan = plan_provision(config, scan(host.root(), config));
  EXPECT_EQ(plan.create.size(), 3U);
  EXPECT_THAT(plan.errors, ElementsAre(HasSubstr("12 MiB of memory remain and one requires 16")));
}

TEST(PlanTogether, more_than_the_kernel_reports_is_an_error) {
  FakeHost host;
  host.parent("mtty").type("mtty-2", 2);
  Config config;
  config.gpus = {section(by_name("mtty"), {{"mtty-2", 3}})};
  const ProvisionPlan plan = plan_provision(config, scan(host.root(), config));
  EXPECT_EQ(plan.create.size(), 2U);
  EXPECT_THAT(plan.errors,
              ElementsAre("mtty: 1 of 3 instances of mtty-2 cannot be created: "
                          "available_instances is 2; reduce instances in the [gpu] section"));
}

/// The GPU instances of MIG are created by hand, and no VF says how many there are.
TEST_F(PlanCardTest, how_many_gpu_instances_of_mig_there_are_only_the_kernel_knows) {
  FakeHost host;
  host.pci_gpu("0000:41:00.0");
  for (int number = 1; number <= 7; ++number)
    host.parent("0000:41:00." + std::to_string(number))
        .type("nvidia-474", 1)
        .link("physfn", "../0000:41:00.0")
        .attribute("mdev_supported_types/nvidia-474/name", "GRID A100-1-5C")
        .attribute("mdev_supported_types/nvidia-474/description",
                   "framebuffer=5120M, max_instance=7");
  config_.gpus[0].instances = {{"nvidia-474", 3}};
  const ProvisionPlan plan = plan_provision(config_, scan(host.root(), config_));
  EXPECT_EQ(plan.create.size(), 3U);
  EXPECT_THAT(plan.errors, IsEmpty());
}

/// NVIDIA's A2 with 1Q on each of its 16 VFs.
TEST(PlanTogether, vfs_whose_instances_are_removed_get_others) {
  FakeHost host;
  host.pci_gpu("0000:41:00.0");
  for (int number = 0; number < 16; ++number) {
    const std::string vf =
        "0000:41:0" + std::to_string(1 + number / 8) + "." + std::to_string(number % 8);
    host.parent(vf)
        .type("1Q", 1)
        .type("4Q", 1)
        .link("physfn", "../0000:41:00.0")
        .attribute("mdev_supported_types/1Q/description", "framebuffer=1024M, max_instance=16")
        .attribute("mdev_supported_types/4Q/description", "framebuffer=4096M, max_instance=4");
    host.instance(vf, "1Q", provisioned_uuid(vf, "1Q", 0));
  }
  GpuSelector selector;
  selector.by = GpuSelector::By::address;
  selector.address = *parse_pci_address("0000:41:00.0");
  Config config;
  config.gpus = {section(selector, {{"4Q", 4}})};
  const ProvisionPlan plan = plan_provision(config, scan(host.root(), config));
  EXPECT_EQ(plan.remove.size(), 16U);
  EXPECT_EQ(plan.create.size(), 4U);
  EXPECT_THAT(plan.errors, IsEmpty());
}

TEST_F(PlanCardTest, a_card_without_the_type_is_no_mistake_where_the_section_is_of_all) {
  config_.gpus = {section(GpuSelector(), {{"nvidia-99", 2}})};
  EXPECT_THAT(plan().errors, IsEmpty());
}

}  // namespace
}  // namespace gpuward
