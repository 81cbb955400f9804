// SPDX-License-Identifier: LGPL-2.1-or-later
// Against libvirt's own mock driver, which lives inside the library and needs no daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attach/attach.hpp"
#include "domain/domain.hpp"
#include "domain_fixtures.hpp"
#include "fake_host.hpp"
#include "libvirt/client.hpp"

using testing::HasSubstr;
using testing::Not;

namespace gpuward {
namespace {

/// Any libvirt is that of a directory.
const Root directory{"/nonexistent"};
constexpr const char* mock = "test:///default";  // with one running domain, named "test"

std::string definition(const std::string& name) {
  return "<domain type='test'><name>" + name +
         "</name><uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid><memory>65536</memory>"
         "<os><type>hvm</type></os><devices/></domain>";
}

TEST(DomainStore, FindsByNameAndByUuid) {
  const DomainStore store(directory, mock);
  const auto found = store.find("test");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "test");
  EXPECT_TRUE(found->active);
  EXPECT_TRUE(found->persistent);
  const auto again = store.find(to_string(found->uuid));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->name, "test");
  EXPECT_FALSE(store.find("other"));
  EXPECT_FALSE(store.find("6b1d3c52-9c07-4f10-8f6e-00000000000f"));
}

TEST(DomainStore, DefinesAndGivesBackWhatGpuwardWrote) {
  DomainStore store(directory, mock);
  store.define(attach_gpu(definition("web01"), {"small"}));
  const auto found = store.find("web01");
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->active);
  EXPECT_TRUE(found->persistent);
  const Domain domain = parse_domain(store.inactive_xml(found->uuid));
  ASSERT_EQ(domain.requests.size(), 1u);
  EXPECT_EQ(domain.requests[0].profile, "small");
  ASSERT_EQ(domain.hostdevs.size(), 1u);
  EXPECT_EQ(domain.hostdevs[0].instance, instance_uuid(found->uuid, "ua-gpuward-0"));
  EXPECT_EQ(store.all().size(), 2u);
}

TEST(DomainStore, TakesUuidLikeNames) {
  DomainStore store(directory, mock);
  store.define(definition("aaaaaaaa-9c07-4f10-8f6e-000000000001"));
  EXPECT_TRUE(store.find("aaaaaaaa-9c07-4f10-8f6e-000000000001"));
}

TEST(DomainStore, SaysWhatLibvirtSaysInOneLineAndPrintsNothing) {
  testing::internal::CaptureStderr();
  DomainStore store(directory, mock);
  const auto error = error_of([&] { store.define("<domain type='test'><nonsense/></domain>"); });
  EXPECT_THAT(error, HasSubstr("libvirt rejected the domain XML: "));
  EXPECT_THAT(error, Not(HasSubstr("\n")));
  EXPECT_THAT(error_of([&] { store.inactive_xml(Uuid{}); }), HasSubstr("Domain not found"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(DomainStore, SaysWhyADomainDoesNotStart) {
  DomainStore store(directory, mock);
  EXPECT_THAT(error_of([&] { store.start(store.find("test")->uuid); }),
              HasSubstr("internal error: Domain 'test' is already running"));
}

TEST(DomainStore, SaysWhatToDoWhenThereIsNoDaemon) {
  const std::string uri = "qemu+unix:///system?socket=/nonexistent";
  const auto error = error_of([&] { DomainStore(directory, uri); });
  EXPECT_THAT(error, HasSubstr("cannot connect to libvirt at " + uri));
  EXPECT_THAT(error, HasSubstr("; run: virsh -c '" + uri + "' list"));
}

TEST(DomainStore, OfAnotherLibvirtIsRefused) {
  const auto error = error_of([] { DomainStore({}, "test:///default"); });
  EXPECT_THAT(error, HasSubstr("libvirt at test:///default: not the system libvirt of this host"));
  EXPECT_THAT(error, HasSubstr("gpuward rewrite"));
}

TEST(SystemLibvirt, IsKnownByItsUri) {
  for (const char* const uri :
       {"", "qemu:///system", "qemu+unix:///system", "qemu:///system?",
        "qemu:///system?mode=legacy",
        "qemu+unix:///system?socket=/run/libvirt/virtqemud-sock&mode=direct",
        "qemu:///system?socket=/var/run/libvirt/libvirt-sock"})
    EXPECT_TRUE(is_system_libvirt(uri)) << uri;
  for (const char* const uri :
       {"qemu:///session", "qemu://host/system", "qemu+ssh://host/system", "qemu+ssh:///system",
        "qemu+tcp://localhost/system", "qemu+ext:///system?command=/usr/bin/nc", "qemu:///systems",
        "qemu+unix:///system?socket=/srv/other/libvirt-sock",
        "qemu:///system?name=qemu+ssh://host/system", "qemu:///system?mode=auto;name=x:///",
        "qemu:///system?socket=/run/libvirt/../../srv/libvirt-sock", "QEMU:///system", "other",
        "test:///default", "lxc:///system"})
    EXPECT_FALSE(is_system_libvirt(uri)) << uri;
}

class ConnectionRemedy : public testing::Test {
 protected:
  void file(const std::string& path) { host_.file(path, ""); }
  std::string remedy(const std::string& uri = {}) {
    return connection_remedy(host_.root(), uri, false);
  }
  FakeHost host_;
};

TEST_F(ConnectionRemedy, OfAUserWithoutTheRightIsNotToStartTheDaemon) {
  file("/usr/sbin/libvirtd");
  EXPECT_EQ(connection_remedy(host_.root(), "", true),
            "run the command as root or as a member of the group libvirt");
}

TEST_F(ConnectionRemedy, NamesTheDaemonOfTheHost) {
  EXPECT_EQ(remedy(), "run: apt install libvirt-daemon-system");
  file("/usr/sbin/virtqemud");
  EXPECT_EQ(remedy(), "run: systemctl start virtqemud.socket");
  file("/usr/sbin/libvirtd");
  EXPECT_EQ(remedy(), "run: systemctl start libvirtd");
  file("/etc/systemd/system/sockets.target.wants/virtqemud.socket");
  EXPECT_EQ(remedy("qemu:///system"), "run: systemctl start virtqemud.socket");
}

TEST_F(ConnectionRemedy, OfAUriThatWasGivenIsToCheckThat) {
  file("/usr/sbin/libvirtd");
  EXPECT_EQ(remedy("qemu:///system?mode=direct"),
            "run: virsh -c 'qemu:///system?mode=direct' list");
}

}  // namespace
}  // namespace gpuward
