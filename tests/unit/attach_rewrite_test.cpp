// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/assign.hpp"
#include "attach/attach.hpp"
#include "attach/clone.hpp"
#include "attach/detach.hpp"
#include "attach/settle.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"
#include "domain_fixtures.hpp"
#include "protection/protect.hpp"

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

namespace gpuward {
namespace {

std::string attached(std::string xml, int gpus = 1) {
  for (int i = 0; i < gpus; ++i) xml = attach_gpu(xml, {"small"});
  return xml;
}

/// A domain as people write them, with `top` behind its UUID and `devices` as they are.
std::string hand_written(const std::string& devices, const std::string& top = "") {
  return "<domain type='kvm'><name>web01</name><uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>" +
         top + devices + "</domain>";
}

std::vector<std::string> aliases(const std::string& xml) {
  std::vector<std::string> found;
  for (const GpuRequest& gpu : parse_domain(xml).requests) found.push_back(gpu.alias);
  return found;
}

/// The names of the devices, in order.
std::vector<std::string> device_names(const std::string& xml) {
  std::vector<std::string> names;
  const Document document = parse_document(xml);
  for (const Element& device : document.root.child("devices")->children)
    names.push_back(device.name);
  return names;
}

/// `xml` with another domain's UUID and name, as virt-clone leaves it.
std::string cloned(const std::string& xml) {
  const Document document = parse_document(xml);
  const Element& name = *document.root.child("name");
  const Element& uuid = *document.root.child("uuid");
  return apply_edits(xml, {{name.whole, "<name>clone</name>"},
                           {uuid.whole, "<uuid>aaaaaaaa-9c07-4f10-8f6e-0123456789ab</uuid>"}});
}

void expect_own_instances(const std::string& xml, size_t gpus) {
  const Domain domain = parse_domain(xml);
  size_t ours = 0;
  for (const Hostdev& hostdev : domain.hostdevs) {
    if (!hostdev.alias.starts_with(alias_prefix)) continue;
    ++ours;
    EXPECT_EQ(hostdev.instance, instance_uuid(domain.uuid, hostdev.alias));
  }
  EXPECT_EQ(ours, gpus);
  EXPECT_EQ(domain.requests.size(), gpus);
}

class EachDomain : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Rewrite, EachDomain, testing::ValuesIn(fixtures()), test_name);

TEST_P(EachDomain, AsksAndOwnsAfterAttach) {
  const std::string before = fixture(GetParam());
  const std::string after = attached(before, 2);
  expect_own_instances(after, 2);
  EXPECT_THAT(aliases(after), ElementsAre("ua-gpuward-0", "ua-gpuward-1"));
  EXPECT_EQ(parse_domain(after).requests[0].profile, "small");
  EXPECT_EQ(parse_domain(after).hostdevs.size(), parse_domain(before).hostdevs.size() + 2);
}

TEST_P(EachDomain, IsTheSameAgainAfterDetach) {
  const std::string before = fixture(GetParam());
  for (int gpus = 0; gpus <= 3; ++gpus) EXPECT_EQ(detach_gpus(attached(before, gpus)), before);
}

TEST_P(EachDomain, IsTheSameAgainInWhateverOrderGpusGo) {
  const std::string before = fixture(GetParam());
  std::array order{0, 1, 2};
  do {
    std::string xml = attached(before, 3);
    for (const int number : order) xml = detach_gpus(xml, "ua-gpuward-" + std::to_string(number));
    EXPECT_EQ(xml, before);
  } while (std::next_permutation(order.begin(), order.end()));
}

/// Of several kinds, with and without a profile.
std::string with_mixed_gpus(std::string xml) {
  const PciAddress card{0, 0x41, 0, 0}, vf{0, 0x42, 0, 1};
  xml = attach_gpu(xml, {"small"});
  xml = attach_gpu(xml, {"whole", true, Use::whole, {card}, SettledRequest{Use::whole}});
  xml = attach_gpu(xml, {"R&D 'x' <1>", true, Use::mdev, {}, SettledRequest{Use::mdev, "t-1"}});
  return attach_gpu(xml,
                    {"1145", true, Use::vendor_vf, {vf}, SettledRequest{Use::vendor_vf, "1145"}});
}

TEST_P(EachDomain, KeepsRequestsOfSeveralKinds) {
  const auto requests = parse_domain(with_mixed_gpus(fixture(GetParam()))).requests;
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[0].settled, std::nullopt);
  EXPECT_EQ(requests[1].settled, SettledRequest{Use::whole});
  EXPECT_EQ(requests[2].profile, "R&D 'x' <1>");
  EXPECT_EQ(requests[2].settled, (SettledRequest{Use::mdev, "t-1"}));
  EXPECT_EQ(requests[3].settled, (SettledRequest{Use::vendor_vf, "1145"}));
}

