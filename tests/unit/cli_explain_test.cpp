// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/explain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "base/error.hpp"
#include "base/file.hpp"
#include "cli/commands.hpp"
#include "cli/json_schema.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// All layers at work.
HostLayers good_host() {
  HostLayers host;
  host.daemon = LibvirtDaemon{"libvirtd", 4711, 1};
  host.link = {HookLink::State::good, hook_program};
  host.seen = {Tristate::yes, "libvirtd has called it"};
  host.guard_service = Tristate::yes;
  host.polkit = {Tristate::yes, "/etc/libvirt/libvirtd.conf", false, Tristate::yes, true};
  return host;
}

/// Runs, protected by `gpuward protect`.
GuardedDomain web01() {
  GuardedDomain domain;
  domain.name = "web01";
  domain.active = true;
  domain.known_to_polkit = true;
  domain.gpus = {"ua-gpuward-0, mdev"};
  domain.emulator = "/usr/bin/qemu-system-x86_64";
  domain.qemu = 10000002;
  return domain;
}

Gap gap(Guard guard, const std::string& element) {
  return {guard, 7, element, "it lets it through"};
}

class ExplainTest : public testing::Test {
 protected:
  ExplainedGuard of(Guard guard) {
    for (ExplainedGuard& explained : explain(host_, domain_, policy_))
      if (explained.guard == guard) return explained;
    throw std::logic_error("a guard is missing");
  }
  LayerState layer(Guard guard, const std::string& name) {
    for (const LayerState& layer : of(guard).layers)
      if (layer.layer == name) return layer;
    throw std::logic_error("a layer is missing");
  }
  std::string state(Guard guard, const std::string& name) {
    return std::string(to_string(layer(guard, name).state));
  }
  std::vector<std::string> states(Guard guard) {
    std::vector<std::string> words;
    for (const LayerState& layer : of(guard).layers)
      words.push_back(layer.layer + " " + std::string(to_string(layer.state)));
    return words;
  }

  HostLayers host_ = good_host();
  GuardedDomain domain_ = web01();
  GuardPolicy policy_;
};

TEST_F(ExplainTest, all_guards_come_in_the_order_of_the_manual) {
  std::vector<Guard> guards;
  for (const ExplainedGuard& explained : explain(host_, domain_, policy_))
    guards.push_back(explained.guard);
  EXPECT_THAT(guards, ElementsAre(Guard::migration, Guard::pause, Guard::memory_hotplug,
                                  Guard::gpu_hotplug));
}

TEST_F(ExplainTest, with_all_layers_at_work_each_holds_what_it_can) {
  EXPECT_THAT(states(Guard::migration),
              ElementsAre("xml enforced", "hook enforced", "polkit enforced", "guard enforced"));
  EXPECT_THAT(states(Guard::pause),
              ElementsAre("xml enforced", "hook enforced", "polkit enforced", "guard enforced"));
  EXPECT_THAT(
      states(Guard::memory_hotplug),
      ElementsAre("xml enforced", "hook enforced", "polkit not-applicable", "guard enforced"));
  EXPECT_THAT(states(Guard::gpu_hotplug), ElementsAre("xml enforced", "hook enforced",
                                                      "polkit not-applicable", "guard enforced"));
  EXPECT_THAT(of(Guard::memory_hotplug).left, IsEmpty());
  EXPECT_THAT(layer(Guard::migration, "hook").text,
              HasSubstr("and its incoming migration or restore on this host"));
  EXPECT_THAT(layer(Guard::pause, "hook").text, Not(HasSubstr("incoming")));
  EXPECT_THAT(of(Guard::migration).left, ElementsAre(HasSubstr("virsh migrate --offline")));
}

TEST_F(ExplainTest, roots_pause_is_always_told) {
  EXPECT_THAT(of(Guard::pause).left,
              Contains(AllOf(HasSubstr("root can pause the domain"),
                             HasSubstr("which libvirt cannot block"),
                             HasSubstr("gpuward-guard resumes the domain"))));
  host_.guard_service = Tristate::no;
  EXPECT_THAT(of(Guard::pause).left, Contains(AllOf(HasSubstr("root can pause the domain"),
                                                    HasSubstr("stays paused until"))));
}

TEST_F(ExplainTest, without_polkit_root_is_not_the_only_one) {
  host_.polkit.driver = Tristate::no;
  EXPECT_EQ(state(Guard::pause, "polkit"), "inactive");
  EXPECT_THAT(layer(Guard::pause, "polkit").text, HasSubstr("/etc/libvirt/libvirtd.conf"));
  EXPECT_THAT(of(Guard::pause).left,
              Contains(HasSubstr("users whom libvirt allows to manage domains")));
}

