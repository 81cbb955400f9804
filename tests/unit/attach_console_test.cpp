// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/console.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attach/attach.hpp"
#include "attach/detach.hpp"
#include "domain_fixtures.hpp"
#include "started_log.hpp"

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

namespace gpuward {
namespace {

std::string domain(const std::string& devices) {
  return "<domain type='kvm'><name>web01</name><uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>"
         "<devices>" +
         devices + "</devices></domain>";
}

/// What is left of these devices.
std::string without_console(const std::string& devices) {
  const std::string before = domain(devices);
  const std::string after = take_console_out(before);
  EXPECT_EQ(put_console_back(after), before);
  EXPECT_EQ(take_console_out(after), after);
  const auto begin = after.find("<devices>") + 9;
  return after.substr(begin, after.find("</devices>") - begin);
}

TEST(Console, IsGraphicsAndVideo) {
  EXPECT_EQ(without_console("<disk/><graphics type='vnc'/><video/><rng/>"), "<disk/><rng/>");
  EXPECT_EQ(without_console("<graphics type='sdl'/><video/>"), "");
  EXPECT_EQ(without_console("<disk/><video/>\n<!-- x -->\n<graphics/> text <rng/>"),
            "<disk/> text <rng/>");
  EXPECT_EQ(without_console("<graphics/><disk/><video/><disk/><disk/><graphics/>"),
            "<disk/><disk/><disk/>");
}

TEST(Console, IsWhatWorksThroughSpiceOrDBusAlone) {
  EXPECT_EQ(without_console("<channel type='unix'/><channel type='spicevmc'/>"
                            "<channel type='dbus'/><channel type='spiceport'/>"
                            "<channel type='qemu-vdagent'/>"
                            "<redirdev bus='usb' type='spicevmc'/><redirdev bus='usb' type='tcp'/>"
                            "<smartcard mode='passthrough' type='spicevmc'/>"
                            "<serial type='pty'/><serial type='spiceport'/><graphics/>"),
            "<channel type='unix'/><channel type='qemu-vdagent'/>"
            "<redirdev bus='usb' type='tcp'/><serial type='pty'/>");
}

TEST(Console, LeavesSoundThatNobodyHears) {
  EXPECT_EQ(without_console("<graphics/><sound/><audio id='1' type='spice'/>"
                            "<audio id='2' type=\"dbus\"><x/></audio><audio id='3' type='alsa'/>"),
            "<sound/><audio id='1' type='none'/><audio id='2' type=\"none\"><x/></audio>"
            "<audio id='3' type='alsa'/>");
}

TEST(Console, OfADomainWithoutOneIsNothing) {
  for (const std::string devices : {"<disk/>", "", "<channel type='unix'/>"})
    EXPECT_EQ(take_console_out(domain(devices)), domain(devices));
}

TEST(Console, WithAPasswordIsNotKeptWhereEveryoneReads) {
  EXPECT_THAT(
      error_of([] { take_console_out(domain("\n<graphics type='vnc' passwd='secret'/>")); }),
      AllOf(HasSubstr("line 2"), HasSubstr("password"), Not(HasSubstr("secret"))));
}

TEST(Console, ComesBackWhereItWasAlthoughDevicesCameAndWent) {
  const std::string out = take_console_out(domain(
      "<controller/><controller/><input/><graphics/><video/><redirdev type='spicevmc'/><rng/>"));
  EXPECT_THAT(put_console_back(replaced(out, "<input/>", "<controller/><input/>")),
              HasSubstr("<input/><graphics/><video/><redirdev type='spicevmc'/><rng/>"));
  EXPECT_THAT(put_console_back(replaced(out, "<input/>", "")), HasSubstr("<rng/><graphics/>"));
  EXPECT_THAT(put_console_back(replaced(out, "<devices>", "<devices><input/>")),
              HasSubstr("<input/><controller/><controller/><input/><graphics/>"));
}

std::string at(const std::string& device, const std::string& slot) {
  return "<" + device + "><address type='pci' domain='0x0000' bus='0x00' slot='" + slot +
         "' function='0x0'/></" + device + ">";
}

TEST(Console, TakesAnotherSlotWhenItsOwnHasGone) {
  const std::string out = take_console_out(domain("<disk/>" + at("video", "0x01") + "<rng/>"));
  EXPECT_THAT(put_console_back(replaced(out, "<rng/>", at("rng", "0x02"))),
              HasSubstr(at("video", "0x01")));
  const std::string taken = replaced(out, "<rng/>", at("rng", "0x01"));
  EXPECT_THAT(put_console_back(taken), HasSubstr("<disk/><video></video>"));
  EXPECT_THAT(put_console_back(taken, {PciAddress{0, 0, 1, 0}}), HasSubstr(at("video", "0x01")));
}

TEST(Console, TakesAnotherPlaceWhenItsOwnPortHasGone) {
  const std::string serial = "<address type='virtio-serial' controller='0' bus='0' port='1'/>",
                    usb = "<address type='usb' bus='0' port='2'/>";
  const std::string channel = "<channel type='spicevmc'>" + serial + "</channel>",
                    redirdev = "<redirdev type='spicevmc'>" + usb + "</redirdev>";
  const std::string before = domain("<disk/>" + channel + redirdev + "<graphics/><rng/>");
  const std::string out = take_console_out(before);
  EXPECT_EQ(put_console_back(out), before);
  const std::string taken = replaced(
      out, "<rng/>", "<channel type='unix'>" + serial + "</channel><hub>" + usb + "</hub>");
  EXPECT_THAT(
      put_console_back(taken),
      HasSubstr("<channel type='spicevmc'></channel><redirdev type='spicevmc'></redirdev>"));
  for (const char* other :
       {"<address type='virtio-serial' controller='1' bus='0' port='1'/>",
        "<address type='virtio-serial' controller='0' bus='0' port='2'/>",
        "<address type='usb' bus='0' port='2.1'/>", "<address type='ccid' port='1'/>"})
    EXPECT_THAT(put_console_back(replaced(out, "<rng/>", "<hub>" + std::string(other) + "</hub>")),
                AllOf(HasSubstr(channel), HasSubstr(redirdev)))
        << other;
}

/// QEMU takes one port of a name, libvirt one smartcard.
TEST(Console, LeavesOutAChannelOfANameAndASmartcardThatAreThereAgain) {
  const std::string named =
      "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>";
  const std::string agent = "<channel type='unix'><target type='virtio' name='agent.0'/></channel>";
  const std::string card = "<smartcard mode='passthrough' type='spicevmc'/>";
  for (const std::string& channel : {named, std::string("<channel type='spicevmc'/>")}) {
    const std::string out = take_console_out(domain("<disk/>" + channel + card + "<graphics/>"));
    const std::string back = put_console_back(replaced(out, "<disk/>", "<disk/>" + named + card));
    EXPECT_EQ(back.find("com.redhat.spice.0"), back.rfind("com.redhat.spice.0")) << back;
    EXPECT_EQ(back.find("<smartcard"), back.rfind("<smartcard")) << back;
    EXPECT_EQ(back.find("<channel"), back.rfind("<channel")) << back;
    EXPECT_THAT(put_console_back(replaced(out, "<disk/>", "<disk/>" + agent)), HasSubstr(channel));
  }
}

TEST(Console, LeavesAPlaceToLibvirtThatWasLibvirts) {
  const std::string channel =
      "<channel type='spicevmc'><address type='virtio-serial' controller='0'/></channel>";
  const std::string out = take_console_out(domain("<disk/>" + channel));
  EXPECT_THAT(put_console_back(replaced(out, "<disk/>",
                                        "<channel type='unix'><address type='virtio-serial' "
                                        "controller='0'/></channel>")),
              HasSubstr(channel));
}

std::string warning_of(const std::string& xml, std::string& result) {
  const StartedLog log(log::To::terminal);
  testing::internal::CaptureStderr();
  result = put_console_back(xml);
  return testing::internal::GetCapturedStderr();
}

TEST(Console, LeavesOutWhatSomeoneHasReplacedSince) {
  const std::string out =
      take_console_out(domain("<disk/>\n<graphics type='vnc'/>\n<graphics type='sdl'/>\n"
                              "<video><model type='vga'/></video><rng/>"));
  std::string result;
  EXPECT_THAT(
      warning_of(replaced(out, "<rng/>", "<graphics type='vnc' port='5901'/><rng/>"), result),
      AllOf(HasSubstr("domain 'web01': the saved <graphics type='vnc'> is not restored"),
            HasSubstr("the domain has another <graphics>"), Not(HasSubstr("sdl")),
            Not(HasSubstr("video"))));
  EXPECT_THAT(result, AllOf(HasSubstr("<graphics type='sdl'/>\n<video><model type='vga'/></video>"),
                            Not(HasSubstr("<graphics type='vnc'/>"))));
  EXPECT_THAT(warning_of(replaced(out, "<rng/>", "<video><model type='qxl'/></video>"), result),
              HasSubstr("the saved <video> is not restored"));
  EXPECT_THAT(result, AllOf(HasSubstr("<graphics type='vnc'/>"), Not(HasSubstr("vga"))));
  EXPECT_EQ(warning_of(out, result), "");
}

TEST(Console, OfADisplayOfAnMdevIsNotTakenOut) {
  const std::string mdev =
      "\n<hostdev mode='subsystem' type='mdev' model='vfio-pci' display='on'/>";
  EXPECT_THAT(error_of([&] { take_console_out(domain("<graphics/>" + mdev)); }),
              AllOf(HasSubstr("line 2"), HasSubstr("display='on'")));
  EXPECT_THAT(error_of([&] {
                attach_gpu(domain("<graphics/>" + mdev), {"small", false});
              }),
              HasSubstr("line 2"))
      << "of the XML without the new GPU";
  const std::string off = replaced(mdev, "'on'", "'off'");
  EXPECT_THAT(take_console_out(domain("<graphics/>" + off)), Not(HasSubstr("<graphics/>")));
}

TEST(Console, TakesItsSlotBackFromWhatCameWithTheGpu) {
  const std::string controllers = "<controller type='pci' index='0'/>";
  const std::string before = domain(controllers + at("video", "0x01"));
  const std::string port =
      replaced(at("controller", "0x01"), "<controller>", "<controller type='pci' index='1'>");
  const std::string two =
      replaced(attach_gpu(attach_gpu(before, {"small", false}), {"small", true}), controllers,
               controllers + port);
  EXPECT_EQ(detach_gpus(two), before);
  const std::string one = detach_gpus(two, "ua-gpuward-0");
  EXPECT_THAT(one, AllOf(HasSubstr("<video></video>"), HasSubstr(port)));
}

TEST(Console, TakesNothingFromMetadataThatItDidNotPutThere) {
  const std::string out = take_console_out(domain("<disk/><video/>"));
  for (const char* evil : {"&lt;hostdev/&gt;", "&lt;video/&gt;&lt;disk/&gt;", "&lt;video&gt;",
                           "&lt;/kept&gt;&lt;kept&gt;", "&lt;channel type='unix'/&gt;"})
    EXPECT_THAT(error_of([&] { put_console_back(replaced(out, "&lt;video/&gt;", evil)); }),
                HasSubstr("saved element in gpuward metadata was modified"))
        << evil;
}

TEST(Console, LeavesSoundThatSomeoneHasChangedSince) {
  const std::string out = take_console_out(domain("<graphics/><audio id='1' type='spice'/>"));
  EXPECT_THAT(put_console_back(replaced(out, "type='none'", "type='alsa'")),
              HasSubstr("<audio id='1' type='alsa'/>"));
  EXPECT_THAT(put_console_back(replaced(out, "type='spice'/>", "type='evil'/>")),
              HasSubstr("<audio id='1' type='none'/>"));
}

TEST(Console, StaysOutUntilTheLastGpuThatWantsIt) {
  const std::string before = domain("<disk/><graphics/><video/>");
  const std::string one = attach_gpu(before, {"small", true});
  EXPECT_THAT(one, HasSubstr("<video/>"));
  const std::string two = attach_gpu(one, {"small", false});
  const std::string three = attach_gpu(two, {"small", false});
  for (const std::string& xml : {two, three}) EXPECT_THAT(xml, Not(HasSubstr("<video/>")));
  EXPECT_THAT(detach_gpus(three, "ua-gpuward-0"), Not(HasSubstr("<video/>")));
  EXPECT_THAT(detach_gpus(three, "ua-gpuward-1"), Not(HasSubstr("<video/>")));
  EXPECT_EQ(detach_gpus(detach_gpus(three, "ua-gpuward-1"), "ua-gpuward-2"), one);
  EXPECT_EQ(detach_gpus(three), before);
}

class EachConsole : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Console, EachConsole, testing::ValuesIn(fixtures()), test_name);

TEST_P(EachConsole, ComesBackAsItWas) {
  const std::string before = fixture(GetParam());
  if (before.find("passwd=") != std::string::npos) return;
  if (before.find("device.video0") != std::string::npos) {
    EXPECT_THAT(error_of([&] { take_console_out(before); }),
                HasSubstr("-set device.video0.driver"));
    return;
  }
  EXPECT_EQ(put_console_back(take_console_out(before)), before);
}

}  // namespace
}  // namespace gpuward