TEST_P(EachDomain, IsTheSameAgainAfterSeveralKinds) {
  const std::string before = fixture(GetParam());
  const std::string after = with_mixed_gpus(before);
  EXPECT_EQ(detach_gpus(after), before);
  std::string xml = after;
  for (const char* alias : {"ua-gpuward-2", "ua-gpuward-0", "ua-gpuward-3", "ua-gpuward-1"})
    xml = detach_gpus(xml, alias);
  EXPECT_EQ(xml, before);
}

TEST_P(EachDomain, IsTheSameAgainAfterARequestWasSettledOtherwise) {
  const std::string before = fixture(GetParam());
  const SettledRequest mdev{Use::mdev, "nvidia-745"}, vgpu{Use::vendor_vf, "745"};
  const std::string alias = "ua-gpuward-0";
  const std::string first = attach_gpu(before, {"NVIDIA A2-1Q", true, Use::mdev, {}, mdev});
  const std::string none = settle_request(first, alias, vgpu);
  EXPECT_EQ(parse_domain(none).requests[0].settled, vgpu);
  EXPECT_EQ(find_hostdev(parse_domain(none), alias), nullptr);
  const std::string second = assign_device(none, alias, false, {{0, 0x42, 0, 1}});
  ASSERT_NE(find_hostdev(parse_domain(second), alias), nullptr);
  EXPECT_EQ(find_hostdev(parse_domain(second), alias)->address, (PciAddress{0, 0x42, 0, 1}));
  EXPECT_EQ(detach_gpus(second), before);
  EXPECT_EQ(settle_request(second, alias, mdev), first);
  EXPECT_EQ(settle_request(first, alias, mdev), first);
}

TEST(Attach, KeepsWhatTheTypeHas) {
  SettledRequest mdev{Use::mdev, "nvidia-745"};
  mdev.granted = {4096, 25, true};
  const std::string xml =
      attach_gpu(fixture(fixtures().front()), {"4GiB/25%", true, Use::mdev, {}, mdev});
  EXPECT_EQ(parse_domain(xml).requests[0].settled->granted, mdev.granted);
  mdev.granted = {6144, {}, false};
  const std::string settled = settle_request(xml, "ua-gpuward-0", mdev);
  EXPECT_EQ(parse_domain(settled).requests[0].settled->granted, mdev.granted);
}

TEST_P(EachDomain, IsManagedAsItsKindIsAfterARequestWasSettledOtherwise) {
  const SettledRequest vgpu{Use::vendor_vf, "745"}, whole{};
  const std::string alias = "ua-gpuward-0";
  const PciAddress vf{0, 0x42, 0, 1}, card{0, 0x41, 0, 0};
  const std::string first =
      attach_gpu(fixture(GetParam()), {"8GiB", true, Use::vendor_vf, {vf}, vgpu, pci_model, false});
  const std::string second =
      assign_device(settle_request(first, alias, whole), alias, true, {card});
  ASSERT_NE(find_hostdev(parse_domain(second), alias), nullptr);
  EXPECT_TRUE(find_hostdev(parse_domain(second), alias)->managed);
  EXPECT_EQ(assign_device(settle_request(second, alias, vgpu), alias, false, {vf}), first);
  EXPECT_EQ(settle_request(second, alias, whole), second);
}

