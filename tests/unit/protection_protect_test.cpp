// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/protect.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attach/attach.hpp"
#include "attach/detach.hpp"
#include "domain/xml_document.hpp"
#include "domain_fixtures.hpp"

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace gpuward {
namespace {

constexpr QemuCapabilities old_qemu{false, true}, new_qemu{true, true}, unknown_qemu{true, false};

bool any(const Hostdev&) {
  return true;
}

Protection all_guards(QemuCapabilities qemu = new_qemu) {
  return {GuardPolicy{}, qemu, false};
}

Protection hardened() {
  Protection protection = all_guards();
  protection.policy.harden = true;
  return protection;
}

Protection for_good() {
  Protection protection = all_guards();
  protection.for_good = true;
  return protection;
}

std::string protect_all(const std::string& xml) {
  return protect(xml, all_guards(), any);
}

/// As `gpuward attach` does it.
std::string attached(const std::string& xml, bool console = true,
                     const Protection& protection = all_guards()) {
  return protect(attach_gpu(xml, {"small", console}), protection, any);
}

std::vector<Gap> gaps_of(const std::string& xml, const Protection& protection) {
  const Document document = parse_document(xml);
  const Domain domain = read_domain(document);
  std::vector<const Hostdev*> gpus;
  for (const Hostdev& hostdev : domain.hostdevs) gpus.push_back(&hostdev);
  return gaps_to_close(document, gpus, protection.policy, protection.qemu);
}

const std::string gpu =
    "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
    "<address uuid='00000000-1d52-d8f3-2516-782e98ab3fa0'/></source></hostdev>";

std::string hand_written(const std::string& top, const std::string& devices = gpu,
                         const std::string& bottom = "") {
  return "<domain type='kvm'><name>web01</name><uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>" +
         top + "<devices>" + devices + "</devices>" + bottom + "</domain>";
}

// ---- all fixtures, as libvirt has them

/// Domains of machine type pc in which libvirt puts a GPU, or the second of two, behind a
/// pci-bridge: refused, unless gpu-hotplug does not block
/// (GpuHotplug.WithoutRoomOnTheRootBusOfPcIsForHands).
bool has_no_capacity_for_two(const std::string& name) {
  return name == "pc-bridge" || name == "pc-one-slot-left" || name == "pc-slots-all-taken";
}

class EachProtected : public testing::TestWithParam<std::string> {
 protected:
  static Protection fitting(Protection protection) {
    if (has_no_capacity_for_two(GetParam())) protection.policy.gpu_hotplug = Policy::allow;
    return protection;
  }
  static Protection all_guards(QemuCapabilities qemu = new_qemu) {
    return fitting(gpuward::all_guards(qemu));
  }
  static Protection hardened() { return fitting(gpuward::hardened()); }
  static Protection for_good() { return fitting(gpuward::for_good()); }
  static std::string attached(const std::string& xml, bool console = true,
                              const Protection& protection = all_guards()) {
    return gpuward::attached(xml, console, protection);
  }
};
INSTANTIATE_TEST_SUITE_P(Protect, EachProtected, testing::ValuesIn(fixtures()), test_name);

TEST_P(EachProtected, HasNoGapsAfterwards) {
  for (const Protection& protection : {all_guards(), hardened()}) {
    const std::string xml = attached(fixture(GetParam()), true, protection);
    EXPECT_THAT(gaps_of(xml, protection), IsEmpty());
    EXPECT_NE(xml, attach_gpu(fixture(GetParam()), {"small"})) << "there were some";
  }
}

TEST_P(EachProtected, IsTheSameAgainAfterUnprotect) {
  for (const Protection& protection :
       {all_guards(), all_guards(old_qemu), hardened(), for_good()}) {
    const std::string before = attach_gpu(fixture(GetParam()), {"small"});
    const std::string after = protect(before, protection, any);
    EXPECT_NE(after, before);
    EXPECT_EQ(unprotect(after), before);
  }
}

TEST_P(EachProtected, IsTheSameAgainAfterDetach) {
  const std::string before = fixture(GetParam());
  for (const Protection& protection : {all_guards(), hardened()})
    for (const bool console : {true, false}) {
      if (!console && (before.find("passwd=") != std::string::npos ||
                       before.find("device.video0") != std::string::npos))
        continue;  // refused
      const std::string one = attached(before, console, protection);
      EXPECT_EQ(detach_gpus(one), before);
      const std::string two = attached(one, true, protection);
      EXPECT_EQ(detach_gpus(two), before);
      for (const char* alias : {"ua-gpuward-0", "ua-gpuward-1"}) {
        const std::string left = detach_gpus(two, alias);
        EXPECT_THAT(gaps_of(left, protection), IsEmpty());
        EXPECT_EQ(detach_gpus(left), before) << alias;
      }
    }
}

TEST_P(EachProtected, IsNotProtectedTwice) {
  for (const Protection& protection : {all_guards(), hardened(), for_good()}) {
    const std::string once = attached(fixture(GetParam()), true, protection);
    EXPECT_EQ(protect(once, protection, any), once);
  }
}

TEST_P(EachProtected, KeepsWhatWasAskedForByItself) {
  const std::string before = fixture(GetParam());
  const auto every_other = [&](const Hostdev& hostdev) { return hostdev.place % 2 == 0; };
  const std::string with_gpu = replaced(before, "</devices>", gpu + "\n  </devices>");
  for (const IsGpu& is_gpu : {IsGpu(any), IsGpu(every_other)}) {
    const std::string alone = protect(with_gpu, for_good(), is_gpu);
    std::string xml = alone;
    for (int i = 0; i < 2; ++i) xml = protect(attach_gpu(xml, {"small"}), all_guards(), any);
    EXPECT_THAT(gaps_of(xml, all_guards()), IsEmpty());
    xml = detach_gpus(xml, "ua-gpuward-0");
    EXPECT_THAT(xml, Not(HasSubstr("ua-gpuward-0")));
    xml = detach_gpus(xml);
    EXPECT_EQ(protect(xml, all_guards(), is_gpu), xml);
    EXPECT_EQ(unprotect(xml), with_gpu);
  }
}

TEST_P(EachProtected, IsAsProtectedAsBeforeAfterAttachAndDetach) {
  const std::string alone =
      protect(replaced(fixture(GetParam()), "</devices>", gpu + "\n  </devices>"), for_good(), any);
  EXPECT_EQ(detach_gpus(attached(alone)), alone);
  EXPECT_EQ(detach_gpus(attached(attached(alone)), "ua-gpuward-1"), attached(alone));
}

TEST_P(EachProtected, IsLeftAloneWithoutAGpu) {
  const std::string before = fixture(GetParam());
  EXPECT_EQ(protect(before, all_guards(), [](const Hostdev&) { return false; }), before);
  EXPECT_EQ(unprotect(before), before);
}

// ---- what becomes of hand-written XML

TEST(Protect, WritesWhatLibvirtWouldWrite) {
  const std::string before =
      "<domain type='kvm'>\n"
      "  <name>web01</name>\n"
      "  <uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>\n"
      "  <maxMemory slots='16' unit='KiB'>4194304</maxMemory>\n"
      "  <memory unit='KiB'>65536</memory>\n"
      "  <on_crash>destroy</on_crash>\n"
      "  <devices>\n"
      "    <hostdev mode='subsystem' type='pci' managed='yes'>\n"
      "      <source>\n"
      "        <address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/>\n"
      "      </source>\n"
      "    </hostdev>\n"
      "    <memballoon model='none'/>\n"
      "  </devices>\n"
      "</domain>\n";
  EXPECT_EQ(protect(before, for_good(), any),
            "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
            "  <name>web01</name>\n"
            "  <uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid>\n"
            "  <metadata>\n"
            "    <gpuward:domain xmlns:gpuward='urn:gpuward:domain:1' metadata='made'>\n"
            "      <gpuward:protected by='protect' qemu-namespace='made'>\n"
            "        <gpuward:migration alias='ua-gpuguard-0'/>\n"
            "        <gpuward:pm/>\n"
            "        <gpuward:maxMemory was='removed'>\n"
            "          <gpuward:kept behind='uuid' before='0'>&#10;  &lt;maxMemory slots=&apos;16"
            "&apos; unit=&apos;KiB&apos;&gt;4194304&lt;/maxMemory&gt;</gpuward:kept>\n"
            "        </gpuward:maxMemory>\n"
            "        <gpuward:port index='0' hotplug='' controller='made'/>\n"
            "      </gpuward:protected>\n"
            "    </gpuward:domain>\n"
            "  </metadata>\n"
            "  <memory unit='KiB'>65536</memory>\n"
            "  <on_crash>destroy</on_crash>\n"
            "  <pm>\n"
            "    <suspend-to-mem enabled='no'/>\n"
            "    <suspend-to-disk enabled='no'/>\n"
            "  </pm>\n"
            "  <devices>\n"
            "    <controller type='pci' index='0' model='pci-root'>\n"
            "      <target hotplug='off'/>\n"
            "    </controller>\n"
            "    <hostdev mode='subsystem' type='pci' managed='yes'>\n"
            "      <source>\n"
            "        <address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/>\n"
            "      </source>\n"
            "      <alias name='ua-gpuguard-0'/>\n"
            "    </hostdev>\n"
            "    <memballoon model='none'/>\n"
            "  </devices>\n"
            "  <qemu:override>\n"
            "    <qemu:device alias='ua-gpuguard-0'>\n"
            "      <qemu:frontend>\n"
            "        <qemu:property name='enable-migration' type='string' value='off'/>\n"
            "      </qemu:frontend>\n"
            "    </qemu:device>\n"
            "  </qemu:override>\n"
            "</domain>\n");
}

/// Protects, checks that it can be undone and needs no second time.
std::string checked(const std::string& before, const Protection& protection = all_guards()) {
  const std::string after = protect(before, protection, any);
  EXPECT_EQ(unprotect(after), before);
  EXPECT_EQ(protect(after, protection, any), after);
  EXPECT_THAT(gaps_of(after, protection), IsEmpty());
  return after;
}

const std::string q = "xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'";

TEST(Protect, AddsToAnOverrideThatIsThere) {
  const std::string other = "<q:property name='x-vga' type='bool' value='true'/>";
  const std::string with_alias = replaced(gpu, "</hostdev>", "<alias name='ua-a'/></hostdev>");
  for (const std::string& override : std::vector<std::string>{
           "<q:override " + q + "><q:device alias='ua-other'><q:frontend>" + other +
               "</q:frontend></q:device></q:override>",
           "<q:override " + q + "><q:device alias='ua-a'><q:frontend>" + other +
               "</q:frontend></q:device></q:override>",
           "<override xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><device alias='ua-a'>"
           "<frontend><property name='x-vga' type='bool' value='true'/></frontend></device>"
           "</override>"}) {
    checked(hand_written("", with_alias, override));
    checked(hand_written("", with_alias + gpu, override));
    checked(hand_written("", with_alias + gpu, "<seclabel/>" + override + "<x/>"));
  }
}

TEST(Protect, KeepsANamespaceThatWasThere) {
  const std::string xml = replaced(hand_written(""), "<domain type='kvm'",
                                   "<domain type='kvm' " + replaced(q, ":q=", ":qemu="));
  EXPECT_THAT(checked(xml), Not(HasSubstr("qemu-namespace")));
  EXPECT_THAT(error_of([&] { protect_all(replaced(xml, "/qemu/1.0", "/lxc/1.0")); }),
              HasSubstr("xmlns:qemu is '"));
}

TEST(Protect, LeavesANamespaceThatSomeoneUsesMeanwhile) {
  const std::string xml =
      replaced(protect_all(hand_written("")), "</devices>", "</devices><qemu:commandline/>");
  EXPECT_THAT(unprotect(xml), AllOf(HasSubstr("xmlns:qemu"), Not(HasSubstr("qemu:override"))));
}

TEST(Protect, RefusesAnOverrideThatHoldsNothing) {
  for (const std::string& override :
       {"<q:override " + q + "/>", "<q:override " + q + "><q:device alias='ua-a'/></q:override>",
        "<q:override " + q + "><q:device alias='ua-a'><q:frontend/></q:device></q:override>"})
    EXPECT_THAT(error_of([&] {
                  protect_all(hand_written(
                      "", replaced(gpu, "</hostdev>", "<alias name='ua-a'/></hostdev>"), override));
                }),
                HasSubstr("is empty; remove the element first"));
}

TEST(Protect, GivesAnAliasOnlyWhereNobodyCountsOnLibvirts) {
  EXPECT_THAT(checked(hand_written("", gpu + gpu)),
              AllOf(HasSubstr("'ua-gpuguard-0'"), HasSubstr("'ua-gpuguard-1'")));
  EXPECT_THAT(checked(hand_written("", "<disk><alias name='ua-gpuguard-0'/></disk>" + gpu)),
              HasSubstr("migration alias='ua-gpuguard-1'"));
  const std::string counted =
      checked(hand_written("", gpu + gpu + "<hostdev type='usb'/>",
                           "<q:override " + q + "><q:device alias='hostdev2'><q:frontend>" +
                               "<q:property name='a' type='string' value='b'/></q:frontend>" +
                               "</q:device></q:override>"));
  EXPECT_THAT(counted, AllOf(Not(HasSubstr("ua-gpuguard")), HasSubstr("q:device alias='hostdev0'"),
                             HasSubstr("q:device alias='hostdev1'")));
  EXPECT_THAT(
      checked(hand_written("", replaced(gpu, "</hostdev>", "<alias name='hostdev7'/></hostdev>"))),
      HasSubstr("qemu:device alias='hostdev0'"))
      << "libvirt drops it";
}

TEST(Protect, RefusesMigrationThatSomeoneSwitchedOn) {
  const std::string xml = replaced(protect_all(hand_written("")), "value='off'", "value='on'");
  EXPECT_THAT(error_of([&] { protect_all(xml); }),
              AllOf(HasSubstr("(hostdev ua-gpuguard-0)"), HasSubstr("migration = warn")));
}

TEST(Protect, RefusesMigrationThatSomeoneSwitchedOnInAnOldQemu) {
  const std::string xml = hand_written(
      "", gpu,
      "<qemu:override xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:device "
      "alias='hostdev0'><qemu:frontend><qemu:property name='x-enable-migration' type='bool' "
      "value='true'/></qemu:frontend></qemu:device></qemu:override>");
  EXPECT_THAT(error_of([&] { protect(xml, all_guards(old_qemu), any); }),
              AllOf(HasSubstr("sets x-enable-migration to 'true'"), HasSubstr("virsh edit web01")));
}

TEST(Protect, RefusesMemoryThatCanGrow) {
  const std::string xml = hand_written(
      "<memory>262144</memory>",
      gpu +
          "<memory model='virtio-mem'><target><size>131072</size><requested>65536</requested>"
          "</target></memory>");
  EXPECT_THAT(error_of([&] { protect_all(xml); }),
              AllOf(HasSubstr("virtio-mem"), HasSubstr("memory-hotplug = warn")));
}

TEST(Protect, UndoesPmHoweverItWasWritten) {
  for (const std::string pm :
       {"", "<pm/>", "<pm> <!-- --> </pm>", "<pm><suspend-to-mem enabled='yes'/></pm>",
        "<pm a=\"b\">\r\n<suspend-to-disk\tenabled=\"no\"/></pm>", "<perf/>", "<pm/><pm/>"})
    checked(hand_written(pm));
  const std::string off =
      hand_written("<pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>");
  Protection protection = all_guards(old_qemu);
  protection.policy.gpu_hotplug = Policy::allow;
  EXPECT_EQ(protect(off, protection, any), off);
}

TEST(Protect, UndoesMemoryWhereverItWas) {
  const std::string most = "<maxMemory slots=\"9\">999999</maxMemory>";
  EXPECT_THAT(error_of([&] { protect_all(hand_written(most + most)); }),
              HasSubstr("second <maxMemory>"));
  for (const std::string& top :
       {most, "<memory>1024</memory>" + most, "<!-- --> text " + most + "<memory>1024</memory>",
        "\r\n\t" + most + "\r\n<memory>1</memory>", "<title/>" + most, "<metadata/>" + most,
        "<metadata><o:x xmlns:o='urn:o'/></metadata>" + most + "<pm/>"}) {
    EXPECT_THAT(checked(hand_written(top)), Not(HasSubstr("<maxMemory")));
    checked(replaced(hand_written("<memory>1</memory>"), "</devices>", "</devices>" + top));
    checked("<domain>" + top + hand_written("<memory>1</memory>").substr(19));
  }
}

TEST(Protect, ClampsMemoryToWhatThereIs) {
  const std::string xml = hand_written(
      "<maxMemory slots='9' unit='GiB'>4</maxMemory><memory unit='MiB'>256</memory>",
      gpu + "<memory model='dimm'><target><size unit='MiB'>128</size></target></memory>");
  EXPECT_THAT(checked(xml), HasSubstr("<maxMemory slots='1' unit='KiB'>262144</maxMemory>"));
}

const std::string disk =
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><target dev='vda' "
    "bus='virtio'/></disk>";

TEST(Protect, HardensDisksAndWatchdogsOnlyWhenTold) {
  const std::string xml = hand_written("", disk + gpu + "<watchdog model='itco' action='pause'/>");
  EXPECT_THAT(checked(xml), AllOf(HasSubstr("action='pause'"), Not(HasSubstr("error_policy"))));
  EXPECT_THAT(checked(xml, hardened()),
              AllOf(HasSubstr("<driver name='qemu' type='raw' error_policy='report'/>"),
                    HasSubstr("action='none'"), Not(HasSubstr("action='pause'"))));
}

TEST(Protect, RestoresDisksAndWatchdogsThatAreHardenedNoMore) {
  for (const std::string& device : {disk, std::string("<watchdog action='pause'/>")}) {
    const std::string xml = hand_written("", device + gpu);
    EXPECT_EQ(protect_all(protect(xml, hardened(), any)), protect_all(xml)) << device;
  }
}

TEST(Protect, HardensWhateverThePolicyWas) {
  for (const char* policy :
       {" error_policy='stop'", " error_policy=\"enospace\"", " rerror_policy='stop'",
        " rerror_policy='stop' error_policy = 'report'",
        " error_policy='stop' rerror_policy='stop'"})
    EXPECT_THAT(checked(hand_written("", replaced(disk, " type='raw'", policy) + gpu), hardened()),
                AllOf(HasSubstr("error_policy='"), Not(HasSubstr("=\"enospace\""))));
  checked(hand_written("", replaced(disk, "<driver name='qemu' type='raw'/>", "") + gpu),
          hardened());
  checked(hand_written("", replaced(disk, "<driver name='qemu' type='raw'/>", "<driver/>") + gpu),
          hardened());
  checked(hand_written("", "<watchdog action=\"pause\"/>" + gpu +
                               "<watchdog action='reset'/><watchdog action='pause'/>"),
          hardened());
}

TEST(Protect, LeavesPoliciesThatDoNotPause) {
  const std::string ignore = replaced(disk, " type='raw'", " error_policy='ignore'");
  EXPECT_THAT(protect(hand_written("", ignore + gpu), hardened(), any), HasSubstr(ignore));
}

// ---- policies

TEST(Protect, ClosesOnlyWhatIsBlocked) {
  const std::string xml = hand_written("<maxMemory slots='2'>2048</maxMemory>");
  for (const Policy policy : {Policy::warn, Policy::allow}) {
    Protection protection = all_guards();
    protection.policy.migration = policy;
    EXPECT_THAT(protect(xml, protection, any),
                AllOf(Not(HasSubstr("qemu:override")), HasSubstr("<pm>")));
    protection.policy.pause = policy;
    EXPECT_THAT(protect(xml, protection, any),
                AllOf(Not(HasSubstr("<pm>")), Not(HasSubstr("<maxMemory"))));
    protection.policy.memory_hotplug = policy;
    EXPECT_THAT(protect(xml, protection, any),
                AllOf(HasSubstr("<maxMemory"), HasSubstr("<target hotplug='off'/>")));
    protection.policy.gpu_hotplug = policy;
    EXPECT_EQ(protect(xml, protection, any), xml);
  }
}

TEST(Protect, OpensWhatIsNotBlockedAnyMore) {
  const std::string xml = hand_written("<maxMemory slots='2'>2048</maxMemory>", disk + gpu);
  const std::string closed = protect(xml, hardened(), any);
  Protection protection = hardened();
  protection.policy.memory_hotplug = Policy::warn;
  EXPECT_EQ(protect(closed, protection, any), protect(xml, protection, any));
  protection.policy.pause = Policy::allow;
  EXPECT_EQ(protect(closed, protection, any), protect(xml, protection, any));
  protection.policy.migration = Policy::allow;
  EXPECT_EQ(protect(closed, protection, any), protect(xml, protection, any));
  protection.policy.gpu_hotplug = Policy::warn;
  EXPECT_EQ(protect(closed, protection, any), xml);
}

TEST(Protect, TakesOutWhatThisQemuDoesNotKnow) {
  const std::string xml = hand_written("");
  const std::string closed = protect_all(xml);
  EXPECT_EQ(protect(closed, all_guards(old_qemu), any), protect(xml, all_guards(old_qemu), any));
  EXPECT_EQ(protect(closed, all_guards(unknown_qemu), any), closed);
  EXPECT_EQ(protect(xml, all_guards(unknown_qemu), any), closed);
  const std::string more = replaced(closed, "<devices>", "<maxMemory>9</maxMemory><devices>");
  EXPECT_THAT(protect(more, all_guards(unknown_qemu), any),
              AllOf(HasSubstr("enable-migration"), Not(HasSubstr("<maxMemory>"))));
}

TEST(Protect, ByItselfStaysForGood) {
  const std::string xml = hand_written("");
  const std::string by_attach = attached(xml);
  EXPECT_THAT(by_attach, HasSubstr("by='attach'"));
  const std::string by_both = protect(by_attach, for_good(), any);
  EXPECT_EQ(by_both, replaced(by_attach, "by='attach'", "by='protect'"));
  EXPECT_EQ(protect(by_both, all_guards(), any), by_both) << "attach takes nothing back";
  EXPECT_THAT(gaps_of(detach_gpus(by_both), all_guards()), IsEmpty());
  EXPECT_EQ(unprotect(detach_gpus(by_both)), xml);
  EXPECT_EQ(detach_gpus(unprotect(by_both)), xml);
}

// ---- others who change the domain meanwhile

TEST(Unprotect, LeavesWhatSomeoneHasChangedSince) {
  const std::string xml =
      hand_written("<maxMemory slots='2'>2048</maxMemory><memory>1024</memory><pm/>",
                   disk + gpu + "<watchdog action='pause'/>");
  const std::string closed = protect(xml, hardened(), any);
  EXPECT_THAT(unprotect(replaced(closed, "<memory>", "<maxMemory>7</maxMemory><memory>")),
              AllOf(HasSubstr("<maxMemory>7</maxMemory>"), Not(HasSubstr("2048"))));
  EXPECT_THAT(
      unprotect(replaced(closed, "suspend-to-mem enabled='no'", "suspend-to-mem enabled='yes'")),
      HasSubstr("suspend-to-mem enabled='yes'"));
  EXPECT_THAT(unprotect(replaced(closed, "action='none'", "action='poweroff'")),
              HasSubstr("action='poweroff'"));
  EXPECT_THAT(unprotect(replaced(closed, "error_policy='report'", "error_policy='ignore'")),
              HasSubstr("error_policy='ignore'"));
}

TEST(Unprotect, LeavesAnAliasThatSomeoneUsesMeanwhile) {
  const std::string xml =
      replaced(protect_all(hand_written("")), "<qemu:frontend>",
               "<qemu:frontend><qemu:property name='x-vga' type='bool' value='true'/>");
  EXPECT_THAT(unprotect(xml), AllOf(HasSubstr("<alias name='ua-gpuguard-0'/>"), HasSubstr("x-vga"),
                                    Not(HasSubstr("enable-migration"))));
  EXPECT_THAT(protect_all(unprotect(xml)), HasSubstr("migration alias='ua-gpuguard-0'"));
}

TEST(Unprotect, TakesNothingFromMetadataThatItDidNotPutThere) {
  const std::string closed =
      protect_all(hand_written("<maxMemory slots='2'>2048</maxMemory><pm/>"));
  for (const std::string evil : {"<hostdev/>", "<maxMemory/><hostdev/>", "</kept><kept>",
                                 "<maxMemory><x/></maxMemory>", "<", "<maxMemory>"}) {
    const auto start = closed.find("behind='uuid' before='0'>") + 25;
    const auto end = closed.find("</gpuward:kept>", start);
    std::string changed = closed;
    changed.replace(start, end - start,
                    replaced(replaced(evil + "<", "<", "&lt;") + "|", "&lt;|", ""));
    EXPECT_THAT(
        error_of([&] { unprotect(changed); }),
        AllOf(HasSubstr("saved element in gpuward metadata was modified"), HasSubstr("line ")))
        << evil;
  }
}

TEST(Unprotect, SurvivesRubbishInTheRecord) {
  const std::string closed = protect(hand_written("", disk + gpu), hardened(), any);
  for (const char* record :
       {"<gpuward:watchdog number='99'/>", "<gpuward:watchdog/>", "<gpuward:disk/>",
        "<gpuward:disk dev='vdb' error_policy=''/>", "<gpuward:migration/>",
        "<gpuward:migration alias='ua-x'/>", "<gpuward:maxMemory/>", "<gpuward:pm/>",
        "<gpuward:other/>", "<gpuward:disk dev='vda' error_policy='evil'/>"}) {
    const std::string xml = unprotect(replaced(closed, "<gpuward:pm/>", record));
    EXPECT_THAT(xml, Not(HasSubstr("gpuward:")));
    EXPECT_THAT(xml, Not(HasSubstr("evil")));
  }
}

std::string by_hand(const std::string& inside_hostdev, const std::string& behind_devices,
                    const std::string& root_attribute = "") {
  return "<domain" + root_attribute +
         ">\n  <name>a</name>\n  <uuid>1bf994d7-60c6-58f8-b824-2cbeb72f91c7</uuid>\n"
         "  <devices>\n    <hostdev mode='subsystem' type='pci'>\n      <source>\n"
         "        <address domain='0' bus='1' slot='0' function='0'/>\n      </source>" +
         inside_hostdev + "\n    </hostdev>\n  </devices>" + behind_devices + "\n</domain>\n";
}

const std::string qemu_declared = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";

TEST(Protect, GivesNoAliasWhereSomeoneNamesLibvirtsOwn) {
  const std::string before =
      by_hand("",
              "\n  <qemu:commandline>\n    <qemu:arg value='-set'/>\n    <qemu:arg "
              "value='device.hostdev0.x-vga=on'/>\n  </qemu:commandline>",
              qemu_declared);
  const std::string after = protect_all(before);
  EXPECT_THAT(after, HasSubstr("<qemu:device alias='hostdev0'>"));
  EXPECT_THAT(after, Not(HasSubstr("<alias")));
  EXPECT_EQ(unprotect(after), before);
}

TEST(Protect, WritesTheAliasBehindTeaming) {
  const std::string before =
      by_hand("\n      <teaming type='transient' persistent='ua-net0'/>", "");
  const std::string after = protect_all(before);
  ASSERT_THAT(after, HasSubstr("<alias"));
  EXPECT_GT(after.find("<alias"), after.find("<teaming"));
  EXPECT_EQ(unprotect(after), before);
}

TEST(Protect, LeavesANamespaceThatIsDeclaredWhereItIsUsed) {
  const std::string before =
      by_hand("", "\n  <qemu:commandline" + qemu_declared +
                      ">\n    <qemu:arg value='-x'/>\n  </qemu:commandline>");
  EXPECT_EQ(unprotect(protect_all(before)), before);
}

TEST(Protect, GivesNoPortBelowARootThatIsNone) {
  const std::string xml = replaced(
      replaced(hand_written("", "<controller type='pci' index='0' model='X'/>" + gpu), "<devices>",
               "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>"),
      "model='X'", "model='pcie-roots'");
  const std::string error = error_of([&] { protect_all(xml); });
  EXPECT_THAT(error, HasSubstr("GPU can be removed while the domain runs"));
}

TEST(Protect, DeclaresNoNamespaceThatElementsWithoutOneWouldGet) {
  for (const char* ignored : {"\n  <qemu:commandline><qemu:arg value='-x'/></qemu:commandline>",
                              "\n  <metadata><qemu:x/></metadata>"})
    EXPECT_THAT(error_of([&] { protect_all(by_hand("", ignored)); }),
                AllOf(HasSubstr("line "), HasSubstr("without a declaration")))
        << ignored;
}

TEST(Protect, RefusesASecondOverrideThatOpensMigrationAgain) {
  const auto override_with = [](const std::string& value) {
    return "\n  <qemu:override><qemu:device alias='ua-x'><qemu:frontend><qemu:property "
           "name='enable-migration' type='string' value='" +
           value + "'/></qemu:frontend></qemu:device></qemu:override>";
  };
  const std::string alias = "\n      <alias name='ua-x'/>";
  EXPECT_THAT(
      error_of([&] {
        protect_all(by_hand(alias, override_with("off") + override_with("on"), qemu_declared));
      }),
      HasSubstr("enable-migration to 'on'"));
}

TEST(Protect, ClosesWhatAGpuAtTheCommandLineNeeds) {
  Protection protection = all_guards();
  const auto none = [](const Hostdev&) { return false; };
  const std::string before = by_hand("", "");
  EXPECT_EQ(protect(before, protection, none), before);
  protection.gpu_on_command_line = true;
  EXPECT_THAT(protect(before, protection, none), HasSubstr("<suspend-to-mem enabled='no'/>"));
}

}  // namespace
}  // namespace gpuward