TEST_F(ExplainTest, polkit_is_not_at_work_for_each_of_many_reasons) {
  host_.polkit.driver = Tristate::unknown;
  EXPECT_EQ(state(Guard::migration, "polkit"), "unknown");
  host_ = good_host();
  host_.polkit.changed = true;
  EXPECT_EQ(state(Guard::migration, "polkit"), "unknown");
  host_ = good_host();
  host_.polkit.rule = Tristate::no;
  EXPECT_EQ(state(Guard::migration, "polkit"), "inactive");
  host_.polkit.rule = Tristate::unknown;
  EXPECT_EQ(state(Guard::migration, "polkit"), "unknown");
  host_ = good_host();
  host_.polkit.helper = false;
  EXPECT_EQ(state(Guard::migration, "polkit"), "inactive");
  host_ = good_host();
  domain_.known_to_polkit = false;
  EXPECT_EQ(state(Guard::migration, "polkit"), "inactive");
  domain_.active = false;  // it will be known when it starts
  EXPECT_EQ(state(Guard::migration, "polkit"), "enforced");
}

TEST_F(ExplainTest, a_gap_of_a_running_domain_names_the_element_and_the_command) {
  domain_.gaps = {gap(Guard::migration, "hostdev ua-gpuward-0"),
                  gap(Guard::memory_hotplug, "maxMemory")};
  EXPECT_EQ(state(Guard::migration, "xml"), "incomplete");
  EXPECT_EQ(layer(Guard::migration, "xml").text,
            "hostdev ua-gpuward-0 (line 7): it lets it through");
  EXPECT_THAT(
      of(Guard::migration).left,
      Contains(AllOf(HasSubstr("root can migrate"), HasSubstr("gpuward-guard aborts such a job"),
                     HasSubstr("a small domain may be saved or migrated before"),
                     HasSubstr("gpuward protect web01"))));
  EXPECT_THAT(
      of(Guard::memory_hotplug).left,
      ElementsAre("users who may change the domain can add memory, which gpuward-guard reverts; "
                  "shut the domain down and run: gpuward protect web01"));
  EXPECT_EQ(state(Guard::pause, "xml"), "enforced");
  host_.guard_service = Tristate::no;
  EXPECT_THAT(of(Guard::migration).left, Not(Contains(HasSubstr("aborts"))));
}

TEST_F(ExplainTest, a_gap_of_a_domain_that_is_off_keeps_it_from_starting) {
  domain_.active = false;
  domain_.gaps = {gap(Guard::memory_hotplug, "maxMemory")};
  EXPECT_THAT(of(Guard::memory_hotplug).left,
              Contains(HasSubstr("the hook refuses to start the domain")));
  host_.link.state = HookLink::State::absent;
  EXPECT_THAT(of(Guard::memory_hotplug).left, Contains(HasSubstr("can add memory")));
}

TEST_F(ExplainTest, the_hook_says_why_it_does_not_hold) {
  using State = HookLink::State;
  for (const State trouble :
       {State::absent, State::turned_off, State::dangling, State::foreign, State::not_executable}) {
    host_.link.state = trouble;
    EXPECT_EQ(state(Guard::pause, "hook"), "inactive");
    EXPECT_THAT(layer(Guard::pause, "hook").text,
                AllOf(HasSubstr("gpuward"), HasSubstr("; run: " + hook_fix(host_))));
  }
  host_.daemon = LibvirtDaemon{"virtqemud", 4711, 1};
  host_.link.state = State::good;
  host_.seen = {Tristate::unknown, "its link is newer than the running libvirtd"};
  EXPECT_EQ(state(Guard::pause, "hook"), "unknown");
  EXPECT_THAT(layer(Guard::pause, "hook").text, HasSubstr("run: systemctl reload virtqemud"));
}

TEST_F(ExplainTest, an_old_qemu_needs_no_property_and_an_unknown_one_does) {
  domain_.qemu = 7002000;
  EXPECT_EQ(state(Guard::migration, "xml"), "enforced");
  EXPECT_THAT(layer(Guard::migration, "xml").text,
              AllOf(HasSubstr("before 8.1"), HasSubstr("unless x-enable-migration is on")));
  domain_.gaps = {gap(Guard::migration, "qemu:arg")};
  EXPECT_EQ(state(Guard::migration, "xml"), "incomplete");
  domain_.gaps.clear();
  domain_.qemu.reset();
  EXPECT_EQ(state(Guard::migration, "xml"), "enforced")
      << "the property is there, or there were a gap";
  EXPECT_THAT(layer(Guard::migration, "xml").text, Not(HasSubstr("before 8.1")));
}

TEST_F(ExplainTest, configured_pauses_are_told_as_the_admins_choice) {
  domain_.configured_pauses = {{Guard::pause, 12, "disk vda", "a write error pauses it"}};
  EXPECT_THAT(of(Guard::pause).left, Contains(AllOf(HasSubstr("disk vda (line 12): a write error"),
                                                    HasSubstr("harden = yes"))));
  policy_.harden = true;
  EXPECT_THAT(of(Guard::pause).left, Not(Contains(HasSubstr("harden = yes"))));
}

TEST_F(ExplainTest, what_is_allowed_is_held_by_nothing) {
  policy_.pause = Policy::allow;
  EXPECT_THAT(of(Guard::pause).layers, IsEmpty());
  EXPECT_THAT(of(Guard::pause).left, ElementsAre(HasSubstr("allowed by")));
}