TEST_P(EachDomain, LosesNoLineToAttach) {
  std::string before = fixture(GetParam());
  const std::string after = attached(before);
  size_t at = 0;
  for (const std::string_view line : split(before, '\n')) {
    if (line == "<metadata/>") continue;
    at = after.find(line, at);
    ASSERT_NE(at, std::string::npos) << line;
    at += line.size();
  }
}

TEST_P(EachDomain, HasTheHostdevWhereLibvirtWritesIt) {
  const auto names = device_names(attached(fixture(GetParam())));
  const auto last = std::find(names.rbegin(), names.rend(), "hostdev");
  ASSERT_NE(last, names.rend());
  const std::vector<std::string> behind(last.base(), names.end());
  for (const std::string name : {"disk", "controller", "interface", "video", "sound", "input"})
    EXPECT_THAT(behind, Not(testing::Contains(name)));
  const std::vector<std::string> before(names.begin(),
                                        std::find(names.begin(), names.end(), "hostdev"));
  for (const std::string name :
       {"redirdev", "hub", "watchdog", "memballoon", "rng", "panic", "iommu"})
    EXPECT_THAT(before, Not(testing::Contains(name)));
}

TEST_P(EachDomain, NeedsNoMending) {
  const std::string xml = attached(fixture(GetParam()), 2);
  EXPECT_EQ(update_instance_uuids(xml), xml);
}

class EachAttached : public testing::TestWithParam<std::string> {
 protected:
  std::string xml() const { return fixture("attached/" + GetParam()); }
  std::string before() const { return fixture(GetParam().substr(0, GetParam().rfind('.'))); }
  int gpus() const { return GetParam().back() - '0'; }
};
INSTANTIATE_TEST_SUITE_P(Rewrite, EachAttached, testing::ValuesIn(fixtures("attached")), test_name);

TEST_P(EachAttached, IsAsItWasAfterLibvirtHadItsHands) {
  EXPECT_NE(xml(), before());
  EXPECT_EQ(detach_gpus(xml()), before());
}

TEST_P(EachAttached, IsAsItWasWhenGpusGoOneByOne) {
  for (const bool upwards : {true, false}) {
    std::string left = xml();
    for (int i = 0; i < gpus(); ++i)
      left = detach_gpus(left, "ua-gpuward-" + std::to_string(upwards ? i : gpus() - 1 - i));
    EXPECT_EQ(left, before());
  }
}

TEST_P(EachAttached, IsMendedAfterACloneAndOnlyThere) {
  expect_own_instances(xml(), static_cast<size_t>(gpus()));
  EXPECT_EQ(update_instance_uuids(xml()), xml());
  const std::string clone = cloned(xml());
  const std::string mended = update_instance_uuids(clone);
  expect_own_instances(mended, static_cast<size_t>(gpus()));
  EXPECT_EQ(mended.size(), clone.size()) << "UUIDs only";
  EXPECT_EQ(update_instance_uuids(mended), mended);
  EXPECT_EQ(detach_gpus(mended), cloned(before()));
}

TEST_P(EachAttached, TakesOneMoreAndGivesItBack) {
  EXPECT_EQ(detach_gpus(attached(xml()), "ua-gpuward-" + std::to_string(gpus())), xml());
}

