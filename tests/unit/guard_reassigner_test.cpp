// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/reassigner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attach/assign.hpp"
#include "attach/attach.hpp"
#include "domain/xml_document.hpp"
#include "domain_fixtures.hpp"
#include "protection/protect.hpp"

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace gpuward {
namespace {

const PciAddress one{0, 0x41, 0, 0}, one_1{0, 0x41, 0, 1};
const PciAddress two{0, 0x42, 0, 0}, two_1{0, 0x42, 0, 1};
const PciAddress three{0, 0x43, 0, 0}, three_2{0, 0x43, 0, 2};

std::string attached(const std::string& xml, const std::vector<PciAddress>& functions) {
  return attach_gpu(xml, {"card", true, Use::whole, functions});
}

std::string minimal() {
  return fixture("q35-minimal");
}

std::string pointed(const std::string& xml, const std::string& alias,
                    const std::vector<PciAddress>& functions) {
  return assign_device(xml, alias, true, functions);
}

std::string protected_with(const std::string& xml, QemuCapabilities qemu) {
  return protect(xml, {GuardPolicy{}, qemu}, [](const Hostdev&) { return true; });
}

TEST(Reassigner, SeesOtherHostdevsWhateverTheirNumber) {
  const std::string card = attached(minimal(), {one, one_1});
  EXPECT_FALSE(has_other_hostdevs(card, pointed(card, "ua-gpuward-0", {two, two_1})));
  EXPECT_TRUE(has_other_hostdevs(card, pointed(card, "ua-gpuward-0", {two})));
  EXPECT_TRUE(has_other_hostdevs(card, pointed(card, "ua-gpuward-0", {three, three_2})))
      << "as many, another function";
  const std::string both = attached(card, {two});
  const std::string swapped =
      pointed(pointed(both, "ua-gpuward-0", {two}), "ua-gpuward-1", {one, one_1});
  EXPECT_TRUE(has_other_hostdevs(both, swapped)) << "as many, of the other GPU";
}

TEST(Reassigner, CountsOnEnableMigrationOfAnUnknownQemuWhereItWasThere) {
  const std::string card = attached(minimal(), {one});
  const auto can = [](std::optional<unsigned> version, const std::string& before) {
    return abilities_as_before(version, parse_document(before)).can_disable_vfio_migration;
  };
  const std::string with_it = protected_with(card, {true, true});
  const std::string without = protected_with(card, {false, true});
  EXPECT_TRUE(can({}, with_it));
  EXPECT_FALSE(can({}, without));
  EXPECT_FALSE(can({}, card));
  EXPECT_FALSE(abilities_as_before({}, parse_document(with_it)).is_known);
  EXPECT_FALSE(can({}, replaced(with_it, "enable-migration", "x-vga")))
      << "an override of something else";
  // a version that is known decides alone
  EXPECT_TRUE(can(8'001'000, without));
  EXPECT_FALSE(can(7'002'000, with_it));
}

TEST(Reassigner, ProtectsACardWithMoreFunctionsAsBefore) {
  for (const bool can_disable : {true, false}) {
    const std::string before = protected_with(attached(minimal(), {one}), {can_disable, true});
    const std::string moved = pointed(before, "ua-gpuward-0", {two, two_1});
    const std::string after =
        protected_with(moved, abilities_as_before({}, parse_document(before)));
    if (can_disable)
      EXPECT_THAT(after, HasSubstr("device alias='ua-gpuward-0-1'"));
    else
      EXPECT_THAT(after, Not(HasSubstr("enable-migration")));
  }
}

/// GPU 0 at card `one` with a companion, GPU 1 at `two`, GPU 2 at `three`.
class MovesTest : public testing::Test {
 protected:
  MovesTest() {
    xml_ = attached(attached(attached(minimal(), {one, one_1}), {two}), {three});
    seen_.name = "web01";
  }
  void add(const std::string& alias, const PciAddress& from, const std::vector<PciAddress>& to) {
    PoolGpu gpu;
    gpu.alias = alias;
    gpu.at = from;
    seen_.gpus.push_back(gpu);
    Reassignment move;
    move.alias = alias;
    move.from = from;
    move.to = to;
    moves_.push_back(move);
  }
  /// Its companion is referred to, so it can go to no card that has none.
  void keep_gpu_0() {
    xml_ = replaced(xml_, "\n</domain>",
                    "\n  <qemu:commandline xmlns:qemu="
                    "'http://libvirt.org/schemas/domain/qemu/1.0'>\n    <qemu:arg value='-set'/>\n"
                    "    <qemu:arg value='device.ua-gpuward-0-1.x=1'/>\n  </qemu:commandline>\n"
                    "</domain>");
  }
  std::vector<std::string> moved_gpus() {
    std::vector<std::string> aliases;
    for (const Reassignment& move : with_moves(xml_, moves_, seen_).done)
      aliases.push_back(move.alias);
    return aliases;
  }
  std::string xml_;
  PoolDomain seen_;
  std::vector<Reassignment> moves_;
};

const PciAddress four{0, 0x44, 0, 0};

TEST_F(MovesTest, MakesTheOtherMovesWhereOneIsRefused) {
  keep_gpu_0();
  add("ua-gpuward-0", one, {{0, 0x45, 0, 0}});
  add("ua-gpuward-1", two, {four});
  EXPECT_THAT(moved_gpus(), ElementsAre("ua-gpuward-1"));
  EXPECT_EQ(with_moves(xml_, moves_, seen_).xml, pointed(xml_, "ua-gpuward-1", {four}));
  seen_.gpus[1].at = three;  // it was moved since
  EXPECT_EQ(with_moves(xml_, moves_, seen_).xml, xml_);
}

/// As where two profiles share the cards.
TEST_F(MovesTest, GivesNoDeviceThatAnotherGpuWasToLeaveAndDidNot) {
  keep_gpu_0();
  add("ua-gpuward-2", three, {two});  // which GPU 1 does not leave then
  add("ua-gpuward-1", two, {one});
  add("ua-gpuward-0", one, {four});
  EXPECT_THAT(moved_gpus(), IsEmpty());
  EXPECT_EQ(with_moves(xml_, moves_, seen_).xml, xml_);
}

TEST_F(MovesTest, GivesNoDeviceThatItsAuthorAddedSince) {
  add("ua-gpuward-1", two, {four});
  xml_ = replaced(xml_, "</devices>",
                  "<hostdev mode='subsystem' type='pci' managed='yes'><source><address "
                  "domain='0' bus='0x44' slot='0' function='0'/></source></hostdev></devices>");
  EXPECT_THAT(moved_gpus(), IsEmpty());
}

TEST_F(MovesTest, LetsTwoGpusChangePlaces) {
  add("ua-gpuward-1", two, {three});
  add("ua-gpuward-2", three, {two});
  EXPECT_THAT(moved_gpus(), ElementsAre("ua-gpuward-1", "ua-gpuward-2"));
}

TEST(Reassigner, MovesAGpuOfWhichACompanionAloneIsLeft) {
  std::string xml = attached(minimal(), {one, one_1});
  const auto begin = xml.find("<hostdev");
  xml.erase(begin, xml.find("</hostdev>", begin) + 10 - begin);
  ASSERT_THAT(xml, HasSubstr("<alias name='ua-gpuward-0-1'/>"));
  PoolGpu gpu;
  gpu.alias = "ua-gpuward-0";
  PoolDomain seen;
  seen.gpus = {gpu};
  Reassignment move;
  move.alias = gpu.alias;
  move.to = {two};
  const Moved moved = with_moves(xml, {move}, seen);
  EXPECT_EQ(moved.done.size(), 1u);
  EXPECT_THAT(moved.xml, HasSubstr("<alias name='ua-gpuward-0'/>"));
  EXPECT_THAT(moved.xml, Not(HasSubstr("ua-gpuward-0-1")));
}

TEST_F(MovesTest, AGpuThatStaysIsUnmanaged) {
  add("ua-gpuward-0", one, {one, one_1});
  moves_[0].managed = false;
  const Moved moved = with_moves(xml_, moves_, seen_);
  EXPECT_EQ(moved.done.size(), 1u);
  EXPECT_EQ(moved.xml, assign_device(xml_, "ua-gpuward-0", false, {one, one_1}));
  EXPECT_NE(moved.xml, xml_);
}

}  // namespace
}  // namespace gpuward
