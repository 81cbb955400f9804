// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/domain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "domain/xml_document.hpp"
#include "domain_fixtures.hpp"

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace gpuward {
namespace {

constexpr const char* uuid_text = "6b1d3c52-9c07-4f10-8f6e-000000000001";

/// A domain with these devices and this in <metadata>.
std::string domain_with(const std::string& devices, const std::string& metadata = "") {
  return "<domain type='kvm'>\n<name>web01</name>\n<uuid>" + std::string(uuid_text) +
         "</uuid>\n<metadata>" + metadata + "</metadata>\n<devices>\n" + devices +
         "</devices>\n</domain>\n";
}

std::string asking(const std::string& gpus) {
  return "<g:domain xmlns:g='urn:gpuward:domain:1'>" + gpus + "</g:domain>";
}

std::string pci(const std::string& address, const std::string& alias = "") {
  return "<hostdev mode='subsystem' type='pci' managed='yes'><source><address " + address +
         "/></source>" + (alias.empty() ? "" : "<alias name='" + alias + "'/>") + "</hostdev>";
}

std::string mdev(const std::string& uuid, const std::string& alias = "") {
  return "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='" + uuid +
         "'/></source>" + (alias.empty() ? "" : "<alias name='" + alias + "'/>") + "</hostdev>";
}

std::string error_in(const std::string& xml) {
  return error_of([&] { parse_domain(xml); });
}

class EachFixture : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Domain, EachFixture, testing::ValuesIn(fixtures()), test_name);

TEST_P(EachFixture, IsReadAsWhatItIs) {
  const std::string xml = fixture(GetParam());
  const Domain domain = parse_domain(xml);
  EXPECT_THAT(xml, HasSubstr("<uuid>" + to_string(domain.uuid) + "</uuid>"));
  EXPECT_THAT(domain.name, testing::AnyOf(GetParam(), testing::StartsWith("-it's")));
  EXPECT_THAT(domain.requests, IsEmpty());
  EXPECT_FALSE(names_gpuward(xml));
  EXPECT_TRUE(domain.hostdevs.empty() || may_have_gpu(xml));
}

TEST(ParseDomain, ListsMdevAndPciHostdevs) {
  const Domain domain = parse_domain(fixture("hostdevs-pci"));
  ASSERT_EQ(domain.hostdevs.size(), 2u) << "an <interface type='hostdev'> is a NIC";
  EXPECT_EQ(domain.hostdevs[0].type, Hostdev::Type::pci);
  EXPECT_EQ(domain.hostdevs[0].address, parse_pci_address("0000:41:00.0"));
  EXPECT_EQ(domain.hostdevs[1].address, parse_pci_address("0000:41:00.1"));
  EXPECT_EQ(domain.hostdevs[0].alias, "");

  const Domain mediated = parse_domain(fixture("hostdevs-mdev-foreign"));
  ASSERT_EQ(mediated.hostdevs.size(), 2u);
  EXPECT_EQ(mediated.hostdevs[0].type, Hostdev::Type::mdev);
  EXPECT_EQ(mediated.hostdevs[0].model, "vfio-pci");
  EXPECT_EQ(mediated.hostdevs[0].instance, parse_uuid("c2177883-f1bb-47f0-914d-32a22e3a8001"));
  EXPECT_EQ(mediated.hostdevs[1].alias, "ua-mine");
  EXPECT_GT(mediated.hostdevs[1].line, mediated.hostdevs[0].line);

  EXPECT_THAT(parse_domain(fixture("hostdevs-usb-scsi")).hostdevs, IsEmpty());
}

TEST(ParseDomain, ListsWhatIsAskedFor) {
  const Domain domain = parse_domain(fixture("attached/metadata-two-foreign.2"));
  ASSERT_EQ(domain.requests.size(), 2u);
  EXPECT_EQ(domain.requests[0].alias, "ua-gpuward-0");
  EXPECT_EQ(domain.requests[0].profile, "small");
  EXPECT_EQ(domain.requests[1].alias, "ua-gpuward-1");
  ASSERT_EQ(domain.hostdevs.size(), 2u);
  EXPECT_EQ(domain.hostdevs[1].instance, instance_uuid(domain.uuid, "ua-gpuward-1"));
}

TEST(ParseDomain, TellsOurNamespaceByItsUri) {
  const std::string gpu = "alias='ua-gpuward-0' profile='small'/>";
  const auto asked = [](const std::string& metadata) {
    return parse_domain(domain_with("", metadata)).requests.size();
  };
  EXPECT_EQ(asked(asking("<g:gpu " + gpu)), 1u);
  EXPECT_EQ(asked("<domain xmlns='urn:gpuward:domain:1'><gpu " + gpu + "</domain>"), 1u);
  EXPECT_EQ(asked("<g:domain xmlns:g='urn:other'><g:gpu " + gpu + "</g:domain>"), 0u);
  EXPECT_EQ(asked("<domain><gpu " + gpu + "</domain>"), 0u);
  EXPECT_EQ(asked(asking("<gpu " + gpu)), 0u);
  EXPECT_EQ(asked("<x>" + asking("<g:gpu " + gpu) + "</x>"), 0u) << "not where it belongs";
  EXPECT_EQ(asked("<!-- " + asking("<g:gpu " + gpu) + " -->"), 0u);
  EXPECT_EQ(asked("<![CDATA[" + asking("<g:gpu " + gpu) + "]]>"), 0u);
}

TEST(ParseDomain, IsNotMisledByHostdevsThatAreNone) {
  const std::string one = pci("bus='0x41'");
  EXPECT_EQ(parse_domain(domain_with(one)).hostdevs.size(), 1u);
  EXPECT_THAT(parse_domain(domain_with("<!-- " + one + " -->")).hostdevs, IsEmpty());
  EXPECT_THAT(parse_domain(domain_with("<![CDATA[" + one + "]]>")).hostdevs, IsEmpty());
  EXPECT_THAT(parse_domain(domain_with("<x>" + one + "</x>")).hostdevs, IsEmpty());
  EXPECT_THAT(parse_domain(domain_with("", one)).hostdevs, IsEmpty());
  EXPECT_THAT(parse_domain(domain_with("<x:hostdev xmlns:x='u' type='pci'/>")).hostdevs, IsEmpty());
  EXPECT_THAT(parse_domain(domain_with("<hostdev mode='capabilities' type='pci'/>")).hostdevs,
              IsEmpty());
  EXPECT_EQ(parse_domain(domain_with("<hostdev type='pci'/>")).hostdevs.size(), 1u)
      << "libvirt's default mode is subsystem";
}

TEST(ParseDomain, TakesAddressesAsLibvirtDoes) {
  const auto address = [](const std::string& attributes) {
    const auto found = parse_domain(domain_with(pci(attributes))).hostdevs.at(0).address;
    return found ? to_string(*found) : "none";
  };
  EXPECT_EQ(address("domain='0x0000' bus='0x41' slot='0x1f' function='0x7'"), "0000:41:1f.7");
  EXPECT_EQ(address("domain='0' bus='65' slot='31' function='7'"), "0000:41:1f.7");
  EXPECT_EQ(address("domain='0X10000' bus='0101' slot='0'"), "10000:41:00.0");
  EXPECT_EQ(address("bus='0x41'"), "0000:41:00.0");
  for (const char* const bad :
       {"bus='0x100'", "bus='256'", "slot='0x20'", "function='8'", "bus='-1'", "bus=''", "bus='4x'",
        "bus='0x'", "bus=' 4'", "bus='08'", "domain='0x100000000'", "bus='+4'", "bus='0x-4'"})
    EXPECT_EQ(address(bad), "none") << bad;
}

TEST(ParseDomain, LeavesWhatIsWrongWithOthersHostdevsToLibvirt) {
  EXPECT_EQ(parse_domain(domain_with(mdev("none"))).hostdevs.at(0).instance, std::nullopt);
  EXPECT_EQ(parse_domain(domain_with("<hostdev type='mdev'/>")).hostdevs.size(), 1u);
  EXPECT_EQ(error_in(domain_with(pci("bus='x'", "ua-gpuwardian") + pci("bus='x'"))), "");
}

TEST(ParseDomain, SaysWhatIsWrongWithOurHostdevs) {
  EXPECT_EQ(error_in(domain_with(mdev("none", "ua-gpuward-0"))),
            "domain XML line 6: hostdev ua-gpuward-0: <source> has no valid uuid");
  EXPECT_EQ(error_in(domain_with(pci("bus='x'", "ua-gpuward-0"))),
            "domain XML line 6: hostdev ua-gpuward-0: <source> has no valid PCI address");
  EXPECT_EQ(error_in(domain_with(mdev(uuid_text, "ua-gpuward-0"))), "");
  EXPECT_EQ(error_in(domain_with(mdev(uuid_text, "ua-gpuward-9999"))), "");
  for (const std::string alias :
       {"ua-gpuward-", "ua-gpuward-x", "ua-gpuward-10000", "ua-gpuward-0x", "ua-gpuward--1",
        "ua-gpuward-1&#10;", "ua-gpuward-../x", "ua-gpuward-&#x661;"})
    EXPECT_THAT(error_in(domain_with(mdev(uuid_text, alias))), HasSubstr("is not ua-gpuward-0"))
        << alias;
  EXPECT_THAT(error_in(domain_with(mdev(uuid_text, "ua-gpuward-1") + "\n" +
                                   mdev(uuid_text, "ua-gpuward-1"))),
              HasSubstr("line 7: a second hostdev with alias ua-gpuward-1"));
}

TEST(ParseDomain, SaysWhatIsWrongInOurMetadata) {
  const auto error = [](const std::string& gpus) {
    return error_in(domain_with("", asking(gpus)));
  };
  EXPECT_EQ(error("<g:gpu alias='ua-gpuward-0' profile='a_B.c+d-9'/>"), "");
  EXPECT_EQ(error("<g:gpu alias='ua-gpuward-0' profile='a b'/>"),
            "domain XML line 4: gpu ua-gpuward-0: 'a b' is not a profile name");
  EXPECT_THAT(error("<g:gpu alias='ua-gpuward-0'/>"), HasSubstr("is not a profile name"));
  EXPECT_THAT(error("<g:gpu alias='ua-gpuward-0' profile='-'/>"), HasSubstr("profile name"));
  EXPECT_THAT(error("<g:gpu alias='ua-gpuward-0' profile='ü'/>"), HasSubstr("profile name"));
  EXPECT_THAT(error("<g:gpu alias='ua-gpuward-0' profile='../x'/>"), HasSubstr("profile name"));
  EXPECT_THAT(error("<g:gpu alias='ua-gpuward-0' profile='&#10;'/>"), HasSubstr("'?' is no"));
  EXPECT_THAT(error("<g:gpu profile='small'/>"), HasSubstr("alias '' is not"));
  EXPECT_THAT(error("<g:gpu alias='hostdev0' profile='small'/>"), HasSubstr("'hostdev0' is not"));
  EXPECT_THAT(error("<g:gpu alias='ua-gpuward-0' profile='a'/><g:gpu alias='ua-gpuward-0' "
                    "profile='b'/>"),
              HasSubstr("a second gpu with alias ua-gpuward-0"));
  EXPECT_EQ(error("<g:later/><g:gpu alias='ua-gpuward-0' profile='a' later='1'><x/></g:gpu>"), "")
      << "what a later gpuward adds is no error";
}

TEST(ParseDomain, ReadsWhatServesARequestThatNamesNoProfile) {
  const Domain domain = parse_domain(domain_with(
      "", asking("<g:gpu alias='ua-gpuward-0' profile='whole' use='whole'/>"
                 "<g:gpu alias='ua-gpuward-1' profile='R&amp;D [\xc3\xbc]' use='whole' "
                 "device='10de:13f2'/>"
                 "<g:gpu alias='ua-gpuward-2' profile='NVIDIA A2-1Q' use='mdev' type='nvidia-745'/>"
                 "<g:gpu alias='ua-gpuward-3' profile='1145' use='vendor-vf' type='1145'/>"
                 "<g:gpu alias='ua-gpuward-4' profile='small'/>")));
  ASSERT_EQ(domain.requests.size(), 5u);
  EXPECT_EQ(domain.requests[0].settled, SettledRequest{Use::whole});
  EXPECT_EQ(domain.requests[1].profile, "R&D [\xc3\xbc]");
  EXPECT_EQ(domain.requests[1].settled, (SettledRequest{Use::whole, {}, "10de:13f2"}));
  EXPECT_EQ(domain.requests[2].settled, (SettledRequest{Use::mdev, "nvidia-745"}));
  EXPECT_EQ(domain.requests[3].settled, (SettledRequest{Use::vendor_vf, "1145"}));
  EXPECT_EQ(domain.requests[4].settled, std::nullopt);
}

TEST(ParseDomain, ReadsWhatServesAProfileOfMemory) {
  const Domain domain = parse_domain(domain_with(
      "", asking("<g:gpu alias='ua-gpuward-0' profile='quarter' use='mdev' type='nvidia-560' "
                 "of='profile'/>"
                 "<g:gpu alias='ua-gpuward-1' profile='4GiB' use='mdev' type='nvidia-560'/>")));
  EXPECT_EQ(domain.requests[0].settled, (SettledRequest{Use::mdev, "nvidia-560", {}, true}));
  EXPECT_TRUE(names_profile(domain.requests[0]));
  EXPECT_FALSE(names_profile(domain.requests[1]));
  const auto error = [](const std::string& attributes) {
    return error_in(domain_with("", asking("<g:gpu alias='ua-gpuward-0' " + attributes + "/>")));
  };
  EXPECT_THAT(error("profile='x' use='whole' of='x'"), HasSubstr("of='x' is not profile"));
  EXPECT_THAT(error("profile='a b' use='whole' of='profile'"), HasSubstr("not a profile name"));
}

TEST(ParseDomain, ReadsWhatThatHas) {
  const Domain domain = parse_domain(domain_with(
      "", asking("<g:gpu alias='ua-gpuward-0' profile='4GiB' use='mdev' type='t' memory='4096' "
                 "compute='25' graphics='no'/>"
                 "<g:gpu alias='ua-gpuward-1' profile='4GiB' use='mdev' type='t'/>")));
  EXPECT_EQ(domain.requests[0].settled->granted, (Granted{4096, 25, false}));
  EXPECT_EQ(domain.requests[1].settled->granted, Granted{}) << "of an earlier version";
  EXPECT_EQ(domain.requests[0].settled, domain.requests[1].settled) << "the same serves both";
  const auto error = [](const std::string& attribute) {
    return error_in(domain_with("", asking("<g:gpu alias='ua-gpuward-0' profile='4GiB' "
                                           "use='mdev' type='t' " +
                                           attribute + "/>")));
  };
  for (const char* const bad : {"", "0", "-1", "4GiB", "99999999999"})
    EXPECT_THAT(error("memory='" + std::string(bad) + "'"), HasSubstr("is not a number from 1"));
  EXPECT_THAT(error("compute='101'"), HasSubstr("compute='101' is not a number from 1 to 100"));
  EXPECT_THAT(error("graphics='1'"), HasSubstr("graphics='1' is not yes or no"));
}

TEST(ParseDomain, RefusesWhatServesNoRequest) {
  const auto error = [](const std::string& attributes) {
    return error_in(domain_with("", asking("<g:gpu alias='ua-gpuward-0' " + attributes + "/>")));
  };
  EXPECT_EQ(error("profile='x' use='off'"),
            "domain XML line 4: gpu ua-gpuward-0: use='off' is not whole, mdev, vf, vendor-vf or "
            "mig");
  EXPECT_THAT(error("profile='x' use='vf'"), HasSubstr("vendor:device pair of use='vf'"));
  EXPECT_THAT(error("profile='x' use=''"), HasSubstr("use='' is not"));
  EXPECT_THAT(error("profile='x' use='mdev'"), HasSubstr("type='' is not a type of use='mdev'"));
  for (const char* type : {"..", ".", "-", "a/b", "a b"})
    EXPECT_THAT(error(std::string("profile='x' use='mdev' type='") + type + "'"),
                HasSubstr("is not a type"))
        << type;
  EXPECT_THAT(error("profile='x' use='whole' type='t'"), HasSubstr("type='t' is not a type"));
  EXPECT_THAT(error("profile='x' use='whole' device='10de'"), HasSubstr("vendor:device"));
  EXPECT_THAT(error("profile='x' use='mdev' type='t' device='10de:13f2'"),
              HasSubstr("vendor:device"));
  EXPECT_THAT(error("profile='' use='whole'"), HasSubstr("is not a profile name"));
  EXPECT_THAT(error("profile='a&#10;b' use='whole'"), HasSubstr("is not a profile name"));
}

TEST(ParseDomain, WantsANameAndAUuid) {
  const std::string uuid = "<uuid>" + std::string(uuid_text) + "</uuid>";
  EXPECT_EQ(error_in("<domain><name>a</name>" + uuid + "</domain>"), "");
  EXPECT_THAT(error_in("<domain>" + uuid + "</domain>"), HasSubstr("no name"));
  EXPECT_THAT(error_in("<domain><name/>" + uuid + "</domain>"), HasSubstr("no name"));
  EXPECT_THAT(error_in("<domain><name>a</name></domain>"), HasSubstr("no <uuid>"));
  EXPECT_THAT(error_in("<domain><name>a</name><uuid>12</uuid></domain>"), HasSubstr("not a UUID"));
  EXPECT_EQ(
      error_in("<domain><name>a</name><uuid>\n " + std::string(uuid_text) + " </uuid></domain>"),
      "");
  EXPECT_THAT(error_in("<network/>"), HasSubstr("<network> is not a <domain>"));
  EXPECT_THAT(error_in("<domain xmlns='urn:x'/>"), HasSubstr("is not a <domain>"));
  for (const std::string name : {"a&#10;b", "a\n"})
    EXPECT_THAT(error_in("<domain><name>" + name + "</name>" + uuid + "</domain>"),
                HasSubstr("a line break in the domain's name"));
  for (const std::string name : {"a\tb", "a\x7f", "a\xc2\x85"})  // libvirt takes them
    EXPECT_EQ(parse_domain("<domain><name>" + name + "</name>" + uuid + "</domain>").name, name);
  const std::string long_name(255, 'x');
  EXPECT_EQ(parse_domain("<domain><name>" + long_name + "</name>" + uuid + "</domain>").name,
            long_name);
  EXPECT_EQ(parse_domain("<domain><name>first</name><name>b</name>" + uuid + "</domain>").name,
            "first");
}

TEST(ParseDomain, TakesAnyOtherName) {
  EXPECT_EQ(parse_domain(fixture("strange-name")).name, "-it's \"a\" Gr&ß VM 😀");
}

TEST(ParseDomain, TakesAUuidAsLibvirtDoes) {
  const auto uuid_in = [](const std::string& text) {
    return to_string(parse_domain("<domain><name>a</name><uuid>" + text + "</uuid></domain>").uuid);
  };
  const std::string whole = "cbf95b3d-41f9-5fad-9bce-6e83e150a063";
  EXPECT_EQ(uuid_in(whole), whole);
  EXPECT_EQ(uuid_in("cbf95b3d41f95fad9bce6e83e150a063"), whole);
  EXPECT_EQ(uuid_in(" cb-f95b3d41f95fad9bce6e83e150a0-63\n"), whole);
  for (const std::string bad :
       {"cbf95b3d41f95fad9bce6e83e150a0", "c-bf95b3d41f95fad9bce6e83e150a063",
        "gbf95b3d41f95fad9bce6e83e150a063", ""})
    EXPECT_THAT(error_in("<domain><name>a</name><uuid>" + bad + "</uuid></domain>"),
                HasSubstr("is not a UUID"));
}

TEST(ParseDomain, TakesADescriptionOfEqualSigns) {
  const std::string signs(5001, '=');
  EXPECT_EQ(error_in("<domain><name>a</name><uuid>cbf95b3d-41f9-5fad-9bce-6e83e150a063</uuid>"
                     "<description a='" +
                     signs + "'>" + signs + "</description><!--<a " + signs + "--><![CDATA[<a " +
                     signs + "]]></domain>"),
            "");
}

TEST(ParseDomain, SaysInWhichLineATagIsCut) {
  EXPECT_EQ(error_in("<domain>\n<name>a</name>\n<hostd"),
            "domain XML line 3: text ends inside a tag");
}

TEST(RunningDomain, IsReadThoughItsMetadataIsWrong) {
  const std::string xml =
      domain_with(mdev(uuid_text, "ua-gpuward-x"), asking("<g:gpu alias='web' profile='a'/>"));
  EXPECT_NE(error_in(xml), "");
  const Domain domain = read_running_domain(parse_document(xml));
  EXPECT_EQ(domain.hostdevs.size(), 1u);
  EXPECT_THAT(domain.requests, IsEmpty());
}

TEST(ParseDomain, KnowsTheNodesOfTheMemory) {
  const auto nodes = [](const std::string& numatune) {
    return parse_domain(replaced(domain_with(""), "<devices>",
                                 "<numatune>" + numatune + "</numatune><devices>"))
        .numa_nodes;
  };
  EXPECT_THAT(parse_domain(fixture("memory-hotplug")).numa_nodes, ElementsAre(0));
  EXPECT_THAT(parse_domain(fixture("pc-minimal")).numa_nodes, IsEmpty());
  EXPECT_THAT(nodes("<memory mode='strict' nodeset='0-2,5'/>"), ElementsAre(0, 1, 2, 5));
  EXPECT_THAT(nodes("<memnode cellid='0' nodeset='1'/><memnode cellid='1' nodeset='0-1'/>"),
              ElementsAre(0, 1));
  EXPECT_THAT(nodes("<memory mode='strict' placement='auto'/>"), IsEmpty());
  EXPECT_THAT(nodes("<memory nodeset='0-2000000000'/>"), IsEmpty());
  EXPECT_THAT(nodes("<memory nodeset='x,-1,3-,4'/>"), ElementsAre(4));
}

TEST(ParseDomain, KnowsTheCpusThatItIsPinnedTo) {
  const auto cpus = [](const std::string& vcpu, const std::string& cputune = "") {
    return parse_domain(replaced(domain_with(""), "<devices>", vcpu + cputune + "<devices>")).cpus;
  };
  EXPECT_THAT(cpus("<vcpu>4</vcpu>"), IsEmpty());
  EXPECT_THAT(cpus("<vcpu placement='static' cpuset='0-3,^2,8'>4</vcpu>"), ElementsAre(0, 1, 3, 8));
  const std::string pins =
      "<cputune><shares>9</shares><vcpupin vcpu='0' cpuset='4'/>"
      "<vcpupin vcpu='1' cpuset='^4,6'/></cputune>";
  EXPECT_THAT(cpus("<vcpu>2</vcpu>", pins), ElementsAre(4, 6));
  EXPECT_THAT(cpus("<vcpu cpuset='0'>2</vcpu>", pins), ElementsAre(4, 6)) << "each has a pin";
  EXPECT_THAT(cpus("<vcpu cpuset='0'>3</vcpu>", pins), ElementsAre(0, 4, 6));
  EXPECT_THAT(cpus("<vcpu cpuset='0-2000000000'>3</vcpu>"), IsEmpty());
}

TEST(MayHaveGpu, IsNoOnlyWhenSure) {
  EXPECT_FALSE(may_have_gpu(fixture("pc-full")));
  EXPECT_FALSE(may_have_gpu(""));
  EXPECT_TRUE(may_have_gpu(domain_with(mdev(uuid_text))));
  EXPECT_TRUE(may_have_gpu(domain_with("", asking(""))));
  EXPECT_TRUE(may_have_gpu("garbage <hostdev cut sho"));
  EXPECT_TRUE(may_have_gpu("<domain><qemu:commandline><qemu:arg"));
  EXPECT_TRUE(may_have_gpu("<domain><qemu:capabilities/><qemu:override>"));
  EXPECT_FALSE(may_have_gpu("<domain><qemu:capabilities/><qemu:deprecation/></domain>"));
}

TEST(NamesGpuward, SeesOurMarksInAnyText) {
  EXPECT_TRUE(names_gpuward(domain_with("", asking(""))));
  EXPECT_TRUE(names_gpuward("<alias name='ua-gpuward-0"));
  EXPECT_FALSE(names_gpuward(fixture("hostdevs-mdev-foreign")));
}

TEST(InstanceUuid, IsThisDomainsAndThisAliasAlone) {
  const Uuid one = *parse_uuid(uuid_text);
  const Uuid other = *parse_uuid("6b1d3c52-9c07-4f10-8f6e-000000000002");
  // Reckoned with Python: uuid.uuid5(uuid.UUID(uuid_text), "ua-gpuward-0")
  EXPECT_EQ(to_string(instance_uuid(one, "ua-gpuward-0")), "551ccdf9-a495-56ba-b350-9c5d162445c1");
  EXPECT_NE(instance_uuid(one, "ua-gpuward-0"), instance_uuid(one, "ua-gpuward-1"));
  EXPECT_NE(instance_uuid(one, "ua-gpuward-0"), instance_uuid(other, "ua-gpuward-0"));
}

// ---- the owner

TEST(ParseDomain, ReadsTheOwner) {
  EXPECT_EQ(parse_domain(domain_with("")).owner, "");
  const std::string owned = "<g:domain xmlns:g='urn:gpuward:domain:1' owner='";
  EXPECT_EQ(parse_domain(domain_with("", owned + "team-a'/>")).owner, "team-a");
  EXPECT_EQ(parse_domain(domain_with("", owned + "'/>")).owner, "");
  EXPECT_EQ(error_in(domain_with("", owned + "a b'/>")),
            "domain XML line 4: 'a b' is not an owner: only letters, digits and _.+-@ are allowed");
  EXPECT_EQ(read_running_domain(parse_document(domain_with("", owned + "a b'/>"))).owner, "");
}

}  // namespace
}  // namespace gpuward