TEST(Attach, WritesWhatLibvirtWouldWrite) {
  EXPECT_EQ(attached("<domain type='kvm'>\n"
                     "  <name>web01</name>\n"
                     "  <uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>\n"
                     "  <memory unit='KiB'>65536</memory>\n"
                     "  <devices>\n"
                     "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
                     "    <controller type='pci' index='0' model='pcie-root'/>\n"
                     "    <memballoon model='none'/>\n"
                     "  </devices>\n"
                     "</domain>\n"),
            "<domain type='kvm'>\n"
            "  <name>web01</name>\n"
            "  <uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>\n"
            "  <metadata>\n"
            "    <gpuward:domain xmlns:gpuward='urn:gpuward:domain:1' metadata='made' "
            "pci-controllers='1'>\n"
            "      <gpuward:gpu alias='ua-gpuward-0' profile='small'/>\n"
            "    </gpuward:domain>\n"
            "  </metadata>\n"
            "  <memory unit='KiB'>65536</memory>\n"
            "  <devices>\n"
            "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
            "    <controller type='pci' index='0' model='pcie-root'/>\n"
            "    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci'>\n"
            "      <source>\n"
            "        <address uuid='" +
                to_string(instance_uuid(*parse_uuid("6b1d3c52-9c07-4f10-8f6e-000000000001"),
                                        "ua-gpuward-0")) +
                "'/>\n"
                "      </source>\n"
                "      <alias name='ua-gpuward-0'/>\n"
                "    </hostdev>\n"
                "    <memballoon model='none'/>\n"
                "  </devices>\n"
                "</domain>\n");
}

TEST(Attach, GoesBehindTheLastHostdevOfAnyKind) {
  const std::string xml = attached(hand_written(
      "<devices><hostdev type='usb'/><rng/><hostdev type='pci'/><disk/><memballoon/></devices>"));
  EXPECT_THAT(device_names(xml),
              ElementsAre("hostdev", "rng", "hostdev", "hostdev", "disk", "memballoon"));
  EXPECT_LT(xml.find("type='pci'"), xml.find("type='mdev'"));
}

TEST(Attach, TakesTheLowestFreeNumber) {
  const std::string three = attached(fixture("pc-full"), 3);
  const std::string hole = detach_gpus(three, "ua-gpuward-1");
  EXPECT_THAT(aliases(hole), ElementsAre("ua-gpuward-0", "ua-gpuward-2"));
  EXPECT_THAT(aliases(attached(hole)), ElementsAre("ua-gpuward-0", "ua-gpuward-2", "ua-gpuward-1"));
  const std::string without_metadata =
      replaced(replaced(attached(hand_written("<devices/>")), "<gpuward:gpu alias='ua-gpuward-0'",
                        "<gpuward:other alias='ua-gpuward-0'"),
               "small", "large");
  EXPECT_THAT(aliases(attached(without_metadata)), ElementsAre("ua-gpuward-1"))
      << "a hostdev has number 0";
}

TEST(Attach, LeavesTheNumberOfAGpuThatLostItsHostdev) {
  const std::string one = attached(hand_written("<devices><disk/></devices>"));
  const auto start = one.find("\n    <hostdev");
  const auto end = one.find("</hostdev>") + std::string("</hostdev>").size();
  EXPECT_THAT(aliases(attached(one.substr(0, start) + one.substr(end))),
              ElementsAre("ua-gpuward-0", "ua-gpuward-1"));
}

TEST(Attach, PutsMetadataWhereLibvirtWritesIt) {
  const std::string xml = attached(hand_written(
      "<devices/>", "<genid/><title>t</title><description>d</description><memory>65536</memory>"));
  EXPECT_THAT(xml, HasSubstr("</description>\n  <metadata>"));
  EXPECT_THAT(xml, HasSubstr("</metadata><memory>"));
}

TEST(Attach, RefusesWhatIsNoDomainToBe) {
  const auto error = [](const std::string& xml, const std::string& profile = "small") {
    return error_of([&] { attach_gpu(xml, {profile}); });
  };
  EXPECT_EQ(error(hand_written("<devices/>")), "");
  EXPECT_EQ(error(hand_written("")), "domain 'web01': no <devices>: not a complete definition");
  EXPECT_THAT(error("<network/>"), HasSubstr("<network>"));
  for (const std::string profile : {"", "a b", "'/><x a='", "ü", "a\n"})
    EXPECT_THAT(error(hand_written("<devices/>"), profile), HasSubstr("not a profile name"));
}