TEST_F(ExplainTest, with_warn_the_layers_only_log) {
  policy_.pause = Policy::warn;
  EXPECT_THAT(layer(Guard::pause, "hook").text, HasSubstr("logs"));
  EXPECT_THAT(layer(Guard::pause, "polkit").text, HasSubstr("logs"));
  EXPECT_THAT(layer(Guard::pause, "guard").text, HasSubstr("logs"));
  EXPECT_THAT(of(Guard::pause).left, Contains(HasSubstr("stays paused until")));
}

TEST_F(ExplainTest, an_open_port_lets_a_gpu_go_for_good) {
  domain_.gaps = {{Guard::gpu_hotplug, 12, "hostdev ua-x", "PCI port 2 has hot-plug"}};
  EXPECT_EQ(state(Guard::gpu_hotplug, "xml"), "incomplete");
  EXPECT_THAT(of(Guard::gpu_hotplug).left,
              Contains(AllOf(HasSubstr("can be removed while the domain runs"),
                             HasSubstr("cannot be restored"), HasSubstr("gpuward protect"))));
  EXPECT_THAT(layer(Guard::gpu_hotplug, "hook").text, HasSubstr("logs a start"))
      << "refused from the next release on";
}

TEST_F(ExplainTest, without_strict_a_gpu_can_be_added) {
  EXPECT_THAT(of(Guard::gpu_hotplug).left,
              Contains(AllOf(HasSubstr("can add a GPU"), HasSubstr("gpu-hotplug = strict"))));
  host_.guard_service = Tristate::no;
  EXPECT_THAT(of(Guard::gpu_hotplug).left, Contains(HasSubstr("which nothing reverts")));
  policy_.gpu_hotplug_strict = true;
  EXPECT_THAT(of(Guard::gpu_hotplug).left, IsEmpty());
  EXPECT_THAT(layer(Guard::gpu_hotplug, "xml").text, HasSubstr("to add any device"));
}

TEST_F(ExplainTest, on_pc_it_is_all_or_nothing) {
  domain_.pci_root = PciRoot::i440fx;
  EXPECT_THAT(of(Guard::gpu_hotplug).left,
              ElementsAre(AllOf(HasSubstr("NICs and disks"), HasSubstr("gpu-hotplug = warn"))));
}

TEST_F(ExplainTest, an_aborted_save_is_told_as_a_race) {
  EXPECT_THAT(layer(Guard::migration, "guard").text, HasSubstr("may be saved before"));
}

// --- the command, with libvirt's own mock driver

class ExplainCommandTest : public testing::Test {
 protected:
  ExplainCommandTest() {
    settings_.root = host_.root();
    const std::string node = settings_.root.at("/node.xml");
    write_file_atomically(node, "<node><domain type='test'><name>web01</name><uuid>" +
                                    to_string(uuid_) +
                                    "</uuid><memory>65536</memory><metadata><g:domain "
                                    "xmlns:g='urn:gpuward:domain:1'><g:gpu/></g:domain></metadata>"
                                    "<os><type>hvm</type></os></domain></node>");
    settings_.connect = "test://" + node;
  }
  /// What is printed before the error.
  std::string printed() {
    testing::internal::CaptureStdout();
    EXPECT_THROW(explain_command(settings_, "web01"), Error);
    std::fflush(stdout);
    return testing::internal::GetCapturedStdout();
  }

  FakeHost host_;
  Settings settings_;
  const Uuid uuid_ = *parse_uuid("4dea22b3-1d52-d8f3-2516-782e98ab3fa0");
};

TEST_F(ExplainCommandTest, a_readconfig_is_named_without_a_gpu_too) {
  GuardedDomain domain;
  add_xml(host_.root(), {},
          "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>web01</name><uuid>" +
              to_string(uuid_) +
              "</uuid><q:commandline>\n<q:arg value='-readconfig'/><q:arg value='/x'/>"
              "</q:commandline></domain>",
          domain);
  EXPECT_EQ(domain.readconfig, "-readconfig (line 2): file is not searched");
  EXPECT_THAT(domain.gpus, IsEmpty());
}

TEST_F(ExplainCommandTest, of_xml_that_cannot_be_parsed_the_record_of_the_start_is_shown) {
  EXPECT_EQ(printed(), "");
  make_directories(settings_.root.run("started-anyway"));
  record_started_anyway(settings_.root, {uuid_, "web01", "ticket 4711", 1, "", {"broken XML"}});
  EXPECT_THAT(printed(), AllOf(HasSubstr("web01 is running.\nStarted anyway ("),
                               HasSubstr(", ticket 4711), although:\n  broken XML\n")));
  settings_.json = newest_schema;
  const auto object = nlohmann::json::parse(printed());
  EXPECT_EQ(object["started_anyway"]["reason"], "ticket 4711");
  EXPECT_TRUE(object["gpus"].is_null()) << "unknown, not none";
}

}  // namespace
}  // namespace gpuward