TEST(Attach, IsUndoneByteByByteInHandWrittenXml) {
  const std::vector<std::string> all_devices = {
      "<devices/>",
      "<devices />",
      "<devices\n/>",
      "<devices></devices>",
      "<devices> \r\n\t </devices>",
      "<devices><!-- <hostdev> --></devices>",
      "<devices a='/>'><!-- <hostdev> --><rng/></devices>",
      "<devices><rng/></devices>",
      "<devices><disk></disk></devices >",
      "<devices>text<disk/> text </devices>",
      "<devices><![CDATA[</devices>]]></devices>",
      "<devices><controller type='pci' index='0'/><controller type='pci' index='7'/>"
      "<controller type='pci'/></devices>"};
  const std::vector<std::string> all_metadata = {
      "",
      "<metadata/>",
      "<metadata />",
      "<metadata></metadata>",
      "<metadata>\r\n </metadata>",
      "<metadata><!-- <x> --></metadata>",
      "<metadata><o:x xmlns:o='urn:o'/></metadata>",
      "<metadata> a <o:x xmlns:o='urn:o'/> b <!-- --></metadata>",
      "<!-- <metadata> -->",
      "<metadata xmlns='urn:z'/>",
      "<title/><metadata a='b'/>",
      "<metadata/><metadata/>"};
  for (const std::string& devices : all_devices) {
    for (const std::string& metadata : all_metadata) {
      const std::string before = hand_written(devices, metadata);
      EXPECT_EQ(detach_gpus(attached(before)), before);
      const std::string two = attached(before, 2);
      EXPECT_EQ(detach_gpus(two), before);
      EXPECT_EQ(detach_gpus(detach_gpus(two, "ua-gpuward-0"), "ua-gpuward-1"), before);
    }
  }
}

TEST(Attach, UnderstandsOurElementWithAnyPrefix) {
  const std::string devices = "<devices><disk/></devices>";
  for (const std::string metadata :
       {"<metadata><domain xmlns='urn:gpuward:domain:1'/></metadata>",
        "<metadata><g:domain xmlns:g='urn:gpuward:domain:1'></g:domain></metadata>",
        "<metadata xmlns:g='urn:gpuward:domain:1'><g:domain> </g:domain></metadata>"}) {
    const std::string xml = attached(hand_written(devices, metadata), 2);
    expect_own_instances(xml, 2);
    EXPECT_THAT(parse_domain(detach_gpus(xml)).requests, testing::IsEmpty());
    EXPECT_THAT(parse_domain(detach_gpus(xml)).hostdevs, testing::IsEmpty());
  }
}

TEST(Detach, RefusesAnAliasThatIsNotThere) {
  const auto error = [](const std::string& xml, const std::string& alias) {
    return error_of([&] { detach_gpus(xml, alias); });
  };
  EXPECT_EQ(error(fixture("pc-full"), "ua-gpuward-0"),
            "domain 'pc-full': no GPU with alias ua-gpuward-0");
  EXPECT_EQ(error(attached(fixture("pc-full")), "ua-gpuward-1"),
            "domain 'pc-full': no GPU with alias ua-gpuward-1; aliases of its GPUs: ua-gpuward-0");
  EXPECT_NE(error(fixture("hostdevs-mdev-foreign"), "ua-mine"), "") << "not ours";
  EXPECT_NE(error(fixture("hostdevs-mdev-foreign"), "x\n"), "");
  EXPECT_EQ(detach_gpus(fixture("hostdevs-mdev-foreign")), fixture("hostdevs-mdev-foreign"));
}

TEST(Detach, LeavesOthersMetadataThatCameLater) {
  const std::string later = replaced(attached(fixture("pc-full")), "\n    </gpuward:domain>",
                                     "\n    </gpuward:domain><o:x xmlns:o='urn:o'/>");
  EXPECT_THAT(detach_gpus(later), HasSubstr("<metadata><o:x xmlns:o='urn:o'/>\n  </metadata>"));
  const std::string note = replaced(attached(fixture("metadata-empty")), "</gpuward:domain>",
                                    "</gpuward:domain><!--n-->");
  EXPECT_THAT(detach_gpus(note), HasSubstr("<metadata><!--n-->\n  </metadata>"));
}

TEST(Detach, TakesAwayWhatHasLostItsOtherHalf) {
  const std::string before = fixture("pc-full");
  const std::string both = attached(before);
  const auto start = both.find("\n    <hostdev"), end = both.find("</hostdev>") + 10;
  const std::string no_hostdev = both.substr(0, start) + both.substr(end);
  EXPECT_EQ(detach_gpus(no_hostdev), before);
  EXPECT_EQ(detach_gpus(no_hostdev, "ua-gpuward-0"), before);
  const std::string no_metadata = before.substr(0, before.find("</video>") + 8) +
                                  both.substr(start, end - start) +
                                  before.substr(before.find("</video>") + 8);
  EXPECT_EQ(detach_gpus(no_metadata), before);
  EXPECT_EQ(detach_gpus(no_metadata, "ua-gpuward-0"), before);
}

TEST(Detach, LeavesControllersThatAreOfUse) {
  const std::string xml = fixture("attached/q35-minimal.1");
  EXPECT_THAT(xml, HasSubstr("index='2'")) << "libvirt added 1 for the GPU and 2 to spare";
  const auto with_disk_on = [&](const std::string& bus) {
    return detach_gpus(replaced(xml, "<memballoon model='none'/>",
                                "<disk><address type='pci' bus='" + bus +
                                    "' slot='0x00'/></disk><memballoon model='none'/>"));
  };
  EXPECT_THAT(with_disk_on("0x01"), HasSubstr("index='1'"));
  EXPECT_THAT(with_disk_on("0x01"), Not(HasSubstr("index='2'")));
  EXPECT_THAT(with_disk_on("2"), HasSubstr("index='1'")) << "libvirt would fill the gap";
  EXPECT_THAT(with_disk_on("2"), HasSubstr("index='2'"));
  EXPECT_THAT(with_disk_on("unreadable"), HasSubstr("index='2'"));
  EXPECT_THAT(with_disk_on("0x00"), Not(HasSubstr("index='1'")));
  EXPECT_THAT(detach_gpus(xml), HasSubstr("index='0' model='pcie-root'"));
}

TEST(Detach, NeverTakesTheRootController) {
  const std::string xml = fixture("attached/q35-minimal.1");
  for (const std::string count : {"0", "1"})
    EXPECT_EQ(
        detach_gpus(replaced(xml, "pci-controllers=\"1\"", "pci-controllers=\"" + count + "\"")),
        fixture("q35-minimal"));
  for (const std::string count : {"", "-1", "x", "99999999999"}) {
    const std::string kept =
        detach_gpus(replaced(xml, "pci-controllers=\"1\"", "pci-controllers=\"" + count + "\""));
    EXPECT_THAT(kept, HasSubstr("index='2'")) << count;
    EXPECT_FALSE(names_gpuward(kept));
  }
}

TEST(Detach, NeverTakesTheRootControllerThoughItLooksUnused) {
  const std::string before =
      hand_written("<devices><controller type='pci' index='0'/><disk/></devices>");
  EXPECT_EQ(detach_gpus(replaced(attached(before), "pci-controllers='1'", "pci-controllers='0'")),
            before);
}

TEST(Mend, KeepsAUuidThatIsWrittenOtherwise) {
  const std::string xml = attached(fixture("pc-full"));
  const std::string uuid = to_string(*parse_domain(xml).hostdevs.at(0).instance);
  std::string upper = uuid;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const std::string other = replaced(xml, "uuid='" + uuid + "'", "uuid=\"" + upper + "\"");
  EXPECT_EQ(update_instance_uuids(other), other);
}

TEST(Mend, PutsLostHostdevsBack) {
  for (const int gpus : {1, 3}) {
    const std::string whole = attached(fixture("pc-full"), gpus);
    const auto start = whole.find("\n    <hostdev");
    const auto end = whole.rfind("</hostdev>") + std::string("</hostdev>").size();
    EXPECT_EQ(update_instance_uuids(whole.substr(0, start) + whole.substr(end)), whole);
  }
}

TEST(Mend, SaysWhatToDoWithAHostdevNobodyAskedFor) {
  const std::string xml =
      replaced(attached(fixture("pc-full"), 2),
               "      <gpuward:gpu alias='ua-gpuward-1' profile='small'/>\n", "");
  EXPECT_THAT(error_of([&] { update_instance_uuids(xml); }),
              testing::AllOf(HasSubstr("domain 'pc-full': hostdev ua-gpuward-1: not in"),
                             HasSubstr("detach pc-full ua-gpuward-1")));
}

TEST(Mend, LeavesOthersHostdevsAlone) {
  const std::string clone = cloned(fixture("hostdevs-mdev-foreign"));
  EXPECT_EQ(update_instance_uuids(clone), clone);
}

// ---- the owner

TEST(SetOwner, is_kept_by_what_changes_the_xml_and_goes_with_the_last_gpu) {
  const std::string before = fixture("q35-minimal");
  const std::string owned = set_owner(attached(before, 2), "team-a");
  EXPECT_EQ(parse_domain(owned).owner, "team-a");
  EXPECT_EQ(set_owner(owned, "team-a"), owned);
  EXPECT_EQ(parse_domain(set_owner(owned, "bob@example.org")).owner, "bob@example.org");
  EXPECT_EQ(parse_domain(attached(owned)).owner, "team-a");
  EXPECT_EQ(parse_domain(update_instance_uuids(cloned(owned))).owner, "team-a");
  EXPECT_EQ(parse_domain(detach_gpus(owned, "ua-gpuward-0")).owner, "team-a");
  EXPECT_EQ(detach_gpus(owned), before);
}

TEST(SetOwner, also_where_metadata_of_ours_stays) {
  const std::string protected_xml = protect(fixture("memory-hotplug"), {{}, {}, true, true},
                                            [](const Hostdev&) { return false; });
  ASSERT_THAT(protected_xml, HasSubstr(std::string(domain_namespace)));
  EXPECT_EQ(detach_gpus(set_owner(attached(protected_xml), "a")), protected_xml);
}

TEST(SetOwner, is_one_word) {
  const std::string xml = attached(fixture("q35-minimal"));
  const std::vector<std::string> bad_owners{"", "-", "a b", "a/b", "<", "'", std::string(129, 'x'),
                                            "@"};
  for (const std::string& bad : bad_owners)
    EXPECT_THAT(error_of([&] { set_owner(xml, bad); }), HasSubstr("not an owner")) << bad;
}

TEST(SetOwner, needs_a_gpu) {
  EXPECT_EQ(error_of([] { set_owner(hand_written("<devices/>"), "a"); }),
            "domain 'web01': requests no GPU; run: gpuward attach web01 REQUEST --owner a");
}

// ---- the model of an mdev

TEST(Attach, WritesTheModelOfTheTypesDeviceApi) {
  GpuToAttach gpu{"crypto"};
  EXPECT_THAT(attach_gpu(hand_written("<devices/>"), gpu),
              HasSubstr("type='mdev' managed='no' model='vfio-pci'>"));
  for (const std::string model : {"vfio-ap", "vfio-ccw"}) {
    gpu.model = model;
    const std::string before = hand_written("<devices/>"), after = attach_gpu(before, gpu);
    EXPECT_THAT(after, HasSubstr("<hostdev mode='subsystem' type='mdev' managed='no' model='" +
                                 model + "'>"));
    expect_own_instances(after, 1);
    EXPECT_EQ(parse_domain(after).hostdevs[0].model, model);
    EXPECT_EQ(detach_gpus(after), before);
  }
}

}  // namespace
}  // namespace gpuward
